"""What all families share: signatures and docstrings of builders, lazy names, weight files."""

import inspect
import subprocess
import sys

import numpy as np
import pytest

from keras_video import applications
from keras_video.applications.families import FAMILIES
from keras_video.checkpoints import weight_map

GENERAL = {
    "movinet": "MoViNet",
    "x3d": "X3D",
    "blvnet_tam": "BLVNetTAM",
    "tiny_video_net": "TinyVideoNet",
    "auto_tsnet": "AutoTSNet",
}
BUILDERS = [
    (family, name)
    for family, general in GENERAL.items()
    for name in getattr(applications, family).__all__
    if name[0].isupper()
    and name not in (general, "MoViNetA6")
    and inspect.isfunction(getattr(getattr(applications, family), name))
    and getattr(getattr(applications, family), name).__module__.endswith("model")
]


def module_of(family):
    return sys.modules[f"keras_video.applications.{family}.model"]


def test_all_published_builders_are_checked():
    names = sum(len(family.configs) for family in FAMILIES)
    assert len(BUILDERS) == names


@pytest.mark.parametrize("family, name", BUILDERS, ids=lambda value: value)
def test_builders_pass_every_argument_to_the_general_builder(monkeypatch, family, name):
    builder, general = getattr(applications, name), getattr(module_of(family), GENERAL[family])
    signature, passed = inspect.signature(general), {}
    monkeypatch.setattr(
        module_of(family),
        GENERAL[family],
        lambda *args, **kwargs: passed.update(signature.bind(*args, **kwargs).arguments),
    )
    values = {p: object() for p in inspect.signature(builder).parameters if p != "options"}
    builder(**values, other="option")
    config = passed.pop(next(iter(signature.parameters)))
    values.pop("causal", None)
    assert passed.pop("options") == {"other": "option"} and passed == values
    defaults = {p.name: p.default for p in signature.parameters.values()}
    for parameter in inspect.signature(builder).parameters.values():
        if parameter.name not in ("causal", "options"):
            assert parameter.default == defaults[parameter.name]
    assert config.name in getattr(applications, family).CONFIGS


@pytest.mark.parametrize("family, name", BUILDERS, ids=lambda value: value)
def test_docstrings_state_the_facts_of_configs_and_records(monkeypatch, family, name):
    package, builder = getattr(applications, family), getattr(applications, name)
    config = []
    monkeypatch.setattr(module_of(family), GENERAL[family], lambda c, *_, **__: config.append(c))
    builder()
    text = " ".join(builder.__doc__.split())
    frames, height, width, _ = config[0].clip
    more = " and more" if family == "blvnet_tam" else ""
    assert f"clips of {frames} frames{more} of {height}x{width} pixels" in text
    if getattr(config[0], "frame_rate", None):
        assert f"at {config[0].frame_rate:g} frames per second" in text
    weights = {name for name, _ in package.RECORDS.get(config[0].name, {})}
    for known in ("kinetics600", "kinetics400", "moving_digits", "charades", "imagenet"):
        assert (f'"{known}"' in text) == (known in weights)
    assert ("Weights: none are published." in text) == (not weights)
    assert f">>> model = keras_video.applications.{name}(" in text and "(1, 10)" in text
    assert f"described in `applications.{GENERAL[family]}`" in text.replace(f"{family}.", "")


def test_configs_and_records_need_no_keras():
    code = (
        "import sys\n"
        "from keras_video.applications.families import FAMILIES\n"
        "for family in FAMILIES:\n"
        "    family.configs, family.package.RECORDS, family.package.labels\n"
        "print('keras' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "False", result.stderr


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="keras_video.applications.movinet.*'MoViNetA9'"):
        applications.movinet.MoViNetA9  # noqa: B018
    assert "MoViNetA0" in dir(applications.movinet) and "movinet" in dir(applications)


WRITER = """
import sys
import numpy as np
from keras_video.checkpoints import weight_map

path, value = sys.argv[1], float(sys.argv[2])
named = {f"layer/{i}": np.full(20_000, value, "float32") for i in range(8)}
print("ready", flush=True)
sys.stdin.readline()
for _ in range(30):
    weight_map.save(path, named, half=False)
"""


def test_processes_that_write_the_same_weights_leave_a_whole_file(tmp_path):
    """Two processes convert the same weights at once; a third one reads meanwhile."""
    path = tmp_path / "converted" / "weights.npz"
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(value)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for value in (1, 2)
    ]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    read = 0
    while any(writer.poll() is None for writer in writers):
        if path.is_file():
            named = weight_map.load(path)
            assert len(named) == 8 and len({value.flat[0] for value in named.values()}) == 1
            assert all((value == value.flat[0]).all() for value in named.values())
            read += 1
    for writer in writers:
        _, errors = writer.communicate()
        assert writer.returncode == 0, errors
    assert read and [p.name for p in path.parent.iterdir()] == [path.name]
    np.testing.assert_array_equal(np.unique(weight_map.load(path)["layer/0"]).size, 1)
