"""One training step of MoViNet-A0: every backend against the same step in plain torch.

Stochastic gradient descent on the cross entropy of 4 clips of 8 frames, dropout and stochastic
depth off, so that all contenders must report the same loss.

    python benchmarks/train_step.py
"""

import harness
import networks
import numpy as np
from absl import app, flags
from harness import Contender

FLAGS = flags.FLAGS
flags.DEFINE_integer("batch", 4, "Clips in a step.")
flags.DEFINE_integer("frames", 8, "Frames of a clip.")
RATE = 1e-3
REFERENCE = "plain torch"


def keras_step(model, batch, frames, size, xla="auto"):
    """`train_on_batch` of the compiled Keras model."""
    import keras

    network = networks.keras_model(model)
    network.compile(
        keras.optimizers.SGD(RATE),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=xla,
    )
    clips, labels = networks.clip(batch, frames, size), networks.labels(batch)
    return lambda: np.float32(network.train_on_batch(clips, labels))


def plain_step(model, batch, frames, size):
    """The same in PyTorch, written out."""
    import plain_torch
    import torch

    config = networks.config(model)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = plain_torch.PlainMoViNet(config)
    plain_torch.load_named(network, networks.random_weights(config))
    network.to(device).train()
    optimizer = torch.optim.SGD(network.parameters(), RATE)
    clips = plain_torch.channels_first(networks.clip(batch, frames, size)).to(device)
    labels = torch.from_numpy(networks.labels(batch)).to(device)

    def step():
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(clips), labels)
        loss.backward()
        optimizer.step()
        return np.float32(loss.item())

    return step


def contenders():
    return [
        Contender("plain torch", "torch", plain_step),
        Contender("tensorflow", "tensorflow", keras_step),
        Contender("tensorflow, XLA", "tensorflow", keras_step, {"xla": True}),
        Contender("jax", "jax", keras_step),
        Contender("torch", "torch", keras_step),
    ]


def main(argv):
    del argv
    FLAGS.set_default("repetitions", 2)
    size, batch, frames = (64, 2, 4) if FLAGS.quick else (172, FLAGS.batch, FLAGS.frames)
    case = {"model": "movinet_a0", "batch": batch, "frames": frames, "size": size}
    title = f"A0, one SGD step, {batch} x {frames} x {size} x {size}"
    harness.compare("train_step", contenders(), {title: case}, REFERENCE)


if __name__ == "__main__":
    app.run(main)
