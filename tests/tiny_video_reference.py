"""Tiny Video Networks in NumPy, in float64, step by step as they are described.

Written from the description of the published builder, on frames folded into the batch and with its
names, not from the code under test. Slow: meant for networks of a few channels.
"""

import zlib

import numpy as np

EPSILON = 1e-5


def recipe_weight(name, shape, gain=3.5):
    """Value of a variable in the recipe of the reference data, from its name and shape."""
    draws = np.random.default_rng(zlib.crc32(name.encode("ascii"))).standard_normal(tuple(shape))
    kind = name.rsplit("/", 1)[-1]
    if kind == "kernel":
        value = draws * np.sqrt(gain / np.prod(shape[:-1]))
    elif kind == "depthwise_kernel":
        value = draws * np.sqrt(gain / (shape[0] * shape[1]))
    elif kind == "gamma":
        value = 1 + 0.1 * draws
    elif kind == "moving_variance":
        value = 1 + 0.1 * np.abs(draws)
    else:
        assert kind in ("beta", "moving_mean", "bias"), name
        value = 0.1 * draws
    return value.astype("float32")


def recipe_clips(clips, frames, size, seed):
    """Clips of the recipe of the reference data: coloured tiles of 7x7 pixels and noise."""
    random = np.random.default_rng(seed)
    coarse = random.random((clips, frames, 7, 7, 3))
    fine = random.random((clips, frames, size, size, 3))
    index = (np.arange(size) * 7) // size
    return (0.7 * coarse[:, :, index][:, :, :, index] + 0.3 * fine).astype("float32")


