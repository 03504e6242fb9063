"""The table of measured layers: what is measured, kept, added up and fitted."""

import json

import keras
import pytest

pytest.importorskip("keras_tuner")

from keras_video.tuner import LatencyTable  # noqa: E402
from keras_video.tuner.latency import table as latency_table  # noqa: E402
from keras_video.tuner.latency.table import drawn, part_model  # noqa: E402
from keras_video.tuner.spaces import CostTable, MoViNetSpace  # noqa: E402
from keras_video.tuner.spaces.movinet_bases import MoViNetBase  # noqa: E402


class Meter:
    """Fake: a microsecond for each parameter, and twice that for whole models."""

    device, runtime, threads = "cpu", "litert", 1

    def __init__(self, fails_after=None):
        self.models, self.fails_after = [], fails_after

    def measure(self, model):
        if len(self.models) == self.fails_after:
            raise RuntimeError("too busy")
        self.models.append(model)
        whole = 2.0 if "classifier" in {layer.name for layer in model.layers} and len(
            model.layers
        ) > 10 else 1.0  # fmt: skip
        return type("Measurement", (), {"ms": whole * (1 + model.count_params()) / 1e3})


def make_space(**options):
    base = MoViNetBase(8, (8, 8, 16, 16, 16), 16, 2, (2, 32, 32), 5.0)
    options = {"kernels": ("1x3x3", "3x3x3"), "multipliers": (1.0,), "expansions": (1.0, 2),
               "hidden": 8, **options}  # fmt: skip
    return MoViNetSpace(base, 3, **options)


def test_each_layer_is_measured_once_and_networks_are_their_sum(tmp_path):
    space, meter = make_space(), Meter()
    path = tmp_path / "times.json"
    table = LatencyTable(path, meter)
    missing = table.missing(space)
    seen = []
    assert table.measure(space, progress=lambda *numbers: seen.append(numbers)) is table
    assert len(meter.models) == len(missing) and seen[-1] == (len(missing), len(missing))
    # Two blocks of the same width and resolution share their layers.
    kinds = [name.split()[0] for name in missing]
    assert kinds.count("stem") == 1 and kinds.count("feature") < 5 * 2 * 2 * 2
    assert table.missing(space) == {}

    table.fit(space, networks=2)
    whole = len(meter.models)
    cost = table.cost_table(space)
    assert isinstance(cost, CostTable) and cost.name == "latency_ms"
    # The layers' parameters add up to the network's; each layer adds a microsecond of its own.
    for row in table.errors(space, networks=3, seed=5):
        assert abs(row["error"]) < 0.05 and row["measured_ms"] > 0
    assert 1.8 < table.factor < 2.0
    assert len(meter.models) == whole + 3

    again = LatencyTable(path, Meter(fails_after=0))
    values = drawn(space, 1, seed=9)[0]
    assert again.measure(space).fit(space, networks=2).cost_table(space).of(values) == cost.of(
        values
    )


@pytest.mark.parametrize("causal", [False, True])
def test_parts_reach_the_process_that_measures_them(causal):
    """Models are sent as JSON."""
    space = make_space(causal=causal)
    for part in LatencyTable("none", Meter()).missing(space).values():
        model = part_model(part, space.variant)
        again = keras.models.model_from_json(model.to_json())
        assert again.count_params() == model.count_params()


@pytest.fixture
def small_parts(monkeypatch):
    """Measure one small model instead of each part."""
    small = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    monkeypatch.setattr(latency_table, "part_model", lambda part, variant: small)


def test_a_measurement_that_was_stopped_goes_on(tmp_path, small_parts):
    space, path = make_space(), tmp_path / "times.json"
    with pytest.raises(RuntimeError):
        LatencyTable(path, Meter(fails_after=3)).measure(space)
    meter = Meter()
    table = LatencyTable(path, meter)
    assert len(json.loads(path.read_text())["parts"]) == 3
    table.measure(space)
    assert len(meter.models) == len(table._content["parts"]) - 3


def test_parts_are_what_the_networks_have():
    from keras_video.tuner.spaces import movinet_costs

    space, parts = make_space(), []
    list(movinet_costs.terms(space, lambda part: parts.append(part) or 0.0))
    for kind in ("stem", "skip", "feature", "squeeze_excite", "projection", "classifier"):
        part = [part for part in parts if part.kind == kind][-1]
        model = part_model(part, space.variant)
        assert model.count_params() == movinet_costs.COUNTS["params"](part)
        assert tuple(model.input_shape[1:]) == part.shape


def test_what_is_missing_or_from_elsewhere_is_said(tmp_path, small_parts):
    space, path = make_space(), tmp_path / "times.json"
    table = LatencyTable(path, Meter())
    with pytest.raises(ValueError, match="factor: expected a number, got None. Call fit"):
        table.cost_table(space)
    with pytest.raises(ValueError, match="Call measure"):
        table.fit(space)
    with pytest.raises(ValueError, match="networks: expected an int"):
        table.measure(space).fit(space, networks=0)
    meter = Meter()
    meter.threads = 2
    with pytest.raises(ValueError, match="path: expected times of .*'threads': 2"):
        LatencyTable(path, meter)
    path.write_text("{")
    with pytest.raises(ValueError, match="damaged"):
        LatencyTable(path, Meter())
    path.write_text("[]")
    with pytest.raises(ValueError, match="expected a file of LatencyTable"):
        LatencyTable(path, Meter())
