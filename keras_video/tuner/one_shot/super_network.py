"""`SuperNetwork`: all networks of a space in one model with shared weights.

`super_network` builds it for a space. Spaces know nothing of their super-networks: each
super-network registers itself for its class of spaces.
"""

import functools

import keras

from keras_video.tuner.spaces.choices import ChoiceSpace


@functools.singledispatch
def super_network(space, fixed=None, **options):
    """Build the super-network of a space.

    Args:
        space: `ChoiceSpace` such as `MoViNetSpace` or `TwoStreamSpace`.
        fixed: dict of values that are not searched, or `None`. They are compiled in, which saves
            the computation that they exclude. The weights are the same for all fixed values, so
            that a later stage can start from those of an earlier one.
        **options: further arguments of the space's super-network: `mode` and `dtype`, and `remat`
            for `MoViNetSpace`.

    Returns:
        A `SuperNetwork`.

    Raises:
        ValueError: if there is no super-network for the class of the space.

    Example:
    >>> space = keras_video.tuner.MoViNetSpace("A0", num_classes=16, clip=(8, 48, 48), layers=2)
    >>> network = keras_video.tuner.super_network(space, fixed={"block0/layers": 1})

    The super-network of your own space is registered once:

    >>> @keras_video.tuner.super_network.register(MySpace)
    ... class MySuperNetwork(keras_video.tuner.SuperNetwork):
    ...     def __init__(self, space, fixed=None): ...

    A space may also have a method `super_network(fixed=None, **options)` of its own.
    """
    if _has_own_method(space):
        return space.super_network(fixed=fixed, **options)
    raise ValueError(
        "space: expected a space with a super-network, "
        f"got {type(space).__name__}. Register one with super_network.register."
    )


def has_super_network(space):
    """Return whether `super_network` can build one for a space."""
    registered = super_network.dispatch(type(space)) is not super_network.dispatch(object)
    return registered or _has_own_method(space)


def _has_own_method(space):
    method = getattr(type(space), "super_network", None)
    return method not in (None, ChoiceSpace.super_network)


class SuperNetwork(keras.Model):
    """The base class of super-networks, which one-shot searches train.

    Batch norm always uses the statistics of the batch. It has no moving statistics, because those
    of one network are useless for another.

    Attributes:
        space: the `ChoiceSpace`, which builds single networks.
        choices: tuple of all `Choice` of the space, fixed ones included.
        fixed: dict of the values that are compiled in.
    """

    space = None
    choices = ()
    fixed = {}

    def call(self, clips, selection, training=True):
        """Return logits `(batch, classes)` of the selected network.

        Args:
            clips: float tensor in the input format of the space's networks (uint8 clips are cast by
                the caller), or a dict of such tensors.
            selection: dict of float tensors `(number of values,)` by name of choice. They are
                one-hot, or soft when a warm-up mixes all operations. Those of fixed choices are
                ignored.
            training: bool, whether dropout is active.
        """
        raise NotImplementedError

    def child(self, values):
        """Return the selected network as a separate model, with its part of the shared weights.

        With batch statistics (`training=True`) and without dropout it computes the same as the
        super-network with that selection. Its moving statistics are those of a new network: train
        it, or run it on some batches in training mode, before it predicts.

        Args:
            values: dict of plain values by name of choice.

        Returns:
            The uncompiled `keras.Model` that the space builds from these values.

        Raises:
            ValueError: if the weights do not fit the network.
        """
        model, named = self.space.build(values), self.part(values)
        for layer in model.layers:
            for variable in layer.weights:
                if not variable.name.startswith("moving_"):
                    variable.assign(named.pop(f"{layer.name}/{variable.name}"))
        if named:
            raise ValueError(
                f"values: expected a network with the weights {sorted(named)}, got one without."
            )
        return model

    def part(self, values):
        """Return the shared weights of one network.

        Args:
            values: dict of plain values by name of choice.

        Returns:
            Dict of arrays by `"layer/variable"`: all weights except moving statistics.
        """
        raise NotImplementedError


def fixed_indices(choices, fixed):
    """Return the index of the value of each fixed choice, and of choices with a single value."""
    known = {choice.name: choice for choice in choices}
    unknown = sorted(set(fixed) - set(known))
    if unknown:
        raise ValueError(f"fixed: expected names of choices, got {unknown}.")
    indices = {choice.name: 0 for choice in choices if len(choice.values) == 1}
    return indices | {name: known[name].index(value) for name, value in fixed.items()}
