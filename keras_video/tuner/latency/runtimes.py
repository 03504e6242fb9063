"""How a model runs to be timed: in LiteRT, or as the compiled function of a Keras backend."""

import importlib.util
import os


def choose(runtime, device):
    """Return `"litert"` or `"keras"`. `"auto"` chooses LiteRT on a CPU if it is installed."""
    if runtime != "auto":
        return runtime
    installed = all(importlib.util.find_spec(m) for m in ("ai_edge_litert", "tensorflow"))
    return "litert" if device == "cpu" and installed else "keras"


def environment(settings):
    """Return the environment variables of the process that runs the models.

    Args:
        settings: dict of `runtime`, `backend`, `threads` and `device`.
    """
    variables = dict(os.environ)
    variables["KERAS_BACKEND"] = (
        "tensorflow" if settings["runtime"] == "litert" else settings["backend"]
    )
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "MKL_NUM_THREADS"):
        variables[name] = str(settings["threads"])
    variables |= {"TF_NUM_INTEROP_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    # Take only the GPU memory that is needed: the training next to this process needs the rest.
    variables |= {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    if settings["device"] == "cpu":
        variables |= {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
    return variables


def load(path, settings):
    """Return a function without arguments that runs the model of a JSON file once, on one clip."""
    import keras

    import keras_video  # noqa: F401  (registers its layers)

    with open(path, encoding="utf-8") as file:
        model = keras.models.model_from_json(file.read())
    return compile_run(model, settings)


def reference(settings):
    """Return a function that runs a small fixed model. Its time shows how busy the machine is."""
    import keras

    inputs = keras.Input((64, 64, 3))
    x = keras.layers.Conv2D(16, 3, 2, "same", activation="relu")(inputs)
    for _ in range(4):
        y = keras.layers.Conv2D(64, 1, activation="relu")(x)
        y = keras.layers.DepthwiseConv2D(3, padding="same", activation="relu")(y)
        x = x + keras.layers.Conv2D(16, 1)(y)
    outputs = keras.layers.Dense(10)(keras.layers.GlobalAveragePooling2D()(x))
    return compile_run(keras.Model(inputs, outputs), settings)


def compile_run(model, settings):
    """Return a function that runs a Keras model on a fixed random batch of one clip.

    Raises:
        ValueError: unless the model has one input of fixed shape.
    """
    import numpy as np

    shape = (1, *model.inputs[0].shape[1:])
    if len(model.inputs) != 1 or None in shape:
        raise ValueError(
            f"model: expected one input of fixed shape, got {[x.shape for x in model.inputs]}."
        )
    batch = np.random.default_rng(0).random(shape, "float32")
    if settings["runtime"] == "litert":
        return _litert(model, batch, settings["threads"])
    import keras

    return {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}[keras.backend.backend()](
        model, batch
    )


def _litert(model, batch, threads):
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter
    from tensorflow.python.framework import convert_to_constants

    function = tf.function(lambda x: model(x, training=False))
    concrete = function.get_concrete_function(tf.TensorSpec(batch.shape, tf.float32))
    # Batch normalisation is fused into the weights only if they are constants.
    frozen = convert_to_constants.convert_variables_to_constants_v2(concrete)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    interpreter = Interpreter(model_content=converter.convert(), num_threads=threads)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], batch)
    return interpreter.invoke


def _tensorflow(model, batch):
    import tensorflow as tf

    function = tf.function(lambda x: model(x, training=False))
    batch = tf.constant(batch)
    return lambda: function(batch).numpy()


def _jax(model, batch):
    import jax

    function = jax.jit(lambda *args: model.stateless_call(*args, training=False)[0])
    values = [[v.value for v in model.trainable_variables]]
    values += [[v.value for v in model.non_trainable_variables]]
    batch = jax.numpy.asarray(batch)
    return lambda: jax.block_until_ready(function(*values, batch))


def _torch(model, batch):
    import torch
    from keras import ops

    batch = ops.convert_to_tensor(batch)  # on Keras' device

    def run():
        with torch.no_grad():
            model(batch, training=False)
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    return run
