"""Limits that a found network must keep: costs counted from its values, and its measured latency.

One list serves every search. Cheap constraints are judged by the oracle before anything is built;
measured ones by the worker, before it trains. A rejected network costs no trial.
"""

from keras_video.tuner.latency.meter import LatencyMeter, MeasurementError
from keras_video.tuner.latency.table import LatencyPredictor

__all__ = [
    "Constraint", "MaxLatency", "MaxMacs", "MaxMemory", "MaxParams", "MeasurementError",
]  # fmt: skip


class Constraint:
    """An upper limit of something that a network costs.

    Attributes:
        name: string, under which the number is reported with a trial, and rejections are counted.
        limit: float, the largest number allowed.
        cheap: bool, whether `cost` knows the number from the values alone. Else `measure` does.
        margin: float, `predict` rejects above `margin * limit`.
    """

    name = None
    cheap = True
    margin = 1.2

    def __init__(self, limit):
        if isinstance(limit, bool) or not isinstance(limit, (int, float)) or not limit > 0:
            raise ValueError(f"{type(self).__name__}: expected a limit above 0, got {limit!r}.")
        self.limit = float(limit)

    def cost(self, space, values):
        """The number, from the values.

        Args:
            space: `Space`.
            values: dict of hyperparameter values.

        Returns:
            float.
        """
        raise NotImplementedError

    def measure(self, model):
        """The number of a built network; may raise `MeasurementError`."""
        raise NotImplementedError

    def predict(self, space, values):
        """The number as expected from what was learned; `None` where too little is known."""
        return None

    def learn(self, space, values, measured):
        """Takes note of a measured number."""

    def get_config(self):
        """Name, limit and further arguments as plain values, to tell two searches apart."""
        return {"name": self.name, "limit": self.limit}


class _Counted(Constraint):
    """A cost that the space counts."""

    key = None
    unit = 1.0

    def cost(self, space, values):
        return float(space.cost(values, self.key)) / self.unit


class MaxParams(_Counted):
    """At most so many parameters, moving statistics of batch norm included.

    Args:
        limit: number, such as `5e6`.
    """

    name = key = "params"


class MaxMacs(_Counted):
    """At most so many multiply-adds for a clip. This says little about time: see `MaxLatency`.

    Args:
        limit: number, such as `1e9`.
    """

    name = key = "macs"


class MaxMemory(_Counted):
    """At most so many MB (10^6 bytes) of activations at one time, for one float32 clip.

    Args:
        limit: number of MB.
    """

    name, key, unit = "memory_mb", "memory", 1e6


class MaxLatency(Constraint):
    """At most so many milliseconds for one clip, measured; see `LatencyMeter`.

    What was measured feeds a predictor, which spares networks that are clearly too slow the
    measurement as the search goes on.

    Args:
        ms: number of milliseconds.
        device: `"cpu"` or `"gpu"`.
        threads: int.
        runtime: `"litert"`, `"keras"` or `"auto"`.
        **options: further arguments of `LatencyMeter`.

    Attributes:
        last: the last `Measurement`: runtime, threads, runs, load, processor.
        meter, predictor: the `LatencyMeter` and the `LatencyPredictor`.
    """

    name = "latency_ms"
    cheap = False

    def __init__(self, ms, device="cpu", threads=1, runtime="auto", **options):
        super().__init__(ms)
        self.meter = LatencyMeter(device, threads, runtime, **options)
        self.predictor = LatencyPredictor()
        self.last = None

    def measure(self, model):
        """The median time of one clip in milliseconds.

        Args:
            model: `keras.Model` with one input of fixed shape.

        Raises:
            MeasurementError: if the network does not run or takes too long; with `transient` set
                if the machine is too busy to tell.
        """
        self.last = self.meter.measure(model)
        return self.last.ms

    def predict(self, space, values):
        return self.predictor.predict(space.features(values))

    def learn(self, space, values, measured):
        self.predictor.learn(space.features(values), measured)

    def get_config(self):
        meter = self.meter
        how = {"device": meter.device, "threads": meter.threads, "runtime": meter.runtime}
        return {**super().get_config(), **how}
