"""The yardstick must be the same network: plain torch gives our logits with our weights."""

import sys
from pathlib import Path

import keras
import numpy as np
import pytest

torch = pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import networks  # noqa: E402
import plain_torch  # noqa: E402


@pytest.mark.parametrize("size", [64, 75])
def test_plain_torch_gives_our_logits(size):
    config = networks.config("movinet_a0")
    weights = networks.random_weights(config)
    clips = networks.clip(2, 6, size)
    plain = plain_torch.PlainMoViNet(config).eval()
    plain_torch.load_named(plain, weights)
    with torch.inference_mode():
        received = plain(plain_torch.channels_first(clips)).numpy()

    expected = keras.ops.convert_to_numpy(networks.keras_model("movinet_a0")(clips))
    assert expected.std() > 1e-2
    assert np.abs(received - expected).max() <= 1e-4 * max(1.0, np.abs(expected).max())


def test_plain_torch_wants_all_weights_and_a_base_variant():
    config = networks.config("movinet_a0")
    plain = plain_torch.PlainMoViNet(config)
    weights = networks.random_weights(config)
    weights.pop("stem/kernel")
    with pytest.raises(ValueError, match="stem/kernel"):
        plain_torch.load_named(plain, weights)
    with pytest.raises(ValueError, match="base variant"):
        plain_torch.PlainMoViNet(networks.config("movinet_a0", streaming=True))
