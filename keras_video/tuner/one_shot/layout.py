"""`Layout`: all choices of a space as one matrix, a row for each and a column for each value."""

import numpy as np
from keras import ops


class Layout:
    """Where each value of each choice sits in a matrix `(choices, values)`, and what depends on it.

    One matrix instead of hundreds of small vectors keeps the graph of a step small. Rows of
    choices with fewer values than the longest end in places that are masked.

    Args:
        choices: sequence of `Choice`, parents before children.

    Attributes:
        choices: tuple of `Choice`.
        shape: the pair of the numbers of choices and of columns.
        mask: float32 array of that shape, 1 where there is a value.
        last: float32 array of that shape, 1 at the last value of each row.
        ops, filters: float32 arrays `(choices,)`, 1 for the choices with that tag.

    Raises:
        ValueError: if names repeat, or a condition is about a choice that does not come before.
    """

    def __init__(self, choices):
        self.choices = tuple(choices)
        lengths = [len(choice.values) for choice in self.choices]
        self.shape = (len(lengths), max(lengths, default=0))
        self.rows = {choice.name: row for row, choice in enumerate(self.choices)}
        if len(self.rows) < len(self.choices):
            raise ValueError("choices: expected different names, got some twice.")
        self.mask = np.zeros(self.shape, "float32")
        self.last = np.zeros(self.shape, "float32")
        for row, length in enumerate(lengths):
            self.mask[row, :length] = 1
            self.last[row, length - 1] = 1
        self.ops = np.array([choice.tag == "op" for choice in self.choices], "float32")
        self.filters = 1 - self.ops
        self._conditions()

    def _conditions(self):
        """Rewrites the conditions so that each choice has all that its parents have, too."""
        allowed = []
        for row, choice in enumerate(self.choices):
            found = {}
            for name, values in choice.when:
                parent = self.rows.get(name, row)
                if parent >= row:
                    raise ValueError(
                        f"when: expected choices that come before {choice.name!r}, got {name!r}."
                    )
                mask = np.array([v in values for v in self.choices[parent].values])
                for ancestor, more in [(parent, mask), *allowed[parent].items()]:
                    found[ancestor] = found.get(ancestor, True) & more
            allowed.append(found)
        pairs = [(row, *item) for row, found in enumerate(allowed) for item in found.items()]
        self.conditions = len(pairs)
        self.parents = np.array([parent for _, parent, _ in pairs], "int32")
        self.allowed = np.zeros((len(pairs), self.shape[1]), "float32")
        self.owners = np.zeros((self.shape[0], len(pairs)), "float32")
        for number, (row, _, mask) in enumerate(pairs):
            self.allowed[number, : len(mask)] = mask
            self.owners[row, number] = 1

    def met(self, matrices):
        """Weight of the values that meet each condition: tensor `(..., conditions)`.

        Args:
            matrices: tensor `(..., choices, values)`: selections or probabilities.
        """
        allowed = ops.convert_to_tensor(self.allowed)
        return ops.sum(ops.take(matrices, self.parents, axis=-2) * allowed, axis=-1)

    def active(self, selections):
        """Which choices have an effect: float32 tensor `(..., choices)` of ones and zeros.

        Where a warm-up mixes all values of a parent, all its children have an effect.

        Args:
            selections: float tensor `(..., choices, values)`.
        """
        if not self.conditions:
            return ops.ones_like(selections[..., 0])
        failed = ops.cast(self.met(selections) < 1e-6, "float32")
        failed = ops.matmul(failed, ops.convert_to_tensor(self.owners.T.copy()))
        return ops.cast(failed < 0.5, "float32")

    def chances(self, probabilities):
        """Probability that each choice is active, where all are drawn independently.

        Args:
            probabilities: float tensor `(choices, values)`.

        Returns:
            float32 tensor `(choices,)`.
        """
        if not self.conditions:
            return ops.ones_like(probabilities[..., 0])
        logs = ops.log(ops.maximum(self.met(probabilities), 1e-30))
        owners = ops.convert_to_tensor(self.owners)
        return ops.exp(ops.squeeze(ops.matmul(owners, logs[:, None]), -1))

    def entropy(self, probabilities):
        """Entropy in nats of the networks that are drawn: scalar.

        Only choices that are active count, each as often as it is.

        Args:
            probabilities: float tensor `(choices, values)`, 0 in masked places.
        """
        logs = ops.log(ops.maximum(probabilities, 1e-30))
        rows = -ops.sum(probabilities * logs, axis=-1)
        return ops.sum(self.chances(probabilities) * rows)

    def matrix(self, values):
        """The selection of a network: float32 array of `shape`.

        Args:
            values: dict of plain values; choices without one take their first.
        """
        matrix = np.zeros(self.shape, "float32")
        for row, choice in enumerate(self.choices):
            matrix[row, choice.index(values[choice.name]) if choice.name in values else 0] = 1
        return matrix

    def selection(self, matrix):
        """A selection as super-networks take it: `{name: tensor (number of values,)}`."""
        return {
            choice.name: matrix[row, : len(choice.values)]
            for row, choice in enumerate(self.choices)
        }
