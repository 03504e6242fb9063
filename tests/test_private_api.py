"""Private API of other packages: all that the library touches, in one list.

An upgrade may remove or change any of it without notice. These tests say what is gone, and which
file needs it. A new use fails as well: do without it, or add a row that says why it is needed.
"""

import ast
import functools
import importlib
import inspect
import textwrap
from pathlib import Path

import keras
import pytest

pytest.importorskip("keras_tuner", reason="needs the extra tuner")

ROOT = Path(__file__).parents[1]
SOURCES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "keras_video").rglob("*.py"))
}
TREES = {name: ast.parse(path.read_text("utf-8")) for name, path in SOURCES.items()}

_INPUT = keras.Input((1,))
FUNCTIONAL = type(keras.Model(_INPUT, _INPUT))  # Keras has no public name for this class

TUNER = "keras_tuner.src.engine.tuner.Tuner"
BASE_TUNER = "keras_tuner.src.engine.base_tuner.BaseTuner"
HYPERPARAMETERS = "keras_tuner.src.engine.hyperparameters.hyperparameters.HyperParameters"
# (owner, name): where it is used, and why. The owner is a class, or the module imported from.
USES = {
    ("keras.src.ops.function.Function", "_nodes_by_depth"): (
        "models/video_classifier.py: Keras has no public way to the calls of a Functional model."
    ),
    (BASE_TUNER, "_populate_initial_space"): (
        "tuner/search/tuner.py: called by the constructor, would build the space to explore it."
    ),
    (BASE_TUNER, "_run_and_update_trial"): (
        "tuner/*/tuner.py: our loop's step has KerasTuner's name, so that its own loop works too."
    ),
    (BASE_TUNER, "_try_run_and_update_trial"): (
        "tuner/*/tuner.py: a failed measurement or chunk must not count as a failed trial."
    ),
    (HYPERPARAMETERS, "_hps"): "tuner/spaces/declared.py: cheap copies of declared spaces.",
    (HYPERPARAMETERS, "_space"): "tuner/spaces/declared.py: cheap copies of declared spaces.",
    ("keras_tuner.src.engine.oracle.Oracle", "_project_dir"): (
        "tuner/search/oracle.py: where the project of a search lies."
    ),
    (TUNER, "_build_and_fit_model"): "tuner/search/tuner.py: fits the model that was measured.",
    (TUNER, "_build_hypermodel"): "tuner/search/tuner.py: compiles what the space built.",
    (TUNER, "_get_checkpoint_fname"): "tuner/*/tuner.py: weights lie where KerasTuner looks.",
    (TUNER, "_override_compile_args"): "tuner/search/tuner.py: the tuner's optimizer and loss.",
    (TUNER, "_try_build"): "tuner/search/tuner.py: builds where no measured model exists.",
    ("concurrent.futures.ProcessPoolExecutor", "_processes"): (
        "data/prefetch.py: only a kill ends a worker that hangs in a decoder."
    ),
    ("ai_edge_litert.interpreter.Interpreter", "_get_ops_details"): (
        "mobile/bench.py: counts the partitions that XNNPACK takes."
    ),
    ("tensorflow.python.framework", "convert_to_constants"): (
        "tuner/latency/child.py: a frozen graph; otherwise LiteRT does not fuse batch norm."
    ),
    ("tensorflow.python.lib.io.tf_record", "tf_record_random_reader"): (
        "data/shards.py: the only checked way to read a record in the middle of a file."
    ),
    ("tensorflow.python.ops", "control_flow_util"): (
        "layers/backend.py: XLA needs other forms of convolutions, and nothing public tells."
    ),
}
PUBLIC = {"_asdict", "_exit", "_replace"}  # documented, the underscore notwithstanding


def private(name):
    return name.startswith("_") and not name.startswith("__")


def attributes(tree):
    """Private attributes that a syntax tree reads or sets, of whatever object."""
    return {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and private(n.attr)}


def methods(tree):
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {n.name for n in ast.walk(tree) if isinstance(n, kinds) and private(n.name)}


