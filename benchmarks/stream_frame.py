"""One frame of a stream: `keras_video.Stream` on every backend against LiteRT.

python benchmarks/stream_frame.py
python benchmarks/stream_frame.py --models=a0
"""

import tempfile

import harness
import litert_reference
import networks
from absl import app, flags
from harness import Contender

FLAGS = flags.FLAGS
flags.DEFINE_list("models", ["a0", "a1", "a2"], "Of a0, a1, a2.")
REFERENCE = "LiteRT, 1 thread, state in place"


def stream(model, batch, frames, size):
    """`Stream.step`, compiled; state in, state out."""
    import keras_video

    video = keras_video.Stream(networks.keras_model(model, streaming=True), batch)
    return _after_some_frames(video.step, size)


def uncompiled(model, batch, frames, size):
    """Calling the model itself, frame by frame."""
    import keras

    network = networks.keras_model(model, streaming=True)
    state = network.init_state(batch, size, size)

    def step(frame):
        nonlocal state
        logits, state = network(keras.ops.convert_to_tensor(frame), state)
        return logits

    def quiet_step(frame):
        if keras.backend.backend() != "torch":
            return step(frame)
        import torch

        with torch.inference_mode():
            return step(frame)

    return _after_some_frames(quiet_step, size)


def _after_some_frames(step, size):
    """Feeds a few different frames first, so that the state takes part in what is compared."""
    for frame in networks.clip(litert_reference.CHECKED_FRAMES - 1, 1, size):
        step(frame[None])
    frame = networks.clip(1, 1, size)
    return lambda: step(frame)


def contenders(folder):
    lite = litert_reference.run_stream
    one, two = {"folder": folder, "threads": 1}, {"folder": folder, "threads": 2}
    in_place = {"copy_state": False}
    return [
        Contender("LiteRT, 1 thread, state in place", "litert", lite, one | in_place),
        Contender("LiteRT, 1 thread, state copied", "litert", lite, one),
        Contender("LiteRT, 2 threads, state copied", "litert", lite, two),
        *(Contender(f"{b}, Stream", b, stream) for b in ("tensorflow", "jax", "torch")),
        *(Contender(f"{b}, uncompiled", b, uncompiled) for b in ("tensorflow", "jax", "torch")),
    ]


def main(argv):
    del argv
    FLAGS.set_default("repetitions", 40)
    cases = {}
    for short in FLAGS.models:
        model = f"movinet_{short}"
        size = 64 if FLAGS.quick else networks.SIZES[model]
        title = f"{short.upper()} stream, 1 frame of {size} x {size}"
        cases[title] = {"model": model, "batch": 1, "frames": 1, "size": size}
    with tempfile.TemporaryDirectory() as folder:
        harness.compare("stream_frame", contenders(folder), cases, REFERENCE)


if __name__ == "__main__":
    app.run(main)
