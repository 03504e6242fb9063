"""Latencies without measuring each model: a table of layers, and a predictor.

`LatencyTable` adds up the measured layers of a MoViNet. `LatencyPredictor` learns from models that
were measured.
"""

import dataclasses
import os
import random
import statistics

import keras
import numpy as np

from keras_video import files, layers, specs
from keras_video.blocks import StreamGraph, conv, depthwise
from keras_video.checks import check_int, check_number
from keras_video.tuner.latency.meter import LatencyMeter, cpu_name
from keras_video.tuner.spaces import movinet_costs
from keras_video.tuner.spaces.choices import active_values

ACTIVATED = ("stem", "expansion", "feature", "head")  # parts whose layers have an activation


class LatencyTable:
    """Milliseconds of all MoViNets of a space, from those of their layers.

    Each distinct layer (kind, kernel, widths, stride, resolution) is measured once, alone, with
    LiteRT if it is installed. The time of a model is the sum of its layers times a factor: the
    median, over a few whole models, of their measured time divided by their sum. A search can
    therefore look up the time of any model inside a compiled step. The times hold for one
    processor, runtime and number of threads. The file names them, and is refused elsewhere.

    Args:
        path: string, JSON file of the measurements. It is written after each measurement.
        meter: `LatencyMeter`; the default measures one thread of the CPU.

    Attributes:
        factor: float, time of whole models divided by the sum of their layers; `None` before
            `fit`.

    Raises:
        ValueError: if the file is damaged, or was measured under other conditions.

    Example:
    >>> table = keras_video.tuner.LatencyTable("latency.json")
    >>> cost = table.measure(space).fit(space).cost_table(space)
    >>> tuner = keras_video.tuner.TuNAS(space, cost=cost, target=2.5)   # milliseconds
    """

    def __init__(self, path, meter=None):
        self.path = os.fspath(path)
        self.meter = LatencyMeter() if meter is None else meter
        where = {
            "cpu": cpu_name(), "device": self.meter.device, "runtime": self.meter.runtime,
            "threads": self.meter.threads,
        }  # fmt: skip
        self._content = {"where": where, "factor": None, "parts": {}, "networks": {}}
        if os.path.exists(self.path):
            found = files.read_json(self.path)
            if not isinstance(found, dict) or set(found) != set(self._content):
                raise ValueError(f"path: expected a file of LatencyTable, got {self.path}.")
            if found["where"] != where:
                raise ValueError(
                    f"path: expected times of {where}, got {self.path} with those of "
                    f"{found['where']}."
                )
            self._content = found

    @property
    def factor(self):
        """float, time of whole models divided by the sum of their layers; `None` before `fit`."""
        return self._content["factor"]

    def missing(self, space):
        """Return the parts of a space's models that have not been measured, `{key: Part}`."""
        found = {}

        def note(part):
            found[key(part, space.variant)] = part
            return 0.0

        list(movinet_costs.terms(space, note))
        return {name: part for name, part in found.items() if name not in self._content["parts"]}

    def measure(self, space, progress=None):
        """Measure the missing parts. An interrupted measurement is continued.

        Args:
            space: `MoViNetSpace`.
            progress: function of the number of parts that are done and of the number of all, or
                `None`.

        Returns:
            The table itself.

        Raises:
            MeasurementError: if the machine is too busy, or a layer does not run.
        """
        missing = self.missing(space)
        for done, (name, part) in enumerate(missing.items(), 1):
            self._content["parts"][name] = self.meter.measure(part_model(part, space.variant)).ms
            self._save()
            if progress is not None:
                progress(done, len(missing))
        return self

    def fit(self, space, networks=8, seed=0):
        """Measure some random whole models and fit the factor to them.

        Args:
            space: `MoViNetSpace`, whose parts have been measured.
            networks: int, number of models.
            seed: int, chooses the models.

        Returns:
            The table itself.
        """
        check_int("networks", networks)
        table = self._sums(space)
        pairs = [(self.time(space, v), table.of(v)) for v in drawn(space, networks, seed)]
        self._content["factor"] = statistics.median(whole / total for whole, total in pairs)
        self._save()
        return self

    def time(self, space, values):
        """Return the measured milliseconds of a whole model, from the file if it has them."""
        name = repr(sorted(values.items())) + repr(space.clip(values)) + repr(space.variant)
        times = self._content["networks"]
        if name not in times:
            times[name] = self.meter.measure(space.build(values)).ms
            self._save()
        return times[name]

    def errors(self, space, networks=8, seed=1):
        """Compare the table with measurements of models to which it was not fitted.

        Args:
            space: `MoViNetSpace`.
            networks: int, number of models.
            seed: int, chooses the models; another one than that of `fit`.

        Returns:
            List of dicts with `"values"`, `"measured_ms"`, `"table_ms"` and `"error"`, the time of
            the table divided by the measured one, minus 1.
        """
        table, rows = self.cost_table(space), []
        for values in drawn(space, networks, seed):
            measured, looked_up = self.time(space, values), table.of(values)
            rows.append(
                {"values": values, "measured_ms": measured, "table_ms": looked_up,
                 "error": looked_up / measured - 1}
            )  # fmt: skip
        return rows

    def cost_table(self, space):
        """Return the `CostTable` of the space, in milliseconds.

        Raises:
            ValueError: if parts have not been measured, or `fit` has not been called.
        """
        if self.factor is None:
            raise ValueError("factor: expected a number, got None. Call fit() first.")
        return self._sums(space, self.factor)

    def _sums(self, space, factor=1.0):
        missing = self.missing(space)
        if missing:
            raise ValueError(
                f"parts: expected all to be measured, got {len(missing)} that are not, such as "
                f"{next(iter(missing))}. Call measure() first."
            )
        parts = self._content["parts"]
        table = movinet_costs.table(space, lambda part: factor * parts[key(part, space.variant)])
        table.name = "latency_ms"
        return table

    def _save(self):
        files.write_json(self.path, self._content, sync=True)


