"""`LatencyPredictor`: ridge regression from sums over layers to milliseconds."""

import numpy as np

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
