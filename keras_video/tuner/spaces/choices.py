"""`Choice`: one decision of an architecture; `ChoiceSpace`: a space made of nothing else."""

from dataclasses import dataclass

import numpy as np

from keras_video.tuner.spaces.base import Space

TAGS = ("op", "filters")


@dataclass(frozen=True)
class Choice:
    """One categorical decision of an architecture.

    Args:
        name: string, that of the hyperparameter, such as `"block1/layer0/kernel"`.
        values: tuple of different plain values: strings, ints, floats or bools, of one type.
        tag: `"op"` (kernel, layer or not, attention) or `"filters"` (widths); the two kinds have
            different warm-ups in a one-shot search.
        when: tuple of pairs `(name, values)`. The choice has an effect only where each of these
            earlier choices takes one of the values. Else it is not active: it is not among the
            values of a network, and its probability does not count.

    Raises:
        ValueError: if values or tag are not as above.
    """

    name: str
    values: tuple
    tag: str = "op"
    when: tuple = ()

    def __post_init__(self):
        kinds = {type(value) for value in self.values}
        if not self.values or len(set(self.values)) != len(self.values) or len(kinds) != 1:
            raise ValueError(
                f"values: expected different values of one type for {self.name!r}, "
                f"got {self.values!r}."
            )
        if self.tag not in TAGS:
            raise ValueError(f"tag: expected one of {TAGS} for {self.name!r}, got {self.tag!r}.")

    def active(self, values):
        """bool, whether the choice has an effect beside the given values of earlier ones."""
        return all(values.get(name) in allowed for name, allowed in self.when)

    def index(self, value):
        """Position of a value; ValueError if it is none of the choice."""
        if value not in self.values:
            raise ValueError(f"{self.name}: expected one of {self.values}, got {value!r}.")
        return self.values.index(value)


def one_hot(choices, values):
    """A network as a selection: `{name: float32 array (number of values,)}`.

    Choices that are not among the values take their first value, which has no effect.

    Args:
        choices: sequence of `Choice`.
        values: dict of plain values by name.
    """
    return {
        choice.name: np.eye(len(choice.values), dtype="float32")[
            choice.index(values[choice.name]) if choice.name in values else 0
        ]
        for choice in choices
    }


def active_values(choices, indices):
    """The values of the active choices: dict.

    Args:
        choices: sequence of `Choice`, parents before children.
        indices: sequence of ints, one per choice.
    """
    values = {}
    for choice, index in zip(choices, indices, strict=True):
        if choice.active(values):
            values[choice.name] = choice.values[int(index)]
    return values


class ChoiceSpace(Space):
    """A space whose hyperparameters are `Choice`s, so that a policy can have one logit per value.

    A subclass gives `choices`, `cost_table`, and what `Space` asks for besides `declare` and
    `costs`; one with a super-network gives `super_network`, too.

    Attributes:
        choices: tuple of `Choice`, parents before children.
    """

    choices = ()

    def declare(self, hp):
        for choice in self.choices:
            _declare(hp, choice, choice.when)

    def costs(self, values):
        return {name: self.cost(values, name) for name in ("macs", "params", "memory")}

    def cost_table(self, name):
        """The `CostTable` of a cost, such as `"macs"`: what a one-shot search looks up.

        Raises:
            ValueError: if the cost is no sum of tables.
        """
        raise NotImplementedError

    def super_network(self, fixed=None):
        """All networks of the space in one: a `SuperNetwork`.

        Args:
            fixed: dict of values that are not searched, or `None`. They are compiled in, which
                saves the time of what they rule out. All weights are there whatever is fixed, so
                that they can be handed from stage to stage.
        """
        raise NotImplementedError


def _declare(hp, choice, conditions):
    if conditions:
        name, allowed = conditions[0]
        with hp.conditional_scope(name, list(allowed)):
            _declare(hp, choice, conditions[1:])
    elif len(choice.values) == 1:
        hp.Fixed(choice.name, choice.values[0])
    elif isinstance(choice.values[0], bool):
        hp.Boolean(choice.name, default=choice.values[0])
    else:
        hp.Choice(choice.name, list(choice.values), ordered=False, default=choice.values[0])
