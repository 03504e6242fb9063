"""What of a network tells its latency: multiply-adds by kind of layer and kernel, and traffic."""

import numpy as np

from keras_video.specs import (
    ContextGate,
    Conv,
    Dense,
    Depthwise,
    GloRe,
    NonLocal,
    Pool,
    Scale,
    SqueezeExcite,
    TimeStridedSampling,
    TimeToChannel,
)

KERNELS = (2, 3, 4, 5, 6, 7, 8)
KINDS = ("pointwise", "conv", "depthwise", "temporal", "pool", "temporal_pool", "gate", "non_local")
BY_KERNEL = ("conv", "depthwise", "temporal", "pool")
NAMES = (
    *(f"{kind}_work" for kind in KINDS),
    *(f"{kind}{kernel}_work" for kind in BY_KERNEL for kernel in KERNELS),
    *(f"{kind}_traffic" for kind in KINDS),
    "layers",
)  # fmt: skip


def layer_features(config, classes):
    """Sums over a network's layers, by their kind and kernel size.

    Multiply-adds alone say little about time: a multiply-add of a depthwise or a 7x7 kernel takes
    longer than one of a 1x1 convolution. The work of a pooling is its kernel's cells, that of
    other layers their multiply-adds; the traffic is the values they read and write.

    Args:
        config: config whose `plan(classes)` and `trace(clip, classes)` give rows and steps.
        classes: int.

    Returns:
        Float array `(len(NAMES),)`, in millions; `"layers"` in hundreds.
    """
    sums = dict.fromkeys(NAMES, 0.0)
    rows = {row.name: row for row in config.plan(classes).rows()}
    for step in config.trace(config.clip, classes):
        row = rows[step.name]
        if isinstance(row, Scale):  # done beside the sum
            continue
        kind, kernel = _kind(row)
        work = step.alive * kernel if isinstance(row, Pool) else step.macs
        sums[f"{kind}_work"] += work
        sums[f"{kind}_traffic"] += step.alive
        if kind in BY_KERNEL:
            sums[f"{kind}{min(max(kernel, KERNELS[0]), KERNELS[-1])}_work"] += work
        sums["layers"] += 1e4
    return np.array([sums[name] for name in NAMES]) / 1e6


def _kind(row):
    """The kind of a row, and its kernel size."""
    if isinstance(row, (SqueezeExcite, ContextGate, Dense)):
        return "gate", 1
    if isinstance(row, (NonLocal, GloRe)):
        return "non_local", 1
    if isinstance(row, (TimeStridedSampling, TimeToChannel)):
        return "temporal_pool", 1
    temporal, spatial = row.kernel[0], row.kernel[1]
    if isinstance(row, Pool):
        return ("temporal_pool", temporal) if temporal > 1 else ("pool", spatial)
    if isinstance(row, Depthwise):
        return "depthwise", spatial
    if isinstance(row, Conv) and temporal > 1:
        return "temporal", temporal
    return ("conv", spatial) if spatial > 1 else ("pointwise", 1)
