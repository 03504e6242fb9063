"""`LatencyTable`: the time of a network as the sum of its layers, each measured once."""

import os
import random
import statistics

from keras_video.specs import check_int
from keras_video.tuner import files
from keras_video.tuner.latency import LatencyMeter, cpu_name
from keras_video.tuner.latency_parts import key, part_model
from keras_video.tuner.spaces import movinet_costs
from keras_video.tuner.spaces.choices import active_values


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
        files.write_json(self.path, self._content)


def drawn(space, count, seed):
    """Values of uniformly drawn networks: list of dicts."""
    rng = random.Random(seed)
    return [
        active_values(space.choices, [rng.randrange(len(c.values)) for c in space.choices])
        for _ in range(count)
    ]
