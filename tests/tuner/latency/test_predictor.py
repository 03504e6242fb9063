"""The latency predictor: when it speaks, and how well."""

import random

import numpy as np
import pytest

keras_tuner = pytest.importorskip("keras_tuner")

from keras_video.tuner.latency.table import TOO_FEW, LatencyPredictor  # noqa: E402
from keras_video.tuner.spaces import TVNSpace  # noqa: E402
from keras_video.tuner.spaces.base import KINDS, NAMES  # noqa: E402
from tests.tuner.spaces.test_tvn import sample  # noqa: E402


@pytest.fixture(scope="module")
def networks():
    """Features of 120 random networks."""
    space = TVNSpace(
        10, image_size=(32, 96, 32), frames=(1, 8), blocks=(1, 3), filters=(8, 64), non_local=0,
        spatial=("std", "depth"), expand=1,
    )  # fmt: skip
    hp = keras_tuner.HyperParameters()
    space.declare(hp)
    return np.array([space.features(sample(space, seed, hp)) for seed in range(120)])


def milliseconds(features, noise=0.05, seed=0):
    """A made-up processor, on which kernels, kinds and traffic differ in speed."""
    rng = np.random.default_rng(seed)
    speeds = rng.uniform(0.005, 0.05, features.shape[1])
    for kernel in (2, 5, 7):
        speeds[NAMES.index(f"depthwise{kernel}_work")] *= 20
        speeds[NAMES.index(f"conv{kernel}_work")] *= 5
    return (0.05 + features @ speeds) * np.exp(noise * rng.standard_normal(len(features)))


def learned(features, times):
    predictor = LatencyPredictor()
    for row, time in zip(features, times, strict=True):
        predictor.learn(row, time)
    return predictor


def ranks(x):
    return np.argsort(np.argsort(x))


def test_it_predicts_networks_it_has_not_seen(networks):
    times = milliseconds(networks)
    predictor = learned(networks[:80], times[:80])
    found = np.array([predictor.predict(row) for row in networks[80:]])
    errors = np.abs(found / times[80:] - 1)
    macs = networks[:, [NAMES.index(f"{kind}_work") for kind in KINDS]].sum(1)
    scale = np.median(times[:80] / macs[:80])
    by_macs = np.abs(scale * macs[80:] / times[80:] - 1)
    assert np.median(errors) < 0.15 and np.median(errors) < np.median(by_macs) / 2
    assert np.corrcoef(ranks(found), ranks(times[80:]))[0, 1] > 0.95
    # It knows how wrong it is.
    assert 0.3 < predictor.error / np.median(errors) < 3


def test_it_is_silent_until_it_knows_enough(networks):
    times = milliseconds(networks)
    predictor = learned(networks[: TOO_FEW - 1], times[: TOO_FEW - 1])
    assert predictor.predict(networks[50]) is None
    nonsense = np.exp(np.random.default_rng(1).normal(0, 3, 60))
    predictor = learned(networks[:60], nonsense)
    assert predictor.predict(networks[70]) is None and predictor.error > 0.35
    # With as many numbers as features anything can be fitted, but not foretold.
    few = learned(networks[:30], np.exp(np.random.default_rng(2).normal(0, 0.8, 30)))
    assert few.predict(networks[70]) is None and few.error > 0.35


def test_it_takes_the_scale_that_fits(networks):
    few = networks[:, [0, 1, 2]] + 0.01
    linear = learned(few, 1 + few @ [1.0, 0.2, 3.0])
    assert linear.predict(few[0]) == pytest.approx(1 + few[0] @ [1.0, 0.2, 3.0], rel=1e-2)
    assert linear.scale == "linear"
    power = np.prod((1 + 1e3 * few) ** [0.5, 0.2, 0.1], axis=1)
    log = learned(few, power)
    assert log.predict(few[0]) == pytest.approx(power[0], rel=1e-2)
    assert log.scale == "log"


def test_it_learns_as_it_goes_and_forgets_the_oldest(networks, monkeypatch):
    from keras_video.tuner.latency import table as module

    monkeypatch.setattr(module, "REMEMBERED", 60)
    slow = milliseconds(networks, noise=0.0)
    predictor = learned(networks[:60], slow[:60])
    before = predictor.predict(networks[100])
    for row, time in zip(networks[:60], slow[:60], strict=True):
        predictor.learn(row, 3 * time)
    assert predictor.predict(networks[100]) == pytest.approx(3 * before, rel=0.05)


def test_it_predicts_the_same_whenever_it_was_asked(networks):
    times = milliseconds(networks)
    asked, silent = LatencyPredictor(), LatencyPredictor()
    different = set()
    for row, time in zip(networks[:100], times[:100], strict=True):
        asked.learn(row, time)
        silent.learn(row, time)
        different.add(asked.predict(networks[110]))
        if len(different) % 7 == 0:
            assert silent.predict(networks[110]) == asked.predict(networks[110])
    assert silent.predict(networks[110]) == asked.predict(networks[110])
    assert 30 < len(different) < 70  # it learns, but not from every number


def test_it_wants_positive_numbers(networks):
    for bad in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="milliseconds: expected a finite number above 0"):
            LatencyPredictor().learn(networks[0], bad)


def test_random_orders_do_not_matter(networks):
    times = milliseconds(networks)
    order = random.Random(0).sample(range(60), 60)
    one, other = learned(networks[:60], times[:60]), learned(networks[order], times[order])
    assert one.predict(networks[90]) == pytest.approx(other.predict(networks[90]), rel=1e-3)
