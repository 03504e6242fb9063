"""Files and public names that README, CONTRIBUTING, docs and benchmarks mention exist."""

import importlib
import re
from pathlib import Path

import pytest

from tests.helpers import command_line

ROOT = Path(__file__).parents[1]
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "benchmarks/README.md"]
DOCUMENTS += [f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")]
FOLDERS = ["", "keras_video", "benchmarks", "benchmarks/results", "docs"]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_files_exist(name):
    text = (ROOT / name).read_text()
    paths = set(re.findall(r"`([\w/]+\.(?:py|md|sh|cfg|csv|png))\b", text))
    missing = {p for p in paths if not any((ROOT / folder / p).exists() for folder in FOLDERS)}
    # Files of a family, and files that a program writes.
    missing -= {"config.py", "model.py", "weights.py", "checkpoints.py"}
    assert not {p for p in missing if "/" in p or p.endswith((".py", ".sh"))}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_public_names_exist(name):
    for dotted in set(re.findall(r"\bkeras_video(?:\.\w+)+", (ROOT / name).read_text())):
        if dotted == "keras_video.json":  # the description inside a LiteRT file
            continue
        found, *parts = dotted.split(".")
        found = importlib.import_module(found)
        for part in parts:
            if not hasattr(found, part):
                importlib.import_module(f"{found.__name__}.{part}")
            found = getattr(found, part)


@command_line
def test_the_first_lines_of_the_readme_run(tmp_path, monkeypatch):
    """As printed, with the weights that are shipped, on a video like that of the demo."""
    pytest.importorskip("av")
    pytest.importorskip("matplotlib")
    from keras_video.datasets import moving_digits

    text = (ROOT / "README.md").read_text()
    text = text[text.index("## Classify a clip") : text.index("## Train on your own classes")]
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 5
    monkeypatch.chdir(tmp_path)
    right = moving_digits.CLASS_NAMES.index("zoom_in")
    video = moving_digits.make_video([right], frames_per_motion=24, split="test", seed=1)
    moving_digits.write_video("demo_output/moving_digits.mp4", video, frame_rate=12)
    names = {}
    for block in blocks:
        exec(block, names)  # noqa: S102
    for logits in names["model"].decode_predictions(names["logits"], top=1):
        assert logits[0][0] == "zoom_in"
    assert names["names"][0][0] == "zoom_in" and names["seconds"] == 1.75
    assert names["logits"].shape == (1, 16)
    assert all((tmp_path / name).is_file() for name in ("annotated.mp4", "saliency.png"))
