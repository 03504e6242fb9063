"""The same networks as float32 LiteRT files, as a measure of what the processor can do.

They are exported by `keras_video.mobile` and run by LiteRT's interpreter with its XNNPACK kernels.
As a script, this exports a clip file and a stream file, compares their results with Keras, and
prints their operations and times:

    python benchmarks/litert_reference.py                      # or with a1, a2
"""

import os
import tempfile

import harness
import networks
from absl import app, flags

FLAGS = flags.FLAGS
CHECKED_FRAMES = 4


def clip_file(folder, model, frames, size):
    """Path of the file of a clip network, written on the first call."""
    path = os.path.join(folder, f"{model}_{frames}x{size}.tflite")
    return _export(path, model, input_shape=(frames, size, size, 3))


def stream_file(folder, model, size):
    """Path of the file of a streaming network that takes one frame, written on the first call."""
    path = os.path.join(folder, f"{model}_stream_{size}.tflite")
    return _export(path, model, streaming=True, input_shape=(None, size, size, 3))


def run_clip(model, batch, frames, size, folder, threads):
    """For the harness: runs the file on a clip."""
    if batch != 1:
        raise ValueError(f"batch: the file takes 1 clip, got {batch}.")
    network = _load(clip_file(folder, model, frames, size), threads)
    clip = networks.clip(1, frames, size)
    return lambda: network.predict(clip)


def run_stream(model, batch, frames, size, folder, threads, copy_state=True):
    """For the harness: runs the file on one frame after the other.

    Args:
        copy_state: bool, feed the new state back. An application that exchanges buffers instead of
            copying them needs only the time without.
    """
    if (batch, frames) != (1, 1):
        raise ValueError(f"batch, frames: the file takes 1 frame, got {batch}, {frames}.")
    network = _load(stream_file(folder, model, size), threads)
    for frame in networks.clip(CHECKED_FRAMES - 1, 1, size):
        network.step(frame)
    frame = networks.clip(1, 1, size)[0]
    if copy_state:
        return lambda: network.step(frame)[None]
    network.step(frame)
    lite = network.interpreter
    predictions = lite.get_signature_runner().get_output_details()["predictions"]["index"]

    def run():
        lite.invoke()
        return lite.get_tensor(predictions)

    return run


def _export(path, model, **options):
    if not os.path.exists(path):
        from keras_video.mobile import export_litert

        export_litert(networks.keras_model(model, **options), path)
    return path


def _load(path, threads):
    from keras_video.mobile import LiteRTModel

    return LiteRTModel(path, threads)


def main(argv):
    model = f"movinet_{argv[1] if len(argv) > 1 else 'a0'}"
    os.environ.update(harness.environment("litert", FLAGS.threads))
    from keras_video.mobile.bench import bench

    size = 64 if FLAGS.quick else networks.SIZES[model]
    frames = 4 if FLAGS.quick else 16
    with tempfile.TemporaryDirectory() as folder:
        clip = clip_file(folder, model, frames, size)
        stream = stream_file(folder, model, size)
        for path in (clip, stream):
            for threads in (1, 2):
                print(bench(path, threads, 3 if FLAGS.quick else 30))


if __name__ == "__main__":
    app.run(main)
