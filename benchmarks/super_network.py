"""Compares a training step of the MoViNet super-network with one of its largest network.

The super-network draws another network in each step, as in a search. The largest network is
compiled alone: widest and deepest, with squeeze-excite, and with the kernel that has the most
multiply-adds (1x7x7) or the most weights (5x3x3). Both are trained on the same clips with the same
optimizer. They are measured in turns, so that noise affects all of them equally.

    python benchmarks/super_network.py                       # times, TensorFlow and JAX
    python benchmarks/super_network.py --part=memory         # peak memory of each form
    python benchmarks/super_network.py --backends=torch      # torch alone

`super_network.csv` has the times, `super_network_memory.csv` the peaks.
"""

import harness
import memory
import numpy as np
from absl import app, flags
from harness import Contender

FLAGS = flags.FLAGS
flags.DEFINE_enum("part", "time", ["time", "memory"], "What to measure.")
flags.DEFINE_integer("batch", 16, "Clips in a step.")
flags.DEFINE_integer("frames", 8, "Frames of a clip.")
flags.DEFINE_integer("layers", 3, "The largest number of layers of a block.")
REFERENCE = "largest child, 5x3x3"


def make_space(frames, size, layers):
    """Return the space of A0's size for small clips."""
    from keras_video.tuner import MoViNetSpace

    return MoViNetSpace(
        "A0", 16, clip=(frames, size, size), layers=layers, hidden=256, dropout=0.0,
        stochastic_depth=0.0,
    )  # fmt: skip


def child_step(batch, frames, size, layers, kernel):
    """Prepare `train_on_batch` of the largest network with one kernel in all layers."""
    space = make_space(frames, size, layers)
    values = {}
    for choice in space.choices:
        values[choice.name] = max(choice.values)
        if choice.name.endswith("kernel"):
            values[choice.name] = kernel
    return _step(space.build(values), batch, frames, size)


def super_step(batch, frames, size, layers, **options):
    """Prepare `train_on_batch` of the super-network, which draws a network each time."""
    import keras
    from keras import ops

    from keras_video.tuner import super_network

    space = make_space(frames, size, layers)

    class Drawing(keras.Model):
        def __init__(self, network):
            super().__init__()
            self.network, self.seeds = network, keras.random.SeedGenerator(0)
            self.built = True

        def call(self, clips, training=None):
            selection = {}
            for choice in space.choices:
                logits = ops.zeros((1, len(choice.values)))
                index = keras.random.categorical(logits, 1, seed=self.seeds)[0, 0]
                selection[choice.name] = ops.one_hot(index, len(choice.values))
            return self.network(clips, selection, training=training)

    return _step(Drawing(super_network(space, **options)), batch, frames, size)


def _step(model, batch, frames, size):
    import keras

    model.compile(
        keras.optimizers.Adam(1e-4),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=keras.backend.backend() == "jax",
    )
    rng = np.random.default_rng(0)
    clips = rng.uniform(0, 255, (batch, frames, size, size, 3)).astype("float32")
    labels = np.arange(batch) % 16

    def step():
        model.train_on_batch(clips, labels)
        return []  # losses differ from step to step

    return step


def peak(prepare, **case):
    """Return the resident memory of this process before the steps, and its peak, in MB."""
    before = memory.resident_mb()
    step = prepare(**case)
    for _ in range(3):
        step()
    return {"before_mb": round(before), "peak_mb": round(memory.peak_mb())}


def forms():
    """Return `[(name, function, options), ...]`."""
    found = [
        (REFERENCE, child_step, {"kernel": "5x3x3"}),
        ("largest child, 1x7x7", child_step, {"kernel": "1x7x7"}),
    ]
    for mode in ("switch", "sum"):
        found.append((f"super-network, {mode}", super_step, {"mode": mode}))
    return [*found, ("super-network, recomputing", super_step, {"remat": True})]


def main(argv):
    del argv
    # Every step draws another network, so take many turns with few steps each.
    FLAGS.set_default("rounds", 6)
    size, batch, frames, layers = (48, FLAGS.batch, FLAGS.frames, FLAGS.layers)
    if FLAGS.quick:
        size, batch, frames, layers = 32, 2, 2, 1
    case = {"batch": batch, "frames": frames, "size": size, "layers": layers}
    title = f"one Adam step, {batch} x {frames} x {size} x {size}, up to {layers} layers a block"
    backends = FLAGS.backends or ["tensorflow", "jax"]
    if FLAGS.part == "memory":
        measure_memory(case, backends)
        return
    rows = []
    for backend in backends:
        contenders = [
            Contender(name, backend, function, options) for name, function, options in forms()
        ]
        titled = {f"{backend}: {title}": case}
        rows += harness.compare("super_network", contenders, titled, REFERENCE)
    harness.write("super_network", rows)


def measure_memory(case, backends):
    """Measure each form in a new process."""
    machine, rows = harness.describe_machine(), []
    for backend in backends:
        for name, function, options in forms():
            contender = Contender(name, backend, peak, {"prepare": function, **options})
            row = {"form": name, "backend": backend, **harness.call(contender, case)}
            rows.append(row)
            print(row, flush=True)
    harness.write("super_network_memory", [{**row, **case, **machine} for row in rows])


if __name__ == "__main__":
    app.run(main)
