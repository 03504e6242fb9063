"""`make release`: what a wheel and a source archive must hold, and that setuptools packs it."""

import importlib.util
import io
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
spec = importlib.util.spec_from_file_location("release", ROOT / "tools" / "release.py")
release = importlib.util.module_from_spec(spec)
spec.loader.exec_module(release)

FILES = {"keras_video/__init__.py", "keras_video/applications/movinet/files/a.npz"}


def write_wheel(path, names):
    with zipfile.ZipFile(path, "w") as archive:
        for name in [*names, "keras_video-0.1.0.dist-info/METADATA"]:
            archive.writestr(name, b"0" * 100)


def write_archive(path, names):
    with tarfile.open(path, "w:gz") as archive:
        for name in [*names, "PKG-INFO", "keras_video.egg-info/SOURCES.txt"]:
            archive.addfile(tarfile.TarInfo(f"keras_video-0.1.0/{name}"), io.BytesIO())


KINDS = {
    "a.whl": (write_wheel, FILES),
    "a.tar.gz": (write_archive, FILES | set(release.EXTRA_SOURCES)),
}


@pytest.mark.parametrize("name", KINDS)
def test_contents(tmp_path, name):
    write, files = KINDS[name]
    path = tmp_path / name
    write(path, files)
    release.check_contents(path, FILES)
    with pytest.raises(ValueError, match=f"{name}: expected at most 9 bytes, got"):
        release.check_contents(path, FILES, most_bytes=9)
    write(path, files - {"keras_video/applications/movinet/files/a.npz"})
    with pytest.raises(ValueError, match=r"expected keras_video/.*a\.npz, got an archive without"):
        release.check_contents(path, FILES)
    write(path, files | {"tests/test_house.py"})
    with pytest.raises(ValueError, match=r"also got tests/test_house\.py"):
        release.check_contents(path, FILES)


def test_every_file_of_the_package_is_packed():
    """A data file that `package_data` of setup.cfg does not name would be missing in the wheel."""
    there = (p for p in (ROOT / "keras_video").rglob("*") if p.is_file())
    there = {p.relative_to(ROOT).as_posix() for p in there if "__pycache__" not in p.parts}
    assert release.package_files() == there


def test_setuptools_packs_it(tmp_path):
    pytest.importorskip("setuptools", minversion="77")
    for name in release.package_files() | set(release.EXTRA_SOURCES):
        target = tmp_path / "source" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix == ".npz":
            target.touch()  # the weights are large
        else:
            shutil.copy(ROOT / name, target)
    code = (
        "from setuptools import build_meta as b; b.build_wheel('../out'); b.build_sdist('../out')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "source", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (wheel,), (archive,) = (tmp_path / "out").glob("*.whl"), (tmp_path / "out").glob("*.tar.gz")
    for path in (wheel, archive):
        release.check_contents(path, release.package_files())
