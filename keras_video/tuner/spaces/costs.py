"""Costs of the networks of a `ChoiceSpace`, from plain values and inside a compiled step.

`CostTable` is a cost that is a sum of table entries. `Cost` has the same methods for cost tables
and for functions of the user.
"""

import random

import numpy as np
from keras import ops

from keras_video.tuner.spaces.choices import active_values, one_hot


class CostTable:
    """A cost that is a sum of terms, each looked up by the values of a few choices.

    This is the cost model of TuNAS (Bender et al. 2020, arXiv 2008.06120). It is exact for
    multiply-adds and parameters, and an approximation for measured times. A term must have the same
    entry for all values of an inactive choice.

    Args:
        choices: sequence of `Choice`, the choices of the space.
        terms: sequence of pairs `(names, array)`. The array has one axis for each name, with one
            entry for each value of that choice.
        constant: float, added to the sum.

    Raises:
        ValueError: if the shape of an array does not fit its choices.
    """

    def __init__(self, choices, terms, constant=0.0):
        self.choices = tuple(choices)
        self.constant = float(constant)
        self.terms = []
        lengths = {choice.name: len(choice.values) for choice in self.choices}
        for names, array in terms:
            array = np.asarray(array, "float64")
            expected = tuple(lengths[name] for name in names)
            if array.shape != expected:
                raise ValueError(
                    f"terms: expected an array of shape {expected} for {names}, got {array.shape}."
                )
            self.terms.append((tuple(names), array))

    def of(self, values):
        """Return the cost of a network: float.

        Args:
            values: dict of plain values by name of choice.
        """
        selection = one_hot(self.choices, values)
        return self.constant + sum(
            float(array[tuple(int(selection[name].argmax()) for name in names)])
            for names, array in self.terms
        )

    def __call__(self, selection):
        """Return the cost of a selection: float32 scalar tensor, for use in a compiled step.

        Args:
            selection: dict of tensors `(number of values,)` by name of choice, each with sum 1. For
                a selection that is not one-hot, the result is the expected cost.
        """
        total = ops.convert_to_tensor(self.constant, "float32")
        for names, array in self.terms:
            term = ops.convert_to_tensor(array, "float32")
            for name in reversed(names):
                term = ops.sum(term * ops.cast(selection[name], "float32"), axis=-1)
            total = total + term
        return total


STARTS = 8  # random networks from which the search for the extremes of a table starts
CALLS = 2000  # limit on the calls of a cost function that is not a table


class Cost:
    """The cost of the networks of a space, from a name, a table or a function.

    Args:
        space: `ChoiceSpace`.
        cost: string such as `"macs"`, name of a cost table of the space; a `CostTable`; or a
            function of a selection (see `SuperNetwork.call`) that returns a scalar tensor.

    Attributes:
        name: string.

    Raises:
        ValueError: if `cost` is none of these.
    """

    def __init__(self, space, cost):
        self.choices = tuple(space.choices)
        self.name = cost_name(cost)
        if isinstance(cost, str):
            cost = space.cost_table(cost)
        elif not callable(cost):
            raise ValueError(
                "cost: expected the name of a cost of the space, a CostTable or a function of a "
                f"selection, got {cost!r}."
            )
        self.function = cost

    def __call__(self, selection):
        """Return the cost of a selection: scalar tensor, for use in a compiled step."""
        return self.function(selection)

    def of(self, values):
        """Return the cost of a network: float.

        Args:
            values: dict of plain values.
        """
        if isinstance(self.function, CostTable):
            return self.function.of(values)
        selection = one_hot(self.choices, values)
        tensors = {name: ops.convert_to_tensor(row) for name, row in selection.items()}
        return float(ops.convert_to_numpy(ops.convert_to_tensor(self.function(tensors))))

    def extremes(self, fixed=None):
        """Return the smallest and the largest cost that were found in the space: two floats.

        Starting from a few networks, each choice in turn is set to its cheapest (or most expensive)
        value until nothing changes. The result is exact for costs that grow with every choice.

        Args:
            fixed: dict of values that must not change.
        """
        if isinstance(self.function, CostTable):
            lookup = _Lookup(self.function)
            best, starts = lookup.best, STARTS
        else:
            best, starts = self._best, 1
        rng, found = random.Random(0), []
        for sign in (1, -1):
            ends = [0.0, 0.999, *(rng.random() for _ in range(starts - 1))]
            found.append(
                sign * min(self._descend(best, end, rng, sign, fixed or {}) for end in ends)
            )
        return tuple(found)

    def _descend(self, best, end, rng, sign, fixed):
        indices = {}
        for choice in self.choices:
            place = end if end in (0.0, 0.999) else rng.random()
            indices[choice.name] = int(place * len(choice.values))
            if choice.name in fixed:
                indices[choice.name] = choice.index(fixed[choice.name])
        lowest = None
        while True:
            for choice in self.choices:
                if choice.name not in fixed and len(choice.values) > 1:
                    indices[choice.name] = best(indices, choice, sign)
            cost = sign * self.of(active_values(self.choices, indices.values()))
            if lowest is not None and cost >= lowest - 1e-9 * abs(lowest):
                return min(cost, lowest)
            lowest = cost

    def _best(self, indices, choice, sign):
        """Return the index of the best value of one choice, by trying all of them."""
        self._calls = getattr(self, "_calls", 0) + len(choice.values)
        if self._calls > CALLS:
            return indices[choice.name]

        def cost(index):
            changed = {**indices, choice.name: index}
            return sign * self.of(active_values(self.choices, changed.values()))

        return min(range(len(choice.values)), key=cost)


class _Lookup:
    """Find the best value of a choice from the table terms that depend on it."""

    def __init__(self, table):
        self._terms = {}
        for names, array in table.terms:
            for axis, name in enumerate(names):
                self._terms.setdefault(name, []).append((names, array, axis))

    def best(self, indices, choice, sign):
        costs = 0.0
        for names, array, axis in self._terms.get(choice.name, ()):
            place = tuple(slice(None) if i == axis else indices[n] for i, n in enumerate(names))
            costs = costs + sign * array[place]
        return indices[choice.name] if isinstance(costs, float) else int(costs.argmin())


def cost_name(cost):
    """Return a short name of a cost, for files and tables."""
    if isinstance(cost, str):
        return cost
    return getattr(cost, "name", None) or getattr(cost, "__name__", None) or type(cost).__name__
