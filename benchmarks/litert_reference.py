"""The same networks as float32 LiteRT files: what the processor can do.

Exported from our Keras model on TensorFlow with batch norm folded and all shapes known, run by
LiteRT's interpreter with its XNNPACK kernels. As a script it exports a file, compares what it
computes with Keras, and shows which operations it consists of and how long it takes:

    python benchmarks/litert_reference.py                      # or with a1, a2
"""

import collections
import os
import statistics
import tempfile
import time

import harness
import networks
import numpy as np
from absl import app, flags

FLAGS = flags.FLAGS
TOLERANCE = 1e-4
CHECKED_FRAMES = 4


def clip_file(folder, model, frames, size):
    """Path of the file of a clip network, written on the first call."""
    path = os.path.join(folder, f"{model}_{frames}x{size}.tflite")
    if not os.path.exists(path):
        _write(path, _export_clip(model, frames, size))
    return path


def stream_file(folder, model, size):
    """Path of the file of a streaming network that takes one frame, written on the first call."""
    path = os.path.join(folder, f"{model}_stream_{size}.tflite")
    if not os.path.exists(path):
        _write(path, _export_stream(model, size))
    return path


def run_clip(model, batch, frames, size, folder, threads):
    """For the harness: runs the file on a clip."""
    if batch != 1:
        raise ValueError(f"batch: the file takes 1 clip, got {batch}.")
    network = interpreter(clip_file(folder, model, frames, size), threads)
    network.set_tensor(network.get_input_details()[0]["index"], networks.clip(1, frames, size))
    output = network.get_output_details()[0]["index"]

    def run():
        network.invoke()
        return network.get_tensor(output)

    return run


def run_stream(model, batch, frames, size, folder, threads, copy_state=True):
    """For the harness: runs the file on one frame after the other.

    Args:
        copy_state: bool, feed the new state back. An application that exchanges buffers instead of
            copying them needs only the time without.
    """
    if (batch, frames) != (1, 1):
        raise ValueError(f"batch, frames: the file takes 1 frame, got {batch}, {frames}.")
    network = interpreter(stream_file(folder, model, size), threads)
    step = stream_stepper(network)
    for frame in networks.clip(CHECKED_FRAMES - 1, 1, size):
        step(frame[None])
    frame = networks.clip(1, 1, size)
    if copy_state:
        return lambda: step(frame)
    target, *_ = sorted(network.get_input_details(), key=lambda detail: detail["name"])
    network.set_tensor(target["index"], frame)
    logits = network.get_output_details()[0]["index"]

    def run():
        network.invoke()
        return network.get_tensor(logits)

    return run


def interpreter(path, threads):
    from ai_edge_litert.interpreter import Interpreter

    network = Interpreter(model_path=path, num_threads=threads)
    network.allocate_tensors()
    return network


def stream_stepper(network):
    """A function `frame -> logits` that copies the new state over the old one."""
    inputs = sorted(network.get_input_details(), key=lambda detail: detail["name"])
    frames, *old = [network.tensor(detail["index"]) for detail in inputs]
    logits, *new = [network.tensor(detail["index"]) for detail in network.get_output_details()]
    for tensor in old:
        tensor()[...] = 0

    def step(frame):
        frames()[...] = frame
        network.invoke()
        for source, target in zip(new, old, strict=True):
            np.copyto(target(), source())
        return logits().copy()

    return step


def _export_clip(model, frames, size):
    import tensorflow as tf

    keras_model = networks.keras_model(model, input_shape=(frames, size, size, 3))
    folded = _fold(keras_model)
    spec = tf.TensorSpec((1, frames, size, size, 3), tf.float32, name="frames")
    content = _convert(lambda clip: folded(clip), [spec])
    clip = networks.clip(1, frames, size)
    network = _load(content)
    network.set_tensor(network.get_input_details()[0]["index"], clip)
    network.invoke()
    received = network.get_tensor(network.get_output_details()[0]["index"])
    _check(received, keras_model(clip).numpy())
    return content


def _export_stream(model, size):
    import tensorflow as tf
    from keras import tree

    keras_model = networks.keras_model(model, streaming=True, input_shape=(None, size, size, 3))
    folded = _fold(keras_model)
    state = folded.init_state(1, size, size)
    specs = [tf.TensorSpec((1, 1, size, size, 3), tf.float32, name="frames")]
    for i, part in enumerate(tree.flatten(state)):
        specs.append(tf.TensorSpec(part.shape, part.dtype, name=f"state_{i:03d}"))

    def step(frames, *flat):
        logits, new = folded(frames, tree.pack_sequence_as(state, list(flat)))
        return [logits, *tree.flatten(new)]

    content = _convert(step, specs)
    lite_step = stream_stepper(_load(content))
    for i, frame in enumerate(networks.clip(CHECKED_FRAMES, 1, size)):
        expected, state = keras_model(frame[None], state)
        _check(lite_step(frame[None]), expected.numpy(), f"frame {i}: ")
    return content


def _fold(model):
    from keras_video.models import fold_batch_norm

    return fold_batch_norm(model)


def _convert(function, specs):
    """Bytes of the file. The weights are frozen first: left as variables they cannot be fused."""
    import tensorflow as tf
    from tensorflow.python.framework import convert_to_constants

    concrete = tf.function(function).get_concrete_function(*specs)
    frozen = convert_to_constants.convert_variables_to_constants_v2(concrete)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    return converter.convert()


def _load(content):
    from ai_edge_litert.interpreter import Interpreter

    network = Interpreter(model_content=content)
    network.allocate_tensors()
    return network


def _check(received, expected, where=""):
    difference = harness.largest_difference([received], [expected])
    if not difference <= TOLERANCE:
        raise ValueError(f"{where}LiteRT and Keras differ by {difference:.1e}.")


def _write(path, content):
    partial = f"{path}.partial"
    with open(partial, "wb") as file:
        file.write(content)
    os.replace(partial, path)


def describe(path, network):
    """Lines on the size of a file and its operations; `DELEGATE` counts the XNNPACK partitions."""
    names = collections.Counter(op["op_name"] for op in network._get_ops_details())
    ops = ", ".join(f"{count} {name}" for name, count in names.most_common())
    return f"{os.path.basename(path)}: {os.path.getsize(path) / 1e6:.1f} MB\n  {ops}"


def main(argv):
    model = f"movinet_{argv[1] if len(argv) > 1 else 'a0'}"
    os.environ.update(harness.environment("litert", FLAGS.threads))
    size = 64 if FLAGS.quick else networks.SIZES[model]
    frames = 4 if FLAGS.quick else 16
    with tempfile.TemporaryDirectory() as folder:
        clip = clip_file(folder, model, frames, size)
        stream = stream_file(folder, model, size)
        print(f"Both agree with Keras within {TOLERANCE:g}.")
        for path in (clip, stream):
            print(describe(path, interpreter(path, 1)))
            for threads in (1, 2):
                network = interpreter(path, threads)
                network.invoke()
                times = []
                for _ in range(3 if FLAGS.quick else 30):
                    begin = time.perf_counter()
                    network.invoke()
                    times.append(1e3 * (time.perf_counter() - begin))
                median = statistics.median(times)
                print(f"  {threads} thread(s): median {median:.2f} ms, best {min(times):.2f} ms")


if __name__ == "__main__":
    app.run(main)
