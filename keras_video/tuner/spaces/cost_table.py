"""`CostTable`: a cost as a sum of look-ups, the same for one network and inside a compiled step."""

import numpy as np

from keras_video.tuner.spaces.choices import one_hot


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
