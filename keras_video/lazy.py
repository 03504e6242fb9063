"""Public names of packages: what `dir` lists, and what is imported on first use (PEP 562)."""

import importlib


def lazy_names(package, owners, modules=(), here=()):
    """Return `__all__`, `__getattr__` and `__dir__` for the `__init__.py` of a package.

    Importing the package then imports none of its modules, because Keras and its backend take
    seconds, and configs and weight records can be read without them. `dir(package)` lists the
    public names only.

    Args:
        package: string, the package's `__name__`.
        owners: dict, module to a tuple of the public names that it defines. The module is relative
            to the package; `".name"` is a module next to the package.
        modules: strings, modules of the package that are public names themselves.
        here: strings, public names that the `__init__.py` defines or imports itself.

    Example:
    >>> __all__, __getattr__, __dir__ = lazy_names(__name__, {"config": ("CONFIGS",)})
    """
    found = {name: module for module, names in owners.items() for name in names}
    public = sorted([*found, *modules, *here])

    def __getattr__(name):
        if name in found:
            return getattr(importlib.import_module(f".{found[name]}", package), name)
        if name in modules:
            return importlib.import_module(f".{name}", package)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return public, __getattr__, listing(public)


def listing(names):
    """Return a `__dir__` for a package that imports its public names itself."""

    def __dir__():
        return sorted(names)

    return __dir__
