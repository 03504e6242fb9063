"""Register the classes of the library as soon as Keras is imported, without importing it.

`keras.models.load_model` finds registered classes only. `import keras_video` must be enough for
that, before or after `import keras`. Importing Keras here would take seconds.
"""

import importlib
import importlib.abc
import sys


def register():
    """Import the modules that register classes."""
    importlib.import_module("keras_video.models")
    importlib.import_module("keras_video.training")
    importlib.import_module("keras_video.mobile.primitives")
    importlib.import_module("keras_video.mobile.quantization.aware")


def register_with_keras():
    """Register now if Keras is imported, otherwise right after its import."""
    if "keras" in sys.modules:
        register()
    elif not any(isinstance(finder, _AfterKeras) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterKeras())


class _AfterKeras(importlib.abc.MetaPathFinder):
    """Find Keras by the other finders, and register after it has been executed.

    If one of our own modules imports Keras, registering waits until that module is complete,
    because other modules cannot import names from it before.
    """

    def __init__(self):
        self.depth = 0  # of our modules that are being executed

    def find_spec(self, name, path=None, target=None):
        if name != "keras" and not name.startswith("keras_video."):
            return None
        specs = (f.find_spec(name, path, target) for f in sys.meta_path if f is not self)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_register(module):
            ours = name != "keras"
            self.depth += ours
            try:
                execute(module)
            finally:
                self.depth -= ours
            if not self.depth and "keras" in sys.modules and self in sys.meta_path:
                sys.meta_path.remove(self)
                register()

        spec.loader.exec_module = execute_and_register
        return spec
