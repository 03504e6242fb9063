"""Constraints: what they are called, what they count, what they pass on."""

import pytest

keras_tuner = pytest.importorskip("keras_tuner")

from keras_video.applications.tiny_video_net.config import TVN1  # noqa: E402
from keras_video.tuner.search import constraints  # noqa: E402
from keras_video.tuner.spaces import TVNSpace  # noqa: E402


@pytest.mark.parametrize(
    ("made", "name", "cost"),
    [
        (constraints.MaxParams(3e7), "params", 26432641),
        (constraints.MaxMacs(1e9), "macs", 4326160640),
        (constraints.MaxMemory(100), "memory_mb", 32.11264),
    ],
)
def test_counted_constraints(made, name, cost):
    space = TVNSpace(339)
    assert (made.name, made.cheap) == (name, True)
    assert made.cost(space, space.to_values(TVN1)) == pytest.approx(cost, rel=1e-12)
    assert made.predict(space, {}) is None
    assert made.get_config() == {"name": name, "limit": made.limit}


@pytest.mark.parametrize("limit", [0, -1.0, "5", None, True, float("nan")])
def test_limits_are_above_zero(limit):
    for kind in ("MaxParams", "MaxMacs", "MaxMemory", "MaxLatency"):
        name = "ms" if kind == "MaxLatency" else "limit"
        with pytest.raises(ValueError, match=f"{name}: expected a finite number above 0, got"):
            getattr(constraints, kind)(limit)


@pytest.mark.parametrize(
    "options",
    [
        {"device": "tpu"}, {"runtime": "onnx"}, {"threads": 0}, {"threads": 1.5}, {"seconds": 0},
        {"spread": -1}, {"timeout": 0}, {"runtime": "litert", "device": "gpu"},
    ],
)  # fmt: skip
def test_latency_options_are_checked(options):
    with pytest.raises(ValueError, match=f"^{next(iter(options))}: expected"):
        constraints.MaxLatency(5, **options)


def test_latency_is_measured_learned_and_predicted(monkeypatch):
    limit = constraints.MaxLatency(5.0)
    assert (limit.name, limit.cheap, limit.limit, limit.margin) == ("latency_ms", False, 5.0, 1.2)
    assert limit.get_config()["threads"] == 1

    class Meter:
        def measure(self, model):
            return type("Measurement", (), {"ms": 7.5, "model": model})

    limit.meter = Meter()
    assert limit.measure("network") == 7.5 and limit.last.model == "network"

    space = TVNSpace(339)
    values = space.to_values(TVN1)
    assert limit.predict(space, values) is None
    for kernel in (2, 3, 4, 5, 6):
        for size in (64, 96, 128, 160, 192):
            other = {**values, "image_size": size, "block_2/spatial_kernel": kernel}
            limit.learn(space, other, size**2 * 1e-3 * (1 + kernel / 10))
    found = limit.predict(space, {**values, "image_size": 160, "block_2/spatial_kernel": 3})
    assert found == pytest.approx(160**2 * 1e-3 * 1.3, rel=0.1)
