"""The floors of the house: who may import whom, and what `import keras_video` costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "keras_video"
FILES = sorted(PACKAGE.rglob("*.py"))

# Each floor stands on those below it.
FLOORS = ["specs", "layers", "blocks", "models", "applications", "training", "mobile", "tuner"]
# What stands beside the floors, and what it may import.
BESIDE = {
    "_registration": set(),
    "data": {"utils"},
    "datasets": {"utils"},
    "utils": {"specs"},
    "converters": {"specs", "applications"},
}
TOP = {"cli", "cli_evaluate", "cli_mobile", "cli_search", "cli_training", "demo"}
HEAVY = {"keras", "tensorflow", "jax", "torch", "av", "matplotlib", "sklearn", "h5py", "cv2"}


def part(path):
    """The floor a file belongs to; `""` for the package's own `__init__`."""
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem.replace("__init__", "")


def imports(tree, toplevel_only=False):
    """Names of the modules a syntax tree imports."""
    nodes = tree.body if toplevel_only else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            if node.module in ("keras_video", "keras_video.applications"):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def allowed(floor):
    if floor in TOP or floor == "":
        return None
    if floor in BESIDE:
        return BESIDE[floor] | {floor}
    below = set(FLOORS[: FLOORS.index(floor) + 1])
    return below | ({"utils"} if floor not in ("specs", "layers") else set())


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_floors(path):
    permitted = allowed(part(path))
    tree = ast.parse(path.read_text())
    inner = {name.split(".")[1] for name in imports(tree) if name.startswith("keras_video.")}
    if permitted is not None:
        # `converters` is imported by the one module that loads weights and by functions.
        extra = {"converters"} if part(path) in ("applications", "models") else set()
        assert inner <= permitted | extra | {"__version__"}, f"{path} imports {inner - permitted}"
    if part(path) in ("data", "datasets"):
        assert not inner & set(FLOORS)


@pytest.mark.parametrize(
    "name",
    [
        "specs/primitives.py",
        "applications/pretrained.py",
        "applications/movinet/config.py",
        "applications/movinet/plan.py",
        "applications/movinet/weights.py",
        "applications/families.py",
        "applications/tiny_video_net/config.py",
        "applications/tiny_video_net/plan.py",
        "applications/tiny_video_net/weights.py",
        "applications/blvnet_tam/config.py",
        "applications/blvnet_tam/plan.py",
        "applications/blvnet_tam/weights.py",
        "applications/x3d/config.py",
        "applications/x3d/plan.py",
        "applications/auto_tsnet/config.py",
        "applications/auto_tsnet/plan.py",
        "applications/auto_tsnet/presets.py",
        "applications/auto_tsnet/weights.py",
        "utils/complexity.py",
        "cli.py",
        "data/reader.py",
        "converters/tf_bundle.py",
        "converters/movinet_torch.py",
        "converters/blvnet_tam.py",
        "converters/torch_file.py",
        "converters/x3d.py",
    ],
)
def test_light_modules_import_nothing_heavy_at_the_top(name):
    tree = ast.parse((PACKAGE / name).read_text())
    heavy = {module.split(".")[0] for module in imports(tree, toplevel_only=True)} & HEAVY
    assert not heavy


def run_python(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )


def test_importing_the_library_imports_no_backend():
    names = sorted(HEAVY | {"numpy"})
    result = run_python(f"import sys, keras_video; print([m for m in {names} if m in sys.modules])")
    assert result.stdout.strip() == "[]", result.stderr


def test_every_public_name_can_be_reached():
    result = run_python(
        "import keras_video as kv\n"
        "for name in kv.__all__: getattr(kv, name)\n"
        "for name in kv.applications.__all__: getattr(kv.applications, name)\n"
        "for name in kv.applications.movinet.__all__: getattr(kv.applications.movinet, name)\n"
        "for family in ('tiny_video_net', 'blvnet_tam', 'x3d', 'auto_tsnet'):\n"
        "    module = getattr(kv.applications, family)\n"
        "    for name in module.__all__: getattr(module, name)\n"
        "for name in kv.data.__all__: getattr(kv.data, name)\n"
        "for name in kv.mobile.__all__: getattr(kv.mobile, name)\n"
        "print('all there')"
    )
    assert result.stdout.strip().endswith("all there"), result.stderr


@pytest.mark.parametrize("quarter", range(4))
def test_no_import_cycles(quarter):
    """Every module can be the first one to be imported."""
    modules = [
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        for path in FILES[quarter::4]
        if path.name != "__init__.py"
    ]
    code = (
        "import importlib, sys\n"
        f"for module in {modules!r}:\n"
        "    for name in [n for n in sys.modules if n.startswith('keras_video')]:\n"
        "        del sys.modules[name]\n"
        "    importlib.import_module(module)\n"
        "print('no cycles')"
    )
    result = run_python(code)
    assert result.stdout.strip().endswith("no cycles"), result.stderr


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_modules_and_public_names_have_docstrings(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), f"{path} has no docstring"
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{path}: {node.name} has no docstring"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_hold_one_idea(path):
    assert len(path.read_text().splitlines()) <= 350


def test_version_is_the_package_version():
    version = run_python("import keras_video; print(keras_video.__version__)").stdout.strip()
    changelog = (PACKAGE.parent / "CHANGELOG.md").read_text()
    assert f"## {version}" in changelog
