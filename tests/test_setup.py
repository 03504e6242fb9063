"""What an installation needs: the markers of setup.cfg on each kind of machine, and the pins."""

import configparser
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from keras_video.checks import EXTRAS, check_extra, install_hint

ROOT = Path(__file__).parents[1]
MACHINES = {
    "Linux, x86-64": ("linux", "x86_64", "Linux", "tensorflow-cpu"),
    "Linux, aarch64": ("linux", "aarch64", "Linux", "tensorflow"),
    "macOS, arm64": ("darwin", "arm64", "Darwin", "tensorflow"),
    "macOS, x86-64": ("darwin", "x86_64", "Darwin", "tensorflow"),
    "Windows, x86-64": ("win32", "AMD64", "Windows", "tensorflow-cpu"),
    "Windows, arm64": ("win32", "ARM64", "Windows", "tensorflow"),
}


def requirements(extras, machine):
    """Return `{name: Requirement}` of the package with extras, on one kind of machine."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    sys_platform, platform_machine, platform_system, _ = MACHINES[machine]
    environment = {
        "sys_platform": sys_platform,
        "platform_machine": platform_machine,
        "platform_system": platform_system,
        "python_version": "3.12",
        "extra": "",
    }
    lines = config["options"]["install_requires"].splitlines()
    for extra in extras:
        lines += config["options.extras_require"][extra].splitlines()
    found = {}
    for line in lines:
        if not line.strip() or line.startswith("#"):
            continue
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate(environment):
            continue
        if requirement.name == "keras-video":
            found |= requirements(requirement.extras, machine)
        else:
            assert canonicalize_name(requirement.name) not in found
            found[canonicalize_name(requirement.name)] = requirement
    return found


def pins():
    """Return `{name: version}` of `constraints.txt`."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if not line.startswith("#")]
    return {canonicalize_name(name): Version(version) for name, version in pairs}


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("extra", ["tensorflow-cpu", "mobile", "dev"])
def test_each_machine_gets_one_tensorflow(extra, machine):
    found = {name for name in requirements([extra], machine) if name.startswith("tensorflow")}
    assert found == {MACHINES[machine][-1]}


@pytest.mark.parametrize("machine", MACHINES)
def test_all_that_make_installs_is_pinned_within_its_range(machine):
    """The extras are those of the Makefile's `demo`, `test` and `release`."""
    extras = re.findall(r"-e '\.\[(.*)\]'", (ROOT / "Makefile").read_text())
    assert len(extras) == 3
    known = pins()
    for names in extras:
        for name, requirement in requirements(names.split(","), machine).items():
            assert requirement.specifier.contains(known[name]), requirement


def test_both_packages_of_tensorflow_have_one_version():
    assert pins()["tensorflow"] == pins()["tensorflow-cpu"]


# What errors say about extras

# Others are called like their module.
DISTRIBUTIONS = {"PIL": "pillow", "sklearn": "scikit-learn", "tensorflow": "tensorflow-cpu"}


@pytest.mark.parametrize("extra", EXTRAS)
def test_extras_that_errors_name_install_what_is_missing(extra):
    found = requirements([extra], "Linux, x86-64")
    for module in EXTRAS[extra]:
        assert canonicalize_name(DISTRIBUTIONS.get(module, module)) in found


def test_how_to_install_is_said_in_one_place():
    """`pip install keras-video` finds nothing before the first release."""
    found = [
        path
        for folder in ("keras_video", "examples", "docs", "benchmarks")
        for path in (ROOT / folder).rglob("*.*")
        if path.suffix in (".py", ".md") and "keras-video[" in path.read_text("utf-8")
    ]
    assert found == [ROOT / "keras_video" / "checks.py"]
    assert "keras-video[" not in (ROOT / "README.md").read_text("utf-8")
    assert "pip install '.[tuner,plot]'" in install_hint("tuner,plot")


def test_a_missing_extra_is_told_without_importing_anything(monkeypatch):
    monkeypatch.setitem(EXTRAS, "video", ("json", "no_such_module"))
    with pytest.raises(ImportError, match=r"^--plot needs no_such_module\. Install .*\.\[video\]'"):
        check_extra("video", "--plot")
    monkeypatch.setitem(EXTRAS, "video", ("json",))
    check_extra("video", "--plot")