@functools.cache
def private_names(cls):
    """Private methods of a class, and private attributes that its code sets on `self`."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    except (OSError, TypeError):
        return frozenset()
    kept = {
        n.attr
        for n in ast.walk(tree)
        if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store) and private(n.attr)
    }
    return frozenset(kept | methods(tree) | {name for name in vars(cls) if private(name)})


def foreign(cls):
    return cls.__module__.split(".")[0] not in ("keras_video", "builtins", "abc", "typing")


def own_classes():
    """`(module, syntax tree, class)` of every class at the top of a module."""
    for name, tree in TREES.items():
        nodes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
        for node in nodes:
            yield name, node, getattr(importlib.import_module(name), node.name)


def inherited():
    """`{(owner, name): modules}`: private names of a foreign base that our classes use."""
    found = {}
    for module, tree, cls in own_classes():
        used = attributes(tree) | methods(tree)
        # Keras makes a model Functional when it is called with inputs and outputs.
        extra = FUNCTIONAL.__mro__ if issubclass(cls, keras.Model) else ()
        for base in filter(foreign, dict.fromkeys([*cls.__mro__, *extra])):
            for name in used & private_names(base):
                found.setdefault((f"{base.__module__}.{base.__name__}", name), set()).add(module)
    return found


def read_elsewhere():
    """`{name: modules}`: private attributes that nothing in our package defines."""
    own = set()
    for tree in TREES.values():
        own |= methods(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                own.add(node.id)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                own.add(node.attr)
            elif isinstance(node, ast.ClassDef):
                own.add(node.name)
    found = {}
    for module, tree in TREES.items():
        texts = {
            node.args[1].value
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("getattr", "setattr", "hasattr")
            and isinstance(node.args[1], ast.Constant)
        }
        for name in (attributes(tree) | {t for t in texts if private(t)}) - own:
            found.setdefault(name, set()).add(module)
    return found


def private_imports():
    """`{(module, name): modules}`: imports from modules that are not public."""
    found = {}
    for module, tree in TREES.items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.ImportFrom) or node.module.startswith("keras_video"):
                continue
            parts = node.module.split(".")
            hidden = {"src", "python"} & set(parts) or any(map(private, parts))
            for alias in node.names:
                if hidden or private(alias.name):
                    found.setdefault((node.module, alias.name), set()).add(module)
    return found


def resolve(dotted):
    """The object of a dotted name: a module, or something in one."""
    module, rest = dotted, []
    while module:
        try:
            found = importlib.import_module(module)
            break
        except ModuleNotFoundError:
            module, _, last = module.rpartition(".")
            rest.insert(0, last)
    return functools.reduce(getattr, rest, found)


def is_there(owner, name):
    if inspect.isclass(owner):
        return any(name in private_names(cls) for cls in owner.__mro__)
    if hasattr(owner, name):
        return True
    try:  # a module that its package does not import
        importlib.import_module(f"{owner.__name__}.{name}")
    except ModuleNotFoundError:
        return False
    return True


@pytest.mark.parametrize("owner, name", USES)
def test_what_is_listed_exists(owner, name):
    package = owner.split(".")[0]
    pytest.importorskip(package)
    assert is_there(resolve(owner), name), (
        f"{owner}.{name} is gone from the installed {package}. {USES[owner, name]}"
    )


def test_a_name_that_is_gone_is_noticed():
    assert not is_there(resolve(TUNER), "_gone")
    assert not is_there(resolve("tensorflow.python.ops"), "gone_util")


def test_all_uses_are_listed():
    found = {name: modules for (_, name), modules in inherited().items()}
    for uses in (read_elsewhere(), {name: m for (_, name), m in private_imports().items()}):
        for name, modules in uses.items():
            found[name] = found.get(name, set()) | modules
    listed = {name for _, name in USES}
    new = {name: sorted(found[name]) for name in set(found) - listed - PUBLIC}
    assert not new, f"private API that no row of USES explains: {new}"
    assert not listed - set(found), f"rows of USES that nothing needs: {listed - set(found)}"
