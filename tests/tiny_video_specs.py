"""Random small specifications of Tiny Video Networks, in the published format."""

import numpy as np


def random_spec(seed):
    """A specification of one to three blocks with every kind of layer, from a seed.

    Returns:
        The dict, a frame size in pixels, and whether to use the head per frame.
    """
    random = np.random.default_rng(seed)

    def one_of(*values):
        return values[random.integers(len(values))]

    blocks = []
    for _ in range(random.integers(1, 4)):
        blocks.append(
            {
                "spatial_type": one_of("std", "depth", "maxpool", "avgpool", "1std"),
                "spatial_kernel": one_of(1, 2, 3, 4, 5),
                "spatial_stride": one_of(1, 2, 3, 4),
                "temporal_type": one_of("1d", "1d", "maxpool", "avgpool"),
                "temporal_kernel": one_of(1, 2, 3, 4),
                "temporal_stride": one_of(1, 1, 2, 3),
                "filters": one_of(3, 4, 6),
                "expand": one_of(0, 1, 2, 3),
                "repeats": one_of(1, 2, 3),
                "skip": one_of(0, 1),
                "squeeze": one_of(0.0, 0.4, 0.97),
                "context_gate": one_of(0, 1),
                "non_local": one_of(0, 0, 3),
                "inv-bottle": one_of(False, True),
                "act": one_of("relu", "hswish", "linear"),
                "spatial_act": one_of("relu", "hswish", "linear"),
                "temporal_act": one_of("relu", "hswish", "linear"),
            }
        )
    spec = {
        "image_size": 32,
        "num_frames": int(random.integers(1, 7)),
        "frame_stride": 2,
        "blocks": blocks,
    }
    return spec, int(random.integers(9, 24)), bool(random.integers(4) == 0)
