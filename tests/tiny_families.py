"""Small networks of the families for clips, with random weights."""

import numpy as np

from keras_video.applications.auto_tsnet import AutoTSNet, Group, TwoStreamSpec
from keras_video.applications.blvnet_tam import BLVNetTAM50
from keras_video.applications.x3d import X3DXS
from tests.helpers import randomize_weights


def x3d(**options):
    """Build a narrow, shallow X3D-XS with every kind of block."""
    options = {"input_shape": (4, 32, 32, 3), "hidden": 16, "width": 0.7, "depth": 0.5, **options}
    return X3DXS(classes=5, dropout=0.0, **options)


def blvnet_tam(**options):
    """bLVNet-TAM of few blocks and few channels."""
    options = {"blocks": (2, 2, 2, 1), "width": 8, "input_shape": (4, 32, 32, 3), **options}
    return BLVNetTAM50(classes=5, dropout=0.0, **options)


def auto_tsnet(**options):
    """Two streams with every kind of fusion, and global reasoning in both."""
    spec = TwoStreamSpec(
        "tiny",
        sparse=(Group(8), Group(16, 1.5, 1, 3), Group(16, 1.5, 1, 5), Group(24, 1.5)),
        dense=(Group(8, 1.5, 1, 5), Group(8, 1.5), Group(16, 1.5, 5, 3), Group(8, 3.0, 1, 3)),
        fusion=("time_strided_conv", "time_to_channel", "time_strided_sampling", "none"),
        attention_sparse=(2, 4),
        attention_dense=(3,),
        sparse_stem=8,
        repeats=(1, 2, 1, 1),
        stages=(1, 1, 2, 2),
        frames=4,
        stride=2,
        hidden=16,
        dropout=0.0,
    )
    return AutoTSNet(spec, classes=5, **{"input_shape": (4, 32, 32, 3), **options})


CASES = {
    "auto_tsnet": (auto_tsnet, {}),
    "auto_tsnet_odd": (
        auto_tsnet,
        {"input_shape": (6, 39, 35, 3), "sparse_positions": "spread"},
    ),
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