class Reference:
    """One forward pass. Then `shapes` has the variables and `blocks` the outputs of blocks.

    Args:
        spec: dict as the published code writes it.
        weight: function of name and shape.
    """

    def __init__(self, spec, weight):
        self.spec, self.weight = spec, weight
        self.shapes, self.blocks, self.numbers = {}, {}, {}

    def __call__(self, clips, classes, per_frame=False):
        batch, frames = clips.shape[:2]
        x = clips.astype("float64").reshape(-1, *clips.shape[2:])
        for b, block in enumerate(self.spec["blocks"]):
            for r in range(block["repeats"]):
                x, frames = self.block(f"Block-{b}-{r}", block, r, x, batch, frames)
                self.blocks[f"Block-{b}-{r}"] = frames, x
        kernel = self.variable("dense/kernel", (x.shape[-1], classes))
        bias = self.variable("dense/bias", (classes,))
        x = x.mean((1, 2)).reshape(batch, frames, -1)
        if not per_frame:
            return x.mean(1) @ kernel + bias
        logits = x @ kernel + bias
        powers = np.exp(logits / np.sqrt(frames))
        return (logits * powers / powers.sum(1, keepdims=True)).sum(1)

    def block(self, prefix, block, repeat, x, batch, frames):
        inputs, before, first = x, frames, repeat == 0
        filters, expand = block["filters"], block["expand"]
        wide = max(filters * expand, filters)
        inverted = block.get("inv-bottle", False)
        act = block.get("act", "relu")
        if inverted and expand > 0:
            x = relu(self.conv(f"{prefix}/STConvs/Expand", x, 1, 1, wide))
        width = wide if inverted else filters
        x = self.spatial(f"{prefix}/STConvs", block, x, width, first)
        if repeat % 2 == 0:
            x, frames = self.temporal(f"{prefix}/STConvs", block, x, batch, frames, width, first)
        if not inverted and expand > 0:
            x = self.conv(f"{prefix}/Expand", x, 1, 1, wide)
        channels = x.shape[-1]
        if block["squeeze"] > 0:
            scope, hidden = f"{prefix}/SqueezeExcite", max(int(channels * block["squeeze"]), 8)
            mean = self.biased(scope, clip_means(x, batch), hidden)
            x = gated(x, self.biased(scope, relu(mean), channels))
        if block["context_gate"]:
            scope = f"{prefix}/ContextGate"
            x = gated(x, self.biased(scope, clip_means(x, batch), channels))
        if block.get("non_local"):
            x = self.non_local(f"{prefix}/NonLocal", x, batch, block["non_local"])
        if inverted and expand > 0:
            x = self.conv(prefix, x, 1, 1, filters)
        if block["skip"] and frames == before:
            stride = block["spatial_stride"] if x.shape[2] != inputs.shape[2] else 1
            x = x + self.conv(f"{prefix}/Residual", inputs, 1, stride, x.shape[-1])
        return activate(act, x), frames

    def spatial(self, scope, block, x, width, first):
        kernel, stride = block["spatial_kernel"], block["spatial_stride"] if first else 1
        kind, act = block["spatial_type"], block.get("spatial_act", "relu")
        if kernel == 1:
            return x
        if kind.endswith("pool"):
            return pool(x, kernel, stride, kind, (1, 2))
        if kind != "1std":
            x = activate(act, self.conv(scope, x, 1, 1, width))
        if kind != "depth":
            return activate(act, self.conv(scope, x, kernel, stride, width))
        taps = self.variable(f"{scope}/depthwise_kernel", (kernel, kernel, width, 1))
        windows = cut(cut(x, kernel, stride, 1), kernel, stride, 3)  # n, i, ki, j, kj, c
        x = np.einsum("nikjlc,klc->nijc", windows, taps[..., 0])
        return activate(act, self.norm(scope, x))

    def temporal(self, scope, block, x, batch, frames, width, first):
        kernel, stride = block["temporal_kernel"], block["temporal_stride"] if first else 1
        kind, act = block["temporal_type"], block.get("temporal_act", "relu")
        if frames == 1 or kernel == 1:
            return x, frames
        x = x.reshape(batch, frames, *x.shape[1:])
        if kind == "1d":
            number = self.number(f"{scope}/conv2d")
            taps = self.variable(f"{number}/kernel", (kernel, 1, x.shape[-1], width))
            y = np.einsum("btkhwc,kcd->bthwd", cut(x, kernel, stride, 1), taps[:, 0])
            y = activate(act, self.norm(scope, y))
        else:
            y = pool(x, kernel, stride, kind, (1,))
        return y.reshape(-1, *y.shape[2:]), y.shape[1]

    def conv(self, scope, x, kernel, stride, filters):
        """Convolution and batch norm."""
        number = self.number(f"{scope}/conv2d")
        taps = self.variable(f"{number}/kernel", (kernel, kernel, x.shape[-1], filters))
        windows = cut(cut(x, kernel, stride, 1), kernel, stride, 3)
        return self.norm(scope, np.einsum("nikjlc,klcd->nijd", windows, taps))

    def biased(self, scope, x, filters):
        y = x @ self.unbiased(scope, x, filters)
        number = self.numbers[f"{scope}/conv2d"]
        suffix = f"_{number}" if number else ""
        return y + self.variable(f"{scope}/conv2d{suffix}/bias", (filters,))

    def unbiased(self, scope, x, filters):
        number = self.number(f"{scope}/conv2d")
        return self.variable(f"{number}/kernel", (1, 1, x.shape[-1], filters))[0, 0]

    def norm(self, scope, x):
        number = self.number(f"{scope}/batch_normalization")
        names = ("gamma", "beta", "moving_mean", "moving_variance")
        gamma, beta, mean, variance = (
            self.variable(f"{number}/{name}", x.shape[-1:]) for name in names
        )
        return gamma * (x - mean) / np.sqrt(variance + EPSILON) + beta

    def non_local(self, scope, x, batch, width):
        clips = x.reshape(batch, -1, x.shape[-1])
        theta, phi, g = (clips @ self.unbiased(scope, clips, width) for _ in range(3))
        scores = np.einsum("bic,bjc->bij", theta, phi)
        scores = np.exp(scores - scores.max(2, keepdims=True))
        y = np.einsum("bij,bjc->bic", scores / scores.sum(2, keepdims=True), g)
        return x + self.conv(scope, y.reshape(*x.shape[:3], width), 1, 1, x.shape[-1])

    def number(self, name):
        """Name of the next layer of a kind in a scope, numbered like TensorFlow."""
        count = self.numbers[name] = self.numbers.get(name, -1) + 1
        return f"{name}_{count}" if count else name

    def variable(self, name, shape):
        assert name not in self.shapes
        self.shapes[name] = list(shape)
        return self.weight(name, shape).astype("float64")


def cut(x, kernel, stride, axis, fill=0.0):
    """Windows along an axis, `(..., windows, kernel, ...)`, with the SAME rule of TensorFlow."""
    size = x.shape[axis]
    count = -(-size // stride)
    total = max((count - 1) * stride + kernel - size, 0)
    pads = [(0, 0)] * x.ndim
    pads[axis] = (total // 2, total - total // 2)
    x = np.pad(x, pads, constant_values=fill)
    index = np.arange(count)[:, None] * stride + np.arange(kernel)
    return np.take(x, index, axis)


def pool(x, kernel, stride, kind, axes):
    """Maximum, or mean of the cells that are not padding."""
    real = np.ones_like(x)
    for axis in axes:
        if kind == "maxpool":
            x = cut(x, kernel, stride, axis, -np.inf).max(axis + 1)
        else:
            x, real = (cut(a, kernel, stride, axis).sum(axis + 1) for a in (x, real))
    return x if kind == "maxpool" else x / real


def clip_means(x, batch):
    return x.reshape(batch, -1, x.shape[-1]).mean(1)


def gated(x, logits):
    """`logits` has one row per clip, `x` one per frame."""
    gates = 1 / (1 + np.exp(-logits))
    return x * np.repeat(gates, len(x) // len(gates), 0)[:, None, None]


def relu(x):
    return np.maximum(x, 0)


def activate(name, x):
    hard_swish = x * np.clip(x + 3, 0, 6) / 6
    return {"relu": relu(x), "hswish": hard_swish, "linear": x}[name]