def drawn(space, count, seed):
    """Return the values of uniformly drawn models, a list of dicts."""
    rng = random.Random(seed)
    return [
        active_values(space.choices, [rng.randrange(len(c.values)) for c in space.choices])
        for _ in range(count)
    ]


def key(part, variant):
    """Return a string that is the same for parts that take the same time.

    Args:
        part: `movinet_costs.Part`.
        variant: `applications.movinet.Variant`.
    """
    rows = []
    for row in part.rows:
        fields = {k: v for k, v in dataclasses.asdict(row).items() if k != "name"}
        numbers = [f"{name}={value}" for name, value in fields.items()]
        rows.append(f"{type(row).__name__}({', '.join(numbers)})")
    how = [variant.activation, "causal" if variant.causal else "same", variant.squeeze]
    if part.kind == "squeeze_excite":
        how.append(variant.gate)
    shape = "x".join(map(str, part.shape))
    return f"{part.kind} {shape} {' '.join(rows)} {' '.join(how)}"


def part_model(part, variant):
    """Build a model of one part of a MoViNet, to be timed.

    Args:
        part: `movinet_costs.Part`.
        variant: `applications.movinet.Variant`.

    Returns:
        `keras.Model` with a fixed input shape.
    """
    graph = StreamGraph()
    inputs = x = keras.Input(part.shape)
    options = {"causal": variant.causal}
    if part.kind in ACTIVATED:
        options["activation"] = variant.activation
    for row in part.rows:
        if isinstance(row, specs.Pool):
            x = layers.SpatialAvgPool(row.kernel[1], row.strides[1])(x)
        elif isinstance(row, specs.Scale):
            x = layers.ReZero(name=row.name)(x)
        elif isinstance(row, specs.SqueezeExcite):
            how = (variant.squeeze, variant.causal, variant.activation, variant.gate)
            x = layers.SqueezeExcite(row.hidden, *how, name=row.name)(x)
        elif isinstance(row, specs.Dense):
            hidden = row.name == "classifier_hidden"
            activation = variant.head_activation if hidden else None
            x = keras.layers.Dense(row.filters, activation=activation, name=row.name)(x)
        elif isinstance(row, specs.Depthwise):
            x = depthwise(graph, x, row, **options)
        else:
            x = conv(graph, x, row, **options)
    return keras.Model(inputs, x)


