"""`LatencyTable`: the time of a network as the sum of its layers, each measured once.

Parts of MoViNets as networks of their own, to be timed.

`LatencyPredictor`: ridge regression from sums over layers to milliseconds.
"""

import dataclasses
import os
import random
import statistics

import numpy as np

from keras_video.specs import Dense, Depthwise, Pool, Scale, SqueezeExcite, check_int
from keras_video.tuner.latency.meter import LatencyMeter, cpu_name
from keras_video.tuner.search import trials
from keras_video.tuner.spaces import movinet_costs
from keras_video.tuner.spaces.choices import active_values

ACTIVE = ("stem", "expansion", "feature", "head")  # kinds with an activation behind each layer


def key(part, variant):
    """A string that two parts share if they take the same time.

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
    """The part as a model of fixed input shape.

    Args:
        part: `movinet_costs.Part`.
        variant: `applications.movinet.Variant`.

    Returns:
        `keras.Model`.
    """
    import keras

    from keras_video.blocks import StreamGraph, conv
    from keras_video.blocks.conv import depthwise
    from keras_video.layers import ReZero, SpatialAvgPool
    from keras_video.layers import SqueezeExcite as Attention

    graph = StreamGraph()
    inputs = x = keras.Input(part.shape)
    options = {"causal": variant.causal}
    if part.kind in ACTIVE:
        options["activation"] = variant.activation
    for row in part.rows:
        if isinstance(row, Pool):
            x = SpatialAvgPool(row.kernel[1], row.strides[1])(x)
        elif isinstance(row, Scale):
            x = ReZero(name=row.name)(x)
        elif isinstance(row, SqueezeExcite):
            x = Attention(row.hidden, variant.squeeze, variant.causal, variant.activation,
                          variant.gate, name=row.name)(x)  # fmt: skip
        elif isinstance(row, Dense):
            hidden = row.name == "classifier_hidden"
            activation = variant.head_activation if hidden else None
            x = keras.layers.Dense(row.filters, activation=activation, name=row.name)(x)
        elif isinstance(row, Depthwise):
            x = depthwise(graph, x, row, **options)
        else:
            x = conv(graph, x, row, **options)
    return keras.Model(inputs, x)


class LatencyTable:
    """Milliseconds of all MoViNets of a space, from those of their layers.

    Each distinct layer (kind, kernel, widths, stride, resolution) is measured alone, once, with
    LiteRT where it is installed; a network is the sum of its layers times a factor, the median over
    a few whole networks of what they take through that sum. So a search can look up the time of any
    network inside a compiled step. Times belong to one processor, runtime and number of threads:
    the file says which, and is refused elsewhere.

    Args:
        path: string, JSON file of what was measured; it is made by the first measurement and
            written anew, under a temporary name, after each.
        meter: `LatencyMeter`; default one thread of the CPU.

    Attributes:
        factor: float, whole networks through the sum of their layers; `None` before `fit`.

    Raises:
        ValueError: if the file is damaged, or was measured elsewhere.

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
            found = trials.read_json(self.path)
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
        """float, whole networks through the sum of their layers; `None` before `fit`."""
        return self._content["factor"]

    def missing(self, space):
        """The parts of a space's networks that have not been measured: `{key: Part}`."""
        found = {}

        def note(part):
            found[key(part, space.variant)] = part
            return 0.0

        list(movinet_costs.terms(space, note))
        return {name: part for name, part in found.items() if name not in self._content["parts"]}

    def measure(self, space, progress=None):
        """Measures what is missing; goes on where it was stopped.

        Args:
            space: `MoViNetSpace`.
            progress: function of the number of parts done and of all; or `None`.

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
        """Measures some random networks as a whole and fits the factor to them.

        Args:
            space: `MoViNetSpace`, whose parts were measured.
            networks: int.
            seed: int, of the networks.

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
        """Measured milliseconds of a whole network, from the file if it was measured before."""
        name = repr(sorted(values.items())) + repr(space.clip(values)) + repr(space.variant)
        times = self._content["networks"]
        if name not in times:
            times[name] = self.meter.measure(space.build(values)).ms
            self._save()
        return times[name]

    def errors(self, space, networks=8, seed=1):
        """How far the table is off, for networks that it was not fitted to.

        Args:
            space: `MoViNetSpace`.
            networks: int.
            seed: int, another one than that of `fit`.

        Returns:
            List of dicts with `"values"`, `"measured_ms"`, `"table_ms"` and `"error"`, their ratio
            minus one.
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
        """The `CostTable` of the space, in milliseconds.

        Raises:
            ValueError: if parts were not measured, or `fit` was not called.
        """
        if self.factor is None:
            raise ValueError("factor: expected fit() to be called before, got none.")
        return self._sums(space, self.factor)

    def _sums(self, space, factor=1.0):
        missing = self.missing(space)
        if missing:
            raise ValueError(
                f"parts: expected all to be measured, got {len(missing)} that were not, such as "
                f"{next(iter(missing))}: call measure() first."
            )
        parts = self._content["parts"]
        table = movinet_costs.table(space, lambda part: factor * parts[key(part, space.variant)])
        table.name = "latency_ms"
        return table

    def _save(self):
        trials.write_json(self.path, self._content)


def drawn(space, count, seed):
    """Values of uniformly drawn networks: list of dicts."""
    rng = random.Random(seed)
    return [
        active_values(space.choices, [rng.randrange(len(c.values)) for c in space.choices])
        for _ in range(count)
    ]


PENALTIES = 10.0 ** np.arange(-4, 3)
TOO_FEW = 20  # measurements below which nothing is predicted
TOO_VAGUE = 0.35  # typical relative error above which nothing is predicted
REMEMBERED = 1000


class LatencyPredictor:
    """Learns latencies from measured networks, on a linear or a logarithmic scale.

    Both scales and several penalties are compared by the error on networks left out, one by one;
    errors are relative ones. Nothing is predicted from fewer than 20 measurements, nor as long as
    the typical error is above 35 %.

    Attributes:
        error: float, median relative error on networks left out; infinite before anything is
            learned.
        scale: `"linear"`, `"log"`, or `None` before anything is learned.
    """

    def __init__(self):
        self._features, self._times = [], []
        self._fitted = 0
        self.error, self.scale = float("inf"), None

    def learn(self, features, milliseconds):
        """Remembers a measured network. The last 1,000 count.

        Args:
            features: float array `(n,)`.
            milliseconds: float above 0.
        """
        if not milliseconds > 0:
            raise ValueError(f"milliseconds: expected a number above 0, got {milliseconds!r}.")
        self._features.append(np.asarray(features, "float64"))
        self._times.append(float(milliseconds))

    def predict(self, features):
        """Milliseconds of a network, or `None` as long as too little is known."""
        count = len(self._times)
        if count < TOO_FEW:
            return None
        # The more is known the less a single number matters. What a prediction rests on depends on
        # the count alone, so that a search that was continued predicts as one that was not.
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
            # Relative errors count: on the linear scale every equation is divided by its time.
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
        """Rows with a constant term."""
        features = np.log1p(1e3 * features) if scale == "log" else features
        return np.concatenate([np.ones((len(features), 1)), features], axis=1)
