"""What `write.py` made the old files with and `test_old_files.py` reads them with.

Tiny data and search spaces, and what is compared. As long as the files stay, nothing here may
change: the searches and the training run would be others.
"""

import math

import keras
import numpy as np
from keras import ops

from keras_video import layers, models, tuner
from keras_video.applications.movinet import MoViNetConfig

# Data


def noise(shape, seed=0):
    """Numbers 0..255 in float32 that do not depend on the version of NumPy."""
    first = 1 + 1_000_003 * seed
    n = np.arange(first, first + math.prod(shape), dtype="uint64") * np.uint64(0x9E3779B97F4A7C15)
    n = (n ^ (n >> np.uint64(31))) * np.uint64(0xBF58476D1CE4E5B9)
    return (n >> np.uint64(56)).astype("float32").reshape(shape)


def as_array(tensor):
    """A tensor or variable of any backend as a NumPy array."""
    tensor = tensor.value if isinstance(tensor, keras.Variable) else tensor
    tensor = tensor.detach() if hasattr(tensor, "detach") else tensor
    return np.asarray(ops.convert_to_numpy(tensor))


# Networks

CLIP = (4, 32, 32, 3)
BATCH = (2, *CLIP)
VIDEO = (1, 5, 5, 4, 4)  # of the single layers
SHAPES = {  # of the clips that the saved networks are given
    "movinet_clip": [BATCH],
    "movinet_causal": [BATCH],
    "movinet_stream": [BATCH],
    "tiny_video_net": [(2, 4, 16, 16, 3)],
    "blvnet_tam": [BATCH],
    "x3d": [BATCH],
    "auto_tsnet": [(2, 4, 16, 16, 3)],
    "two_streams": [(2, 2, 16, 16, 3), (2, 4, 16, 16, 3)],
    "ensemble": [BATCH],
    "clip_recurrent": [BATCH],
    "single_layers": [VIDEO],
    "mobile_form": [BATCH],
    "mobile_layers": [(2, 4, 12, 10, 3)],
    "quantize_aware": [BATCH],
    "deployed_stream": [],  # takes a dict
    "fine_tuned": [(2, 4, 8, 8, 3)],
}
STREAM = {
    "causal": True,
    "conv": "2plus1d",
    "squeeze": "2plus3d",
    "activation": "hard_swish",
    "gate": "hard_sigmoid_keras2",
}


def movinet_config(layers=2):
    """A MoViNet of up to two layers: one that strides, one with a residual and a gate on it."""
    first = {"filters": 8, "expand": 8, "kernel": (1, 5, 5), "strides": (1, 2, 2)}
    second = {"filters": 8, "expand": 16, "kernel": (3, 3, 3), "strides": (1, 1, 1)}
    return MoViNetConfig.from_dict(
        {
            "name": "movinet_old",
            "clip": CLIP,
            "frame_rate": 5.0,
            "resize_side": 36,
            "stem": 8,
            "project": 16,
            "hidden": 8,
            "stages": [[first, second][:layers]],
            "variant": {"dropout": 0.25, "stochastic_depth": 0.1},
        }
    )


def small_classifier():
    """The network of the training run, with batch norm and dropout."""
    keras.utils.set_random_seed(7)
    inputs = keras.Input((4, 8, 8, 3))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = layers.VideoConv3D(4, (3, 3, 3), batch_norm=True, activation="swish", name="block0")(x)
    x = layers.CumulativeAvgPool(keep_frames=False, name="pool")(x)
    x = keras.layers.Dropout(0.3, seed=1, name="dropout")(x)
    outputs = keras.layers.Dense(3, name="classifier")(x)
    return models.VideoClassifier(inputs, outputs, name="small")


class SmallClips(keras.utils.PyDataset):
    """Four batches an epoch, other ones in each."""

    def __init__(self):
        super().__init__()
        self.epoch = 0

    def __len__(self):
        return 4

    def __getitem__(self, index):
        seed = 10 * self.epoch + index
        labels = np.arange(seed, seed + 3) % 3
        return noise((3, 4, 8, 8, 3), seed) * (0.5 + 0.25 * labels.reshape(3, 1, 1, 1, 1)), labels

    def on_epoch_end(self):
        self.epoch += 1


TRAINING = {"epochs": 3, "learning_rate": 0.03, "label_smoothing": 0.1, "verbose": 0}


# What a network says


