"""`Candidates`: draws networks until one may be tried, and counts what was rejected and why."""

import math
import random

from keras_video.tuner.declared import fingerprint

PREDICTED_AT_MOST = 500  # rejections by prediction alone, before a prediction is put to the test


class Candidates:
    """The networks of a search: those seen, those rejected, the next one.

    Args:
        screen: `Screen`.
        most: int, how many networks are drawn for one trial before giving up.

    Attributes:
        rejected: dict, number of rejected networks by cause: `"duplicate"`, `"invalid"` or the
            name of a constraint.
    """

    def __init__(self, screen, most):
        self.screen = screen
        self.most = most
        self.forget()

    def forget(self):
        """Begins anew."""
        self.rejected = {}
        self._seen = set()

    def see(self, values):
        """Remembers a network: it is not drawn again."""
        self._seen.add(fingerprint(values))

    def count(self, causes):
        """Adds rejections, a dict of numbers by cause."""
        for cause, number in causes.items():
            self.rejected[cause] = self.rejected.get(cause, 0) + number

    def draw(self, propose, key):
        """Draws until a network may be tried.

        Args:
            propose: function of a `random.Random` and the number of the attempt, which returns
                whole values.
            key: string; with the number of the attempt it is all that the randomness depends on.

        Returns:
            The pair of the values, or `None` if no network was found, and a dict of rejections by
            cause.
        """
        rejected, nearest = {}, (math.inf, None)
        for attempt in range(self.most):
            values = propose(random.Random(f"{key}/{attempt}"), attempt)
            cause, predicted = self._judge(values)
            if cause is None:
                break
            rejected[cause] = rejected.get(cause, 0) + 1
            if predicted is not None:
                nearest = min(nearest, (predicted, values), key=lambda pair: pair[0])
                if rejected[cause] >= PREDICTED_AT_MOST:
                    break
        if cause is not None:
            # Predictions may be wrong for all: measuring the best of them will tell.
            values = nearest[1]
        self.count(rejected)
        if values is not None:
            self.see(values)
        return values, rejected

    def _judge(self, values):
        if fingerprint(values) in self._seen:
            return "duplicate", None
        return self.screen.judge(values)
