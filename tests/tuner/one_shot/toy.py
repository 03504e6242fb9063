"""A space of tiny networks whose best network is known, its super-network, and clips for it.

A clip has two channels for each site. A site is closed, or observes its channels in one of three
ways: their mean, the change from the first to the last frame, or the difference of left and right.
The class depends on one way at some sites and on none at the others. Only at the first site it
depends on the second channel, too. So one network observes all relevant signals, at the cost
`TARGET`. Cheaper networks observe less, and more expensive ones observe nothing more.
"""

import keras
import numpy as np
from keras import ops

from keras_video.tuner import Choice, ChoiceSpace, CostTable
from keras_video.tuner.one_shot.super_network import SuperNetwork, super_network

WAYS = ("closed", "mean", "change", "edge")
CLASSES = 2
FRAMES, SIDE = 2, 4
BEST = {
    "site0/way": "change", "site0/width": 2,
    "site1/way": "edge", "site1/width": 1,
    "site2/way": "mean", "site2/width": 1,
    "site3/way": "closed",
    "site4/way": "closed",
}  # fmt: skip
STRENGTHS = {("site0", 0): 1.0, ("site0", 1): 0.8, ("site1", 0): 0.9, ("site2", 0): 0.8}
SITES = tuple(f"site{i}" for i in range(5))
TARGET = 4.0
STARTED = []  # one entry for each call of a super-network; in a compiled step, for each trace


def make_choices(sites=SITES):
    """Return a way for each site, and a width if it is open."""
    choices = []
    for site in sites:
        choices.append(Choice(f"{site}/way", WAYS))
        choices.append(
            Choice(f"{site}/width", (1, 2), "filters", when=((f"{site}/way", WAYS[1:]),))
        )
    return tuple(choices)


class ToySpace(ChoiceSpace):
    """Networks of some sites. The cost of a site is its width."""

    def __init__(self, sites=SITES, choices=None, breaks_at=None):
        super().__init__(name="one-shot toy")
        self.sites, self.breaks_at = sites, breaks_at
        self.choices = make_choices(sites) if choices is None else choices

    def cost_table(self, name):
        if name != "macs":
            raise ValueError(f"name: expected 'macs', got {name!r}.")
        terms = [
            ((f"{site}/way", f"{site}/width"), [[0, 0], [1, 2], [1, 2], [1, 2]])
            for site in self.sites
        ]
        return CostTable(self.choices, terms)

    def costs(self, values):
        return {"macs": self.cost_table("macs").of(values)}

    def build(self, hp):
        values = hp if isinstance(hp, dict) else hp.values
        inputs = keras.Input((FRAMES, SIDE, SIDE, 2 * len(self.sites)))
        places = [
            (i, WAYS.index(values[f"{site}/way"]), channel)
            for i, site in enumerate(self.sites)
            for channel in range(values.get(f"{site}/width", 0))
        ]
        # A network without an open site gets zeros.
        sees = keras.layers.Lambda(
            lambda clips: (
                ops.stack([look(clips)[:, i, w, c] for i, w, c in places], axis=-1)
                if places
                else ops.zeros_like(clips[:, 0, 0, 0, :1])
            ),
            output_shape=(max(1, len(places)),),
        )
        return keras.Model(inputs, keras.layers.Dense(CLASSES)(sees(inputs)))


@super_network.register(ToySpace)
class ToySuperNetwork(SuperNetwork):
    """The super-network: each way of each site has its own weights."""

    def __init__(self, space, fixed=None):
        super().__init__()
        self.space, self.choices, self.fixed = space, space.choices, fixed or {}
        shape = (len(space.sites), len(WAYS), 2, CLASSES)
        self.kernel = self.add_weight(shape=shape, initializer="zeros", name="kernel")
        self.bias = self.add_weight(shape=(CLASSES,), initializer="zeros", name="bias")
        self.dropout = keras.layers.Dropout(0.1)
        self.dropout.build((None, 1))
        self.built = True

    def call(self, clips, selection, training=True):
        STARTED.append("training" if training else "inference")
        one = {c.name: c.index(self.fixed[c.name]) for c in self.choices if c.name in self.fixed}

        def row(name, length):
            if name in one:
                return ops.one_hot(one[name], length)
            return ops.cast(selection[name], "float32")

        ways = ops.stack([row(f"{site}/way", 4) for site in self.space.sites])
        widths = ops.stack([row(f"{site}/width", 2) for site in self.space.sites])
        opened = ways * np.array([0, 1, 1, 1], "float32")
        # Width 1 passes the first channel, width 2 both.
        channels = ops.stack([ops.sum(widths, axis=-1), widths[:, 1]], axis=-1)
        seen = look(ops.cast(clips, "float32")) * opened[None, :, :, None]
        seen = self.dropout(seen * channels[None, :, None, :], training=training)
        seen = ops.cast(seen, "float32")
        kernel = ops.cast(self.kernel, "float32")
        logits = ops.einsum("bswc,swcn->bn", seen, kernel) + ops.cast(self.bias, "float32")
        if self.space.breaks_at is not None:
            logits = self.space.breaks_at(logits)
        return logits

    def child(self, values):
        model = self.space.build(values)
        kernel = ops.convert_to_numpy(self.kernel)
        rows = [
            kernel[i, WAYS.index(values[f"{site}/way"]), : values[f"{site}/width"]]
            for i, site in enumerate(self.space.sites)
            if values.get(f"{site}/width")
        ]
        if rows:
            model.layers[-1].set_weights([np.concatenate(rows), ops.convert_to_numpy(self.bias)])
        return model


def look(clips):
    """Return the signals of all ways at all sites: `(batch, sites, ways, 2)`."""
    still = ops.mean(clips, axis=(2, 3))  # (batch, frames, channels)
    half = SIDE // 2
    left = ops.mean(clips[:, :, :, :half], axis=(1, 2, 3))
    right = ops.mean(clips[:, :, :, half:], axis=(1, 2, 3))
    ways = [ops.zeros_like(left), ops.mean(still, axis=1), still[:, -1] - still[:, 0], right - left]
    seen = ops.stack(ways, axis=1)
    sites = clips.shape[-1] // 2
    return ops.transpose(ops.reshape(seen, (-1, len(WAYS), sites, 2)), (0, 2, 1, 3))


def make_clips(count, seed=0, sites=SITES):
    """Return clips `(count, 2, 4, 4, channels)` and their classes `(count,)`."""
    rng = np.random.default_rng(seed)
    signals = rng.normal(size=(count, len(sites), 3, 2)).astype("float32")
    clips = np.zeros((count, FRAMES, SIDE, SIDE, 2 * len(sites)), "float32")
    mean, change, edge = (signals[:, :, way].reshape(count, -1) for way in range(3))
    half = SIDE // 2
    clips += mean[:, None, None, None]
    clips[:, 0] -= change[:, None, None] / 2
    clips[:, -1] += change[:, None, None] / 2
    clips[..., :half, :] -= edge[:, None, None, None] / 2
    clips[..., half:, :] += edge[:, None, None, None] / 2
    evidence = np.zeros(count)
    for (site, channel), strength in STRENGTHS.items():
        if site in sites:
            way = WAYS.index(BEST[f"{site}/way"]) - 1
            evidence += strength * signals[:, sites.index(site), way, channel]
    return clips, (evidence > 0).astype("int32")
