"""Builds the wheel and the source archive, and checks that they can be published.

    make release          # installs the extra `release`, then runs this file

1. `python -m build` makes the source archive, and from it the wheel, without an index.
2. Both hold every file of the package and nothing that does not belong there, below `MOST_BYTES`.
3. `twine check` accepts them.
4. The wheel, installed into a fresh environment, runs: the command, and a model with the weights
   that it contains. The packages it depends on are those of the environment that runs this file.
"""

import argparse
import configparser
import os
import pathlib
import re
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
MOST_BYTES = 12_000_000  # of each file; 8 MB are weights
PACKAGE = "keras_video"
# What the source archive has besides the package, and besides what setuptools writes.
EXTRA_SOURCES = (
    "CHANGELOG.md",
    "LICENSE",
    "MANIFEST.in",
    "README.md",
    "constraints.txt",
    "pyproject.toml",
    "setup.cfg",
)
WRITTEN = ("PKG-INFO",)  # by setuptools, as is the folder `keras_video.egg-info`
TRY = """
import sys
import keras_video
assert keras_video.__file__.startswith(sys.prefix), keras_video.__file__
from keras_video.applications import TinyVideoNetMovingDigits, movinet
assert len(movinet.labels("kinetics600")) == 600
model = TinyVideoNetMovingDigits(weights="moving_digits")
print("keras_video", keras_video.__version__, "computes", model(
    __import__("numpy").zeros((1, 4, 32, 32, 3), "uint8")).shape, "in", sys.prefix)
"""


def package_files(root=ROOT):
    """Return the files that a release must have, as strings relative to the root.

    These are the Python files of the package, and what `package_data` of setup.cfg names.
    """
    config = configparser.ConfigParser()
    config.read(root / "setup.cfg", encoding="utf-8")
    files = set((root / PACKAGE).rglob("*.py"))
    for module, patterns in config["options.package_data"].items():
        for pattern in patterns.split():
            files.update((root / module.replace(".", "/")).glob(pattern))
    return {path.relative_to(root).as_posix() for path in files}


def contents(path):
    """Return the names of the files in a wheel or a source archive, without its outer folder."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as archive:
            return {name for name in archive.namelist() if not name.endswith("/")}
    with tarfile.open(path) as archive:
        return {m.name.partition("/")[2] for m in archive.getmembers() if m.isfile()}


def check_contents(path, expected, most_bytes=MOST_BYTES):
    """Check the files in a wheel or a source archive.

    Args:
        path: `pathlib.Path`.
        expected: set of strings, the files of the package.
        most_bytes: int, the largest size.

    Raises:
        ValueError: if files are missing, if there are others, or if it is too large.
    """
    wheel = path.suffix == ".whl"
    found = contents(path)
    if wheel:
        others = {name for name in found if re.match(r"[^/]+\.dist-info/", name)}
    else:
        expected = expected | set(EXTRA_SOURCES)
        others = {n for n in found if n in WRITTEN or n.startswith(f"{PACKAGE}.egg-info/")}
    missing, foreign = sorted(expected - found), sorted(found - expected - others)
    if missing:
        raise ValueError(f"{path.name}: expected {_some(missing)}, got an archive without.")
    if foreign:
        raise ValueError(
            f"{path.name}: expected the files of the package, also got {_some(foreign)}."
        )
    size = path.stat().st_size
    if size > most_bytes:
        raise ValueError(f"{path.name}: expected at most {most_bytes:,} bytes, got {size:,}.")


def _some(names):
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def build(folder):
    """Build into an empty folder; return the paths of the source archive and the wheel."""
    # Not in the working tree, whose folder `build` may hold files of an older version.
    with tempfile.TemporaryDirectory() as copy:
        copy = pathlib.Path(copy)
        for name in sorted(package_files() | set(EXTRA_SOURCES)):
            target = copy / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
        _run("-m", "build", "--no-isolation", "--outdir", folder, copy)
    (archive,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return archive, wheel


def try_wheel(wheel):
    """Install a wheel into a fresh environment and use it there."""
    with tempfile.TemporaryDirectory() as folder:
        _run("-m", "venv", folder)
        binaries = pathlib.Path(folder) / ("Scripts" if sys.platform == "win32" else "bin")
        python = next(binaries.glob("python*"))
        _run("-m", "pip", "install", "-q", "--no-deps", "--no-index", wheel, python=python)
        paths = {"base": folder, "platbase": folder}
        site = sysconfig.get_path("purelib", "venv", vars=paths)
        ours = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
        pathlib.Path(site, "dependencies.pth").write_text("\n".join(sorted(ours)))
        print(_run("-c", TRY, python=python, cwd=folder).strip().splitlines()[-1])
        command = binaries / ("keras-video.exe" if sys.platform == "win32" else "keras-video")
        print(_run("models", python=command, cwd=folder).splitlines()[2])


def _run(*words, python=sys.executable, cwd=None):
    """Run Python or another program; return what it printed, or end with that."""
    command = [str(python), *map(str, words)]
    # A fresh environment must not see other versions of the package.
    fresh = {} if python == sys.executable else {"PYTHONPATH": "", "PYTHONNOUSERSITE": "1"}
    env = os.environ | fresh
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command[:4])} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def main():
    """Build and check a release."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--output", default="dist", type=pathlib.Path, help="an empty or new folder"
    )
    folder = parser.parse_args().output.resolve()
    if folder.exists() and any(folder.iterdir()):
        sys.exit(f"--output: expected an empty or new folder, got {folder}.")
    print("building", flush=True)
    paths = build(folder)
    for path in paths:
        check_contents(path, package_files())
        print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB, {len(contents(path))} files")
    print(_run("-m", "twine", "check", "--strict", *paths).strip())
    try_wheel(paths[1])
    print(f"checked: {folder}")


if __name__ == "__main__":
    main()
