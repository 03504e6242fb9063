"""`Cost`: what networks cost, inside a compiled step and by their values.

`CostTable`: a cost as a sum of look-ups, the same for one network and inside a compiled step.
"""

import random

import numpy as np

from keras_video.tuner.spaces.choices import active_values, one_hot


class CostTable:
    """A sum of terms, each looked up by the values of a few choices.

    This is the product-feature model of TuNAS (Bender et al. 2020, arXiv 2008.06120): exact for
    multiply-adds and parameters, additive for measured times. A term must not depend on choices
    that are not active: it has the same entry for all their values.

    Args:
        choices: sequence of `Choice`, those of the space.
        terms: sequence of pairs `(names, array)`: the array has one axis per name, as long as that
            choice has values.
        constant: float, added to the sum.

    Raises:
        ValueError: if an array does not fit its choices.
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
        """The cost of a network: float.

        Args:
            values: dict of plain values by name of choice.
        """
        selection = one_hot(self.choices, values)
        return self.constant + sum(
            float(array[tuple(int(selection[name].argmax()) for name in names)])
            for names, array in self.terms
        )

    def __call__(self, selection):
        """The cost of a selection: float32 scalar tensor, for use inside a compiled step.

        Args:
            selection: dict of tensors `(number of values,)` by name of choice, that sum to one. For
                independent soft ones it is the expected cost.
        """
        from keras import ops

        total = ops.convert_to_tensor(self.constant, "float32")
        for names, array in self.terms:
            term = ops.convert_to_tensor(array, "float32")
            for name in reversed(names):
                term = ops.sum(term * ops.cast(selection[name], "float32"), axis=-1)
            total = total + term
        return total


STARTS = 8  # random networks from which the extremes of a table are sought
CALLS = 2000  # at most, of a function that is no table


class Cost:
    """A cost of the networks of a space.

    Args:
        space: `ChoiceSpace`.
        cost: string, such as `"macs"`, of which the space has a table; a `CostTable`; or a function
            of a selection (see `SuperNetwork.call`) that returns a scalar tensor.

    Attributes:
        name: string.

    Raises:
        ValueError: if it is none of these.
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
        """The cost of a selection: scalar tensor, inside a compiled step."""
        return self.function(selection)

    def of(self, values):
        """The cost of a network: float.

        Args:
            values: dict of plain values.
        """
        if isinstance(self.function, CostTable):
            return self.function.of(values)
        from keras import ops

        selection = one_hot(self.choices, values)
        tensors = {name: ops.convert_to_tensor(row) for name, row in selection.items()}
        return float(ops.convert_to_numpy(ops.convert_to_tensor(self.function(tensors))))

    def extremes(self, fixed=None):
        """The smallest and the largest cost that were found in the space: two floats.

        From a few networks on, one choice after the other is set to what costs least, or most,
        until nothing changes. Costs that grow with every choice are bounded exactly.

        Args:
            fixed: dict of values that do not change.
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
        """The best value of one choice, by trying all."""
        self._calls = getattr(self, "_calls", 0) + len(choice.values)
        if self._calls > CALLS:
            return indices[choice.name]

        def cost(index):
            changed = {**indices, choice.name: index}
            return sign * self.of(active_values(self.choices, changed.values()))

        return min(range(len(choice.values)), key=cost)


class _Lookup:
    """Finds the best value of a choice from the terms of a table that look at it."""

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
    """A short name of a cost, for files and tables."""
    if isinstance(cost, str):
        return cost
    return getattr(cost, "name", None) or getattr(cost, "__name__", None) or type(cost).__name__
