"""Which networks may be tried: the cheap tier of the constraints, judged from values alone."""

import math
from typing import NamedTuple

from keras_video.tuner.constraints import Constraint
from keras_video.tuner.declared import network_values


class Verdict(NamedTuple):
    """What the screen says of a network.

    Args:
        cause: `None`, or the first reason against it: `"invalid"` or a constraint's name.
        predicted: `None`, or by how many times its limit the network is predicted to miss it. Then
            the network fails by this prediction alone.
    """

    cause: str | None
    predicted: float | None = None


class Screen:
    """Judges networks by validity, by cheap constraints and by predictions of the measured ones.

    Args:
        constraints: list of constraints, see `keras_video.tuner.constraints`.
        space: the space, for its `invalid` and for the constraints; may be set later.

    Raises:
        ValueError: if a constraint is none, or two have one name.
    """

    def __init__(self, constraints=(), space=None):
        self.constraints = tuple(constraints)
        self.space = space
        self.closest = {}
        for constraint in self.constraints:
            if not isinstance(constraint, Constraint):
                raise ValueError(
                    "constraints: expected a list of constraints such as MaxParams(1e6), "
                    f"got {constraint!r} in it."
                )
        names = [constraint.name for constraint in self.constraints]
        if len(set(names)) < len(names):
            raise ValueError(f"constraints: expected one of each kind, got {names}.")

    @property
    def measured(self):
        """Tuple of the constraints that a worker has to measure."""
        return tuple(c for c in self.constraints if not c.cheap)

    def judge(self, values):
        """Judges a network.

        Args:
            values: dict of whole values.

        Returns:
            `Verdict`.
        """
        values = network_values(values)
        invalid = getattr(self.space, "invalid", None)
        if invalid is not None and invalid(values) is not None:
            return Verdict("invalid")
        for constraint in self.constraints:
            if constraint.cheap:
                cost = constraint.cost(self.space, values)
                self.note(constraint.name, cost)
                if not cost <= constraint.limit:
                    return Verdict(constraint.name)
        for constraint in self.measured:
            predicted = constraint.predict(self.space, values)
            if predicted is not None and predicted > constraint.margin * constraint.limit:
                return Verdict(constraint.name, predicted / constraint.limit)
        return Verdict(None)

    def costs(self, values):
        """Costs of a network as metrics: `{"macs": ..., "params": ..., "memory_mb": ...}`."""
        values = network_values(values)
        if not hasattr(self.space, "costs"):
            cheap = [c for c in self.constraints if c.cheap]
            return {c.name: float(c.cost(self.space, values)) for c in cheap}
        costs = dict(self.space.costs(values))
        if "memory" in costs:
            costs["memory_mb"] = costs.pop("memory") / 1e6
        return {name: float(cost) for name, cost in costs.items()}

    def learn(self, values, name, number):
        """Takes in a measured number: it feeds the predictor of the constraint.

        Args:
            values: dict of whole values.
            name: string, name of the constraint; unknown ones are ignored.
            number: float; of a network that could not be measured infinity, or NaN.
        """
        for constraint in self.measured:
            if constraint.name == name and math.isfinite(number):
                self.note(name, number)
                constraint.learn(self.space, network_values(values), number)

    def note(self, name, number):
        """Remembers the number closest to the limit."""
        if number < self.closest.get(name, math.inf):
            self.closest[name] = number

    def explain(self, rejected):
        """Says which constraints keep networks from being found.

        Args:
            rejected: dict of counts by cause.
        """
        parts = []
        for cause, count in sorted(rejected.items(), key=lambda item: -item[1]):
            limit = {c.name: c.limit for c in self.constraints}.get(cause)
            text = f"{cause} (rejected {count:,}"
            if limit is not None:
                closest = self.closest.get(cause)
                found = "nothing found" if closest is None else f"closest found {closest:,.6g}"
                text += f"; limit {limit:,.6g}, {found}"
            parts.append(text + ")")
        return ", ".join(parts)