PENALTIES = 10.0 ** np.arange(-4, 3)
TOO_FEW = 20  # no predictions from fewer measurements
TOO_VAGUE = 0.35  # no predictions if the median relative error is larger
REMEMBERED = 1000  # only the last measurements count


class LatencyPredictor:
    """Predict latencies by ridge regression on the features of measured models.

    The regression is linear or logarithmic. Both scales and several penalties are compared by their
    relative errors in leave-one-out cross-validation. There are no predictions from fewer than 20
    measurements, nor while the median error is above 35 %.

    Attributes:
        error: float, median relative error of the cross-validation; infinite before the first fit.
        scale: `"linear"`, `"log"`, or `None` before the first fit.
    """

    def __init__(self):
        self._features, self._times = [], []
        self._fitted = 0
        self.error, self.scale = float("inf"), None

    def learn(self, features, milliseconds):
        """Add a measured model. The last 1,000 count.

        Args:
            features: float array `(n,)`, see `Space.features`.
            milliseconds: float above 0.

        Raises:
            ValueError: if `milliseconds` is not a finite number above 0.
        """
        self._times.append(float(check_number("milliseconds", milliseconds, above=0)))
        self._features.append(np.asarray(features, "float64"))

    def predict(self, features):
        """Return the milliseconds of a model, or `None` while too little is known."""
        count = len(self._times)
        if count < TOO_FEW:
            return None
        # With many measurements, not each one needs a new fit. Which of them the fit uses depends
        # on their number alone, so that a search that was resumed predicts the same.
        count -= count % (1 + count // TOO_FEW) if count > 2 * TOO_FEW else 0
        if count != self._fitted:
            self._fit(count)
        if self.error > TOO_VAGUE:
            return None
        row = self._design(np.asarray(features, "float64")[None], self.scale)
        found = float((row / self._norm @ self._weights)[0])
        return float(np.exp(found)) if self.scale == "log" else max(found, 0.0)

    def _fit(self, count):
        known = slice(max(0, count - REMEMBERED), count)
        features, times = np.array(self._features[known]), np.array(self._times[known])
        self._fitted, self.error, self.scale = count, float("inf"), None
        for scale in ("linear", "log"):
            design = self._design(features, scale)
            # Errors are relative: on the linear scale, each equation is divided by its time.
            target = np.log(times) if scale == "log" else np.ones(len(times))
            importance = np.ones(len(times)) if scale == "log" else 1 / times
            norm = np.sqrt(np.mean((design * importance[:, None]) ** 2, axis=0)) + 1e-12
            left, singular, right = np.linalg.svd(
                design * importance[:, None] / norm, full_matrices=False
            )
            for penalty in PENALTIES * len(times):
                shrink = singular**2 / (singular**2 + penalty)
                fitted = left @ (shrink * (left.T @ target))
                leverage = (left**2) @ shrink
                missed = (target - fitted) / np.maximum(1 - leverage, 1e-6)
                relative = np.expm1(np.abs(missed)) if scale == "log" else np.abs(missed)
                error = float(np.median(relative))
                if error < self.error or self.scale is None:
                    self.error, self.scale, self._norm = error, scale, norm
                    inverse = singular / (singular**2 + penalty)
                    self._weights = right.T @ (inverse * (left.T @ target))

    @staticmethod
    def _design(features, scale):
        """Return the rows of the regression, with a constant term."""
        features = np.log1p(1e3 * features) if scale == "log" else features
        return np.concatenate([np.ones((len(features), 1)), features], axis=1)
