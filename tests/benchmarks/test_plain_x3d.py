"""The yardstick must be the same network: plain torch gives our logits with our weights."""

import sys
from pathlib import Path

import keras
import numpy as np
import pytest

torch = pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import networks  # noqa: E402
import plain_x3d  # noqa: E402

from keras_video.applications.x3d.checkpoints import published_names  # noqa: E402


def test_plain_x3d_gives_our_logits():
    config = networks.config("x3d_s")
    weights, names = networks.random_weights(config, 400), published_names(config)
    plain = plain_x3d.load_named(plain_x3d.PlainX3D().eval(), weights, names)
    clips = networks.clip(2, 3, 46)
    with torch.inference_mode():
        received = plain(torch.from_numpy(clips).permute(0, 4, 1, 2, 3)).numpy()
    expected = keras.ops.convert_to_numpy(networks.keras_model("x3d_s")(clips))
    assert expected.std() > 1e-2
    assert np.abs(received - expected).max() <= 1e-4 * max(1.0, np.abs(expected).max())
    weights.pop("stem/kernel")
    with pytest.raises(ValueError, match="weights: expected one array for each weight"):
        plain_x3d.load_named(plain, weights, names)
