"""Limits that a network must keep: costs counted from its values, and its measured latency.

The oracle checks the cheap constraints before anything is built. The worker checks the measured
ones before it trains. A rejected network costs no trial.
"""

from keras_video.checks import check_number
from keras_video.tuner.latency.meter import LatencyMeter, MeasurementError
from keras_video.tuner.latency.table import LatencyPredictor

__all__ = [
    "Constraint", "MaxLatency", "MaxMacs", "MaxMemory", "MaxParams", "MeasurementError",
]  # fmt: skip


class Constraint:
    """An upper limit of a cost of a network.

    Args:
        limit: number above 0, the largest cost allowed.

    Attributes:
        name: string, the metric of a trial that holds the cost, and the cause of rejections.
        limit: float.
        cheap: bool, `True` if `cost` computes the cost from the values alone, `False` if a model
            must be built for `measure`.
        margin: float. A network is rejected without a measurement if `predict` is above
            `margin * limit`.

    Raises:
        ValueError: if the limit is not a finite number above 0.
    """

    name = None
    cheap = True
    margin = 1.2

    def __init__(self, limit):
        self.limit = float(check_number("limit", limit, above=0))

    def cost(self, space, values):
        """Return the cost of a network from its values.

        Args:
            space: `Space`.
            values: dict of hyperparameter values.

        Returns:
            float.
        """
        raise NotImplementedError

    def measure(self, model):
        """Return the cost of a built model. May raise `MeasurementError`."""
        raise NotImplementedError

    def predict(self, space, values):
        """Return the expected cost, or `None` if too little is known."""
        return None

    def learn(self, space, values, measured):
        """Improve the predictions by a measured cost."""

    def get_config(self):
        """Return name, limit and further arguments as plain values, to tell searches apart."""
        return {"name": self.name, "limit": self.limit}


class _Counted(Constraint):
    """A limit of a cost that the space counts."""

    key = None
    unit = 1.0

    def cost(self, space, values):
        return float(space.cost(values, self.key)) / self.unit


class MaxParams(_Counted):
    """Limit the number of parameters, including the moving statistics of batch normalisation.

    Args:
        limit: number of parameters, such as `5e6`.
    """

    name = key = "params"


class MaxMacs(_Counted):
    """Limit the multiply-adds of one clip. They say little about time, see `MaxLatency`.

    Args:
        limit: number of multiply-adds, such as `1e9`.
    """

    name = key = "macs"


class MaxMemory(_Counted):
    """Limit the memory of activations that are alive at one time, for one clip in float32.

    Args:
        limit: number of MB (10^6 bytes).
    """

    name, key, unit = "memory_mb", "memory", 1e6


class MaxLatency(Constraint):
    """Limit the measured milliseconds of one clip, see `LatencyMeter`.

    A predictor learns from the measurements. Later in the search it rejects networks that are
    clearly too slow without measuring them.

    Args:
        ms: number of milliseconds, above 0.
        device: `"cpu"` or `"gpu"`.
        threads: int.
        runtime: `"litert"`, `"keras"` or `"auto"`.
        **options: further arguments of `LatencyMeter`.

    Attributes:
        last: the last `Measurement`, or `None`.
        meter, predictor: the `LatencyMeter` and the `LatencyPredictor`.
    """

    name = "latency_ms"
    cheap = False

    def __init__(self, ms, device="cpu", threads=1, runtime="auto", **options):
        super().__init__(check_number("ms", ms, above=0))
        self.meter = LatencyMeter(device, threads, runtime, **options)
        self.predictor = LatencyPredictor()
        self.last = None

    def measure(self, model):
        """Return the median time of one clip in milliseconds.

        Args:
            model: `keras.Model` with one input of fixed shape.

        Raises:
            MeasurementError: if the model does not run or takes too long; with `transient=True` if
                the machine is too busy to measure on.
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
