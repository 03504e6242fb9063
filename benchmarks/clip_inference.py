"""Logits of one clip: every backend against plain torch and LiteRT.

python benchmarks/clip_inference.py                        # MoViNet-A0, 16 frames of 172 pixels
python benchmarks/clip_inference.py --models=a0,a1,a2
"""

import tempfile

import harness
import litert_reference
import networks
from absl import app, flags
from harness import Contender

FLAGS = flags.FLAGS
flags.DEFINE_list("models", ["a0"], "Of a0, a1, a2.")
flags.DEFINE_integer("frames", 16, "Frames of the clip.")
flags.DEFINE_integer("batch", 1, "Clips at once. LiteRT takes one.")
REFERENCE = "LiteRT, 2 threads"


def predict(model, batch, frames, size):
    """What `predict` does with a batch that is there already."""
    network = networks.keras_model(model)
    clip = networks.clip(batch, frames, size)
    return lambda: network.predict_on_batch(clip)


def compiled(model, batch, frames, size, folded=False, xla=False, traced=False):
    """The model in the backend's own compiled function."""
    import keras

    network = networks.keras_model(model)
    if folded:
        from keras_video.models import fold_batch_norm

        network = fold_batch_norm(network)
    clip = keras.ops.convert_to_tensor(networks.clip(batch, frames, size))
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        function = tf.function(lambda x: network(x, training=False), jit_compile=xla)
        return lambda: function(clip)
    if backend == "jax":
        import jax

        weights = [
            [v.value for v in group]
            for group in (network.trainable_variables, network.non_trainable_variables)
        ]
        function = jax.jit(lambda t, n, x: network.stateless_call(t, n, x, training=False)[0])
        return lambda: function(*weights, clip)
    return _compiled_torch(network, clip, traced)


def _compiled_torch(network, clip, traced):
    import torch

    def function(x):
        return network(x, training=False)

    if traced:

        class Network(torch.nn.Module):
            def forward(self, x):
                return network(x, training=False)

        with torch.no_grad():
            module = torch.jit.trace(Network(), (clip,), check_trace=False)
            function = torch.jit.freeze(module.eval())

    def run():
        with torch.inference_mode():
            return function(clip)

    return run


def plain(model, batch, frames, size):
    """The plain PyTorch network."""
    import plain_torch
    import torch

    config = networks.config(model)
    network = plain_torch.PlainMoViNet(config).eval()
    plain_torch.load_named(network, networks.random_weights(config))
    clip = plain_torch.channels_first(networks.clip(batch, frames, size))
    if torch.cuda.is_available():
        network, clip = network.cuda(), clip.cuda()

    def run():
        with torch.inference_mode():
            return network(clip)

    return run


def contenders(folder):
    folded, xla, traced = {"folded": True}, {"xla": True}, {"traced": True}
    lite = litert_reference.run_clip
    return [
        Contender("LiteRT, 1 thread", "litert", lite, {"folder": folder, "threads": 1}),
        Contender("LiteRT, 2 threads", "litert", lite, {"folder": folder, "threads": 2}),
        Contender("plain torch", "torch", plain),
        Contender("tensorflow, predict_on_batch", "tensorflow", predict),
        Contender("tensorflow, tf.function", "tensorflow", compiled),
        Contender("tensorflow, tf.function, folded", "tensorflow", compiled, folded),
        Contender("tensorflow, XLA, folded", "tensorflow", compiled, folded | xla),
        Contender("jax, predict_on_batch", "jax", predict),
        Contender("jax, jit", "jax", compiled),
        Contender("jax, jit, folded", "jax", compiled, folded),
        Contender("torch, predict_on_batch", "torch", predict),
        Contender("torch, inference_mode", "torch", compiled),
        Contender("torch, inference_mode, folded", "torch", compiled, folded),
        Contender("torch, jit.trace, folded", "torch", compiled, folded | traced),
    ]


def main(argv):
    del argv
    cases = {}
    for short in FLAGS.models:
        model = f"movinet_{short}"
        size, frames = networks.SIZES[model], FLAGS.frames
        if FLAGS.quick:
            size, frames = 64, 4
        title = f"{short.upper()}, {FLAGS.batch} x {frames} x {size} x {size}"
        cases[title] = {"model": model, "batch": FLAGS.batch, "frames": frames, "size": size}
    reference = "plain torch" if FLAGS.device == "gpu" else REFERENCE
    with tempfile.TemporaryDirectory() as folder:
        harness.compare("clip_inference", contenders(folder), cases, reference)


if __name__ == "__main__":
    app.run(main)
