"""The process in which models are timed: `python -m keras_video.tuner.latency.child SETTINGS`.

It reads one JSON request per line and answers each with one JSON line. Models arrive as Keras' JSON
without weights, because the values of the weights do not change the time. They run in LiteRT, or as
the compiled function of a Keras backend. The process must limit itself to its cores before a
backend is imported, so nothing heavy is imported at the top.

`choose_runtime` and `environment` serve the process that starts this one.
"""

import importlib.util
import json
import os
import signal
import statistics
import sys
import time

WARM_UP, WARM_UP_SECONDS = 5, 0.5
LEAST_RUNS, MOST_RUNS = 10, 10_000
LEAST_SECONDS = 0.05  # shorter series of a tiny model end before caches and clock rate settle


def choose_runtime(runtime, device):
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


def main():
    """Answer requests until the input ends."""
    settings = json.loads(sys.argv[1])
    pin(settings["threads"], settings["device"])
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what backends print goes to stderr
    models = {"reference": reference(settings)}
    models["reference"]()
    answers.write(json.dumps({"ready": True}) + "\n")
    for line in sys.stdin:
        request = json.loads(line)
        _kill_after(request["timeout"])
        try:
            if "path" in request:
                models.pop("candidate", None)  # frees its memory first
                run = load(request["path"], settings)
                run()
                models["candidate"] = run
                answer = {"loaded": True}
            else:
                answer = clock(models[request["network"]], request["seconds"], request["spread"])
        except Exception as error:
            said = str(error).strip().splitlines() or [""]
            answer = {"error": f"{type(error).__name__}: {said[0][:300]}"}
        _kill_after(0)
        answers.write(json.dumps(answer) + "\n")


def pin(threads, device):
    """Limit this process to as many cores as it has threads, if the system can do that."""
    if device == "cpu" and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])


def clock(run, seconds=1.0, spread=0.02, timer=time.perf_counter):
    """Time a function until its median is precise enough, or the time is up.

    Args:
        run: function without arguments that returns when its work is done.
        seconds: float, time limit. Three runs are made in any case.
        spread: float, precision at which to stop: half the 95 % interval of the median, relative to
            the median. At least 10 runs and `LEAST_SECONDS` are made before.
        timer: function that returns seconds.

    Returns:
        Dict of `ms`, the median, `fastest_ms`, `runs`, and `spread`, the precision reached.
    """
    least = min(LEAST_SECONDS, seconds)
    begin, count = timer(), 0
    while count < 1 or timer() - begin < (WARM_UP_SECONDS if count < WARM_UP else least):
        run()
        count += 1
    times, begin = [], timer()
    while len(times) < 3 or (len(times) < MOST_RUNS and timer() - begin < seconds):
        start = timer()
        run()
        end = timer()
        times.append(end - start)
        enough = len(times) >= LEAST_RUNS and end - begin >= least
        if enough and len(times) % 5 == 0 and half_interval(times) < spread:
            break
    return {
        "ms": 1e3 * statistics.median(times),
        "fastest_ms": 1e3 * min(times),
        "runs": len(times),
        "spread": half_interval(times),
    }


def half_interval(times):
    """Return half the distribution-free 95 % interval of the median, relative to the median."""
    ordered, n = sorted(times), len(times)
    reach = 0.98 * n**0.5
    low, high = max(0, int(n / 2 - reach)), min(n - 1, int(n / 2 + reach))
    return (ordered[high] - ordered[low]) / 2 / max(statistics.median(ordered), 1e-12)


def _kill_after(seconds):
    """Let the kernel end this process if a request takes longer; 0 cancels that."""
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)


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


if __name__ == "__main__":
    main()
