"""`SuperNetwork`: all networks of a space in one, with shared weights."""

import keras


class SuperNetwork(keras.Model):
    """What a one-shot search trains; each space has its own.

    Batch norm uses the statistics of the batch, always, and has no moving ones: those of one
    network say nothing about another.

    Attributes:
        space: the `ChoiceSpace`, which builds single networks.
        choices: tuple of `Choice`, all of the space, fixed ones included.
        fixed: dict of values that are compiled in.
    """

    space = None
    choices = ()
    fixed = {}

    def call(self, clips, selection, training=True):
        """Logits `(batch, classes)` of the selected network.

        Args:
            clips: float tensor as the space's networks take it (uint8 clips are cast by the
                caller), or a dict of such tensors.
            selection: dict of float tensors `(number of values,)` by name of choice; one-hot, or
                soft where a warm-up mixes all ops. Those of fixed choices are ignored.
            training: bool, whether dropout drops.
        """
        raise NotImplementedError

    def child(self, values):
        """The selected network as a model of its own, with its part of the shared weights.

        With batch statistics (`training=True`, no dropout) it computes what the super-network
        computes for the same selection. Its moving statistics are those of a fresh network: train
        it on, or let it see some batches, before it predicts.

        Args:
            values: dict of plain values by name of choice.

        Returns:
            The uncompiled `keras.Model` that the space builds from these values.

        Raises:
            ValueError: if the weights are not those of the network.
        """
        model, named = self.space.build(values), self.part(values)
        for layer in model.layers:
            for variable in layer.weights:
                if not variable.name.startswith("moving_"):
                    variable.assign(named.pop(f"{layer.name}/{variable.name}"))
        if named:
            raise ValueError(f"values: expected a network with {sorted(named)}, got one without.")
        return model

    def part(self, values):
        """The shared weights of one network.

        Args:
            values: dict of plain values by name of choice.

        Returns:
            Dict of arrays by `"layer/variable"`, all of them but moving statistics.
        """
        raise NotImplementedError


def fixed_indices(choices, fixed):
    """The place of the value of each fixed choice, and of those that have no other value."""
    known = {choice.name: choice for choice in choices}
    unknown = sorted(set(fixed) - set(known))
    if unknown:
        raise ValueError(f"fixed: expected names of choices, got {unknown}.")
    indices = {choice.name: 0 for choice in choices if len(choice.values) == 1}
    return indices | {name: known[name].index(value) for name, value in fixed.items()}
