"""The floors of the house: who may import whom, and what `import keras_video` costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "keras_video"
FILES = sorted(PACKAGE.rglob("*.py"))

# Each floor stands on those below it.
FLOORS = [
    "specs",
    "layers",
    "blocks",
    "models",
    "applications",
    "hub",
    "training",
    "mobile",
    "tuner",
    "cli",
]
# The ground, which every floor may use, and rooms beside the floors with what they may import.
GROUND = {"checks", "files", "lazy", "progress"}
BESIDE = {
    "_registration": set(),
    "answers": {"data"},  # models read videos through it; data knows nothing of models
    "checkpoints": {"specs"},
    "data": set(),
    "datasets": set(),
    "plotting": {"specs", "utils", "data"},  # annotated videos are read and written
    "utils": {"specs", "plotting"},
}
USES_BESIDE = {
    "models": {"answers", "checkpoints"},
    "applications": {"answers", "checkpoints"},
    "hub": {"utils"},
    "training": {"checkpoints", "plotting", "utils"},
    "mobile": {"answers", "checkpoints", "utils"},
    "tuner": {"checkpoints", "plotting", "utils", "data"},
}
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
    if floor in ("", "cli"):
        return None
    if floor in GROUND:
        return GROUND
    if floor in BESIDE:
        return GROUND | BESIDE[floor] | {floor}
    below = set(FLOORS[: FLOORS.index(floor) + 1])
    return GROUND | below | USES_BESIDE.get(floor, set())


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_floors(path):
    permitted = allowed(part(path))
    inner = {
        name.split(".")[1]
        for name in imports(ast.parse(path.read_text()))
        if name.startswith("keras_video.")
    }
    if permitted is not None:
        wrong = inner - permitted - {"__version__"}
        assert not wrong, f"{path} imports {wrong}"


@pytest.mark.parametrize(
    "name",
    [
        "answers.py",
        "applications/auto_tsnet/config.py",
        "applications/auto_tsnet/weights.py",
        "applications/blvnet_tam/checkpoints.py",
        "applications/blvnet_tam/config.py",
        "applications/blvnet_tam/weights.py",
        "applications/families.py",
        "applications/movinet/checkpoints.py",
        "applications/movinet/config.py",
        "applications/movinet/weights.py",
        "applications/pretrained.py",
        "applications/tiny_video_net/checkpoints.py",
        "applications/tiny_video_net/config.py",
        "applications/tiny_video_net/weights.py",
        "applications/x3d/checkpoints.py",
        "applications/x3d/config.py",
        "applications/x3d/weights.py",
        "checkpoints/tensorflow.py",
        "checkpoints/torch.py",
        "checks.py",
        "cli/commands.py",
        "data/reader.py",
        "files.py",
        "hub.py",
        "lazy.py",
        "progress.py",
        "specs/primitives.py",
        "specs/video_input.py",
        "utils/complexity.py",
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


def test_dir_lists_public_names_and_nothing_else():
    packages = [
        module_name(p) for p in FILES if p.name == "__init__.py" and "__all__" in p.read_text()
    ]
    assert len(packages) > 10
    result = run_python(
        f"import importlib\nfor name in {packages}:\n"
        "    module = importlib.import_module(name)\n"
        "    wrong = set(dir(module)) ^ set(module.__all__)\n"
        "    assert not wrong and len(dir(module)) == len(module.__all__), (name, wrong)\n"
        "print('all')"
    )
    assert result.stdout.strip().endswith("all"), result.stderr


def module_name(path):
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(
        ".__init__"
    )


def import_graph(sources):
    """`{module: modules it imports}` from `{module: source}`, imports in functions included."""
    graph = {}
    for name, source in sources.items():
        used = set()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                used.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{name}: expected absolute imports."
                submodules = {f"{node.module}.{alias.name}" for alias in node.names} & set(sources)
                used |= submodules
                if len(submodules) < len(node.names):
                    used.add(node.module)
        graph[name] = (used & set(sources)) - {name}
    return graph


def circles(graph):
    """Sets of modules that reach each other: strongly connected components (Tarjan 1972)."""
    index, low, stack, found = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in graph[node]:
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            members = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(members) > 1:
                found.append(sorted(members))

    for node in graph:
        if node not in index:
            visit(node)
    return found


def test_no_import_circles():
    assert circles(import_graph({module_name(p): p.read_text("utf-8") for p in FILES})) == []


def test_circles_are_found_also_inside_functions():
    sources = {
        "k.a": "from k import b",
        "k.b": "def f():\n    from k.c import x",
        "k.c": "def g():\n    import k.a",
        "k.d": "from k.c import x",
        "k": "",
    }
    assert circles(import_graph(sources)) == [["k.a", "k.b", "k.c"]]


def test_number_of_files():
    assert len(FILES) <= 200


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_modules_and_public_names_have_docstrings(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), f"{path} has no docstring"
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{path}: {node.name} has no docstring"


def test_version_is_the_package_version():
    version = run_python("import keras_video; print(keras_video.__version__)").stdout.strip()
    changelog = (PACKAGE.parent / "CHANGELOG.md").read_text()
    assert f"## {version}" in changelog
