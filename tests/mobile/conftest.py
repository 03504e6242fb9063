"""Fixtures of the tests of files for phones."""

import keras
import pytest


@pytest.fixture(scope="module")
def without_graphs():
    """On TensorFlow, computes at once what would be traced: many networks, few predictions of each.

    Conversion traces all the same; `test_export` and `test_fake_quantization` run in graphs.
    """
    if keras.backend.backend() != "tensorflow":
        yield
        return
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)
