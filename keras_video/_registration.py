"""Registers the library's classes with Keras once Keras is imported, without importing it.

`keras.models.load_model` finds registered classes only. Whoever writes `import keras_video` expects
that to be enough, in whatever order, yet importing Keras here would cost seconds.
"""

import importlib.abc
import importlib.util
import sys


def register():
    """Imports the modules that register classes, unless their own import is under way."""
    if "keras_video.layers" not in sys.modules:
        importlib.import_module("keras_video.models")
        importlib.import_module("keras_video.training")
        importlib.import_module("keras_video.mobile.primitives")
        importlib.import_module("keras_video.mobile.quantization_aware")


def register_with_keras():
    """Registers now if Keras is imported, else right after it will be."""
    if "keras" in sys.modules:
        register()
    elif not any(isinstance(finder, _AfterKeras) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterKeras())


class _AfterKeras(importlib.abc.MetaPathFinder):
    """Lets the usual finders find Keras, and registers when it has been executed."""

    def find_spec(self, name, path=None, target=None):
        if name != "keras":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_register(module):
            execute(module)
            register()

        spec.loader.exec_module = execute_and_register
        return spec