def answers(model, *shapes):
    """What a network says to noise: dict of arrays.

    A network with a state is given the clip in two pieces; means of the last state come along.

    Args:
        model: Keras model.
        *shapes: those of its clips, with the batch; none where it takes a dict of inputs.
    """
    clips = [noise(shape, seed) for seed, shape in enumerate(shapes)]
    if not clips:
        inputs = {x.name: noise(x.shape, seed) for seed, x in enumerate(model.inputs)}
        inputs = {name: x if name == "frames" else x / 255 for name, x in inputs.items()}
        return model.predict(inputs, verbose=0)
    if not getattr(model, "streaming", False):
        found = model.predict(clips if len(clips) > 1 else clips[0], verbose=0)
        return found if isinstance(found, dict) else {"prediction": found}
    pieces = np.split(clips[0], [3], axis=1)
    state = model.init_state(len(clips[0]), *clips[0].shape[2:4])
    for piece in pieces:
        prediction, state = model.predict([piece, state], verbose=0)
    parts = [part for name in sorted(state) for part in keras.tree.flatten(state[name])]
    return {"prediction": prediction, "state": means(parts)}


def means(tensors):
    """The mean of each of some tensors, float32 `(tensors,)`."""
    return np.array([as_array(x).astype("float64").mean() for x in tensors], "float32")


# Searches

GRID_OPTIONS = {"max_trials": 8, "samples": 3, "seed": 2, "try_best": True}
BLOCKS_OPTIONS = {
    "max_trials": 6, "population_size": 3, "tournament_size": 2, "survivors": "aging", "seed": 5,
}  # fmt: skip


class Grid(tuner.Space):
    """Three choices of four; the score is one sum of them, the cost another."""

    def __init__(self):
        super().__init__(name="old grid")

    def declare(self, hp):
        for name in ("v0", "v1", "v2"):
            hp.Choice(name, [0, 1, 2, 3])

    def costs(self, values):
        return {"params": 1 + sum(values.values())}

    def build(self, hp):
        return dict(hp.values)


class Blocks(tuner.Space):
    """One to three blocks of two kinds, with all kinds of hyperparameters."""

    slots = (tuner.Slots("num_blocks", "block_"),)

    def __init__(self):
        super().__init__(name="old blocks")

    def declare(self, hp):
        hp.Float("rate", 0.1, 1.0)
        hp.Int("num_blocks", 1, 3)
        for i in range(3):
            with hp.conditional_scope("num_blocks", list(range(i + 1, 4))):
                hp.Choice(f"block_{i}/kind", ["conv", "pool"])
                hp.Boolean(f"block_{i}/skip")
                with hp.conditional_scope(f"block_{i}/kind", ["conv"]):
                    hp.Int(f"block_{i}/filters", 1, 64)

    def costs(self, values):
        return {"params": 10 + sum(v * v for k, v in values.items() if k.endswith("/filters"))}

    def build(self, hp):
        return dict(hp.values)


def score(values):
    """Of a network of either space."""
    if "v0" in values:
        return (values["v0"] + 2 * values["v1"] + 3 * values["v2"]) / 18
    filters = sum(values.get(f"block_{i}/filters", 0) for i in range(values["num_blocks"]))
    return values["rate"] + filters / 64


class Interrupted(BaseException):
    """What takes a search or a training run down."""


class Scored(tuner.SearchTuner):
    """Trials that compute `score` instead of training; the last of a few goes down with all."""

    left = -1

    def run_trial(self, trial, **_):
        if self.left == 0:
            raise Interrupted
        self.left -= 1
        return {"fitness": score(trial.hyperparameters.values)}


def grid_search(folder):
    """PARSEC, trial by trial, under a limit that counts."""
    oracle = tuner.ParsecOracle(constraints=[tuner.MaxParams(7)], **GRID_OPTIONS)
    return Scored(oracle, Grid(), directory=folder, project_name="parsec")


def blocks_search(folder):
    """Evolution under a limit that counts."""
    oracle = tuner.EvolutionOracle(constraints=[tuner.MaxParams(3000)], **BLOCKS_OPTIONS)
    return Scored(oracle, Blocks(), directory=folder, project_name="evolution")


