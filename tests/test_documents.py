"""Files and public names that README, CONTRIBUTING, docs and benchmarks mention exist."""

import importlib
import re
from pathlib import Path

import pytest

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
