"""Small networks of the families for clips, with random weights."""

import numpy as np

from keras_video.applications.blvnet_tam import BLVNetTAM50
from keras_video.applications.x3d import X3DXS
from tests.helpers import randomize_weights


def x3d(**options):
    """X3D-XS, narrow and shallow; the padding of odd sizes differs from that of even ones."""
    options = {"input_shape": (4, 32, 32, 3), "hidden": 16, "width": 0.7, "depth": 1.0, **options}
    return X3DXS(classes=5, dropout=0.0, **options)


def blvnet_tam(**options):
    """bLVNet-TAM of few blocks and few channels."""
    options = {"blocks": (2, 2, 2, 1), "width": 8, "input_shape": (4, 32, 32, 3), **options}
    return BLVNetTAM50(classes=5, dropout=0.0, **options)


CASES = {
    "x3d": (x3d, {}),
    "x3d_odd": (x3d, {"input_shape": (4, 37, 33, 3)}),
    "blvnet_tam": (blvnet_tam, {}),
    "blvnet_tam_odd": (blvnet_tam, {"input_shape": (6, 45, 39, 3), "blending_frames": 4}),
    "blvnet_tsm": (blvnet_tam, {"temporal": "shift"}),
    "x3d_max": (x3d, {"include_top": False, "pooling": "max"}),
}


def tiny_family(case):
    """A model of `CASES` and two clips of it, `(2, frames, height, width, channels)`, 0..255."""
    build, options = CASES[case]
    model = randomize_weights(build(**options))
    shape = (2, *model.inputs[0].shape[1:])
    return model, np.random.default_rng(0).integers(0, 256, shape).astype("float32")