class Sites(tuner.ChoiceSpace):
    """Networks that look at two channels or not: a way and a width for each site."""

    choices = (
        tuner.Choice("site0/way", ("closed", "mean", "edge")),
        tuner.Choice("site0/width", (1, 2), "filters", when=(("site0/way", ("mean", "edge")),)),
        tuner.Choice("site1/way", ("closed", "mean", "edge")),
        tuner.Choice("site1/width", (1, 2), "filters", when=(("site1/way", ("mean", "edge")),)),
    )

    def __init__(self):
        super().__init__(name="old sites")

    def cost_table(self, name):
        terms = [((f"{s}/way", f"{s}/width"), [[0, 0], [1, 2], [1, 2]]) for s in ("site0", "site1")]
        return tuner.CostTable(self.choices, terms)

    def costs(self, values):
        return {"macs": self.cost_table("macs").of(values)}

    def super_network(self, fixed=None):
        return SitesSuperNetwork(self, fixed or {})


class SitesSuperNetwork(keras.Model):
    """All networks of `Sites` in one."""

    def __init__(self, space, fixed):
        super().__init__()
        self.space, self.choices, self.fixed = space, space.choices, fixed
        self.kernel = self.add_weight((2, 3, 2, 2), "zeros", name="kernel")
        self.bias = self.add_weight((2,), "zeros", name="bias")
        self.dropout = keras.layers.Dropout(0.1)
        self.dropout.build((None, 1))
        self.built = True

    def call(self, clips, selection, training=True):
        def chosen(name):
            choice = next(c for c in self.choices if c.name == name)
            if name in self.fixed:
                return ops.one_hot(choice.index(self.fixed[name]), len(choice.values))
            return ops.cast(selection[name], "float32")

        ways = ops.stack([chosen("site0/way"), chosen("site1/way")])
        widths = ops.stack([chosen("site0/width"), chosen("site1/width")])
        # A site's first channel is always seen, its second if it is wide.
        channels = ops.stack([ops.sum(widths, axis=-1), widths[:, 1]], axis=-1)
        mean = ops.mean(clips, axis=(1, 2, 3))
        edge = ops.mean(clips[:, :, :, :2], axis=(1, 2, 3)) - mean
        seen = ops.reshape(ops.stack([0 * mean, mean, edge], axis=1), (-1, 3, 2, 2))
        seen = ops.transpose(seen, (0, 2, 1, 3)) * ways[None, :, :, None] * channels[None, :, None]
        seen = self.dropout(seen, training=training)
        return ops.einsum("bswc,swcn->bn", seen, self.kernel) + self.bias


def sites_clips(count, seed):
    """Clips `(count, 2, 4, 4, 4)` and their classes, which two of the sites' channels tell."""
    signals = (noise((count, 4, 2), seed) - 127.5) / 127.5
    clips = np.zeros((count, 2, 4, 4, 4), "float32") + signals[:, None, None, None, :, 0]
    clips[:, :, :, :2] += signals[:, None, None, None, :, 1]
    return clips, (signals[:, 0, 1] + signals[:, 2, 0] > 0).astype("int32")


def sites_search(folder):
    """TuNAS in two stages: one site after the other."""
    stages = [
        tuner.Stage("first", ("site0/*",), epochs=2, target=1.5),
        tuner.Stage("second", ("site1/*",), epochs=2, target=2.5),
    ]
    return tuner.TuNAS(
        Sites(), stages=stages, steps_per_trial=6, num_candidates=2, seed=3,
        directory=folder, project_name="tunas",
    )  # fmt: skip


def run_sites(search, callbacks=()):
    """Goes through all that is left of a search of `sites_search`."""
    search.search(
        *sites_clips(48, 0), validation_data=sites_clips(32, 1), batch_size=8,
        callbacks=list(callbacks), verbose=0,
    )  # fmt: skip


class Interrupt(keras.callbacks.Callback):
    """Takes a training run down behind so many batches."""

    def __init__(self, batches):
        super().__init__()
        self.left = batches

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            raise Interrupted


# Shards

NAMES = ["walk", "jump", "läuft"]


def smooth_video(number, frames=5, size=(16, 24)):
    """Coloured gradients that move, which JPEG keeps well: uint8 `(frames, *size, 3)`."""
    y, x = np.mgrid[: size[0], : size[1]]
    waves = [np.sin(x / 12 + k + number) + np.cos(y / 9 - k / 2) for k in range(frames)]
    return (np.stack([np.stack([w, -w, w / 2], -1) for w in waves]) * 50 + 128).astype("uint8")
