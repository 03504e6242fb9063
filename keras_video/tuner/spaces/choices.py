"""`Choice`: one decision of an architecture; `ChoiceSpace`: a space made of nothing else.

Ranges of a search space: what a user writes for them, and what KerasTuner is told.
"""

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


class Options:
    """Values of which one is chosen: ints, words or bools.

    Attributes:
        values: tuple of all of them. With a single one there is nothing to search: it is not
            declared, and the parameter keeps it.
        fixed: bool, whether there is no choice.
    """

    def __init__(self, values):
        self.values = tuple(values)
        self.fixed = len(self.values) == 1
        self._all, self._type = frozenset(self.values), type(self.values[0])

    def __contains__(self, value):
        return type(value) is self._type and value in self._all

    def __repr__(self):
        if self._step is None or self.fixed:
            return " | ".join(map(str, self.values))
        step = f" step {self._step}" if self._step > 1 else ""
        return f"{self.values[0]}..{self.values[-1]}{step}"

    def clean(self, value):
        """The value in the declared type: KerasTuner may hand an int back as a float."""
        return self._type(value)

    def declare(self, hp, name):
        """Declares the choice on a `keras_tuner.HyperParameters`."""
        if type(self.values[0]) is bool:
            hp.Boolean(name)
        elif self._step is not None:
            hp.Int(name, self.values[0], self.values[-1], step=self._step)
        else:
            hp.Choice(name, list(self.values))

    @property
    def _step(self):
        """int, the distance between even steps; None for words and uneven steps."""
        if type(self.values[0]) is not int:
            return None
        step = self.values[1] - self.values[0] if len(self.values) > 1 else 1
        even = step > 0 and self.values == tuple(range(self.values[0], self.values[-1] + 1, step))
        return step if even else None


class Reals:
    """The real numbers from `low` to `high`."""

    fixed = False

    def __init__(self, low, high):
        self.low, self.high = float(low), float(high)

    def __contains__(self, value):
        return type(value) in (int, float) and self.low <= value <= self.high

    def __repr__(self):
        return f"{self.low:g}..{self.high:g}"

    def clean(self, value):
        """The value as a float."""
        return float(value)

    def declare(self, hp, name):
        """Declares the range on a `keras_tuner.HyperParameters`."""
        hp.Float(name, self.low, self.high)


def ints(name, given, least=1):
    """Reads a range of ints.

    Args:
        name: string, the argument, for messages.
        given: a pair `(smallest, largest)`, both included; a triple with a step; a list of values;
            or a single int.
        least: int, the smallest that makes sense.

    Returns:
        `Options`.

    Raises:
        ValueError: naming the argument.
    """
    if isinstance(given, tuple) and len(given) in (2, 3):
        low, high, step = (*given, 1)[:3]
        values = range(low, high + 1, step) if _ints((low, high)) and _ints((step,), 1) else ()
    else:
        values = given if isinstance(given, list) else [given]
    if not _ints(values, least) or len(set(values)) < len(values):
        raise ValueError(
            f"{name}: expected a pair (smallest, largest), a triple with a step, a list of "
            f"different values, or one value; ints of at least {least}. Got {given!r}."
        )
    return Options(values)


def ratios(name, given):
    """Reads a range within 0..1: a pair `(smallest, largest)`, a list, or a single number."""
    pair = isinstance(given, tuple) and len(given) == 2
    values = given if pair or isinstance(given, list) else [given]
    valid = len(values) and all(type(v) in (int, float) and 0 <= v <= 1 for v in values)
    if (
        not valid
        or (pair and values[0] > values[1])
        or (not pair and len(set(values)) < len(values))
    ):
        raise ValueError(
            f"{name}: expected a pair (smallest, largest), a list of different values, or one "
            f"value; numbers from 0 to 1. Got {given!r}."
        )
    if pair and values[0] < values[1]:
        return Reals(*values)
    return Options(dict.fromkeys(map(float, values)))


def words(name, given, known):
    """Reads a choice among `known` words or bools: one of them, or a tuple or list of some."""
    values = tuple(given) if isinstance(given, (list, tuple)) else (given,)
    if not values or len(set(values)) < len(values) or not all(v in Options(known) for v in values):
        raise ValueError(f"{name}: expected one or some of {tuple(known)}, got {given!r}.")
    return Options(values)


def _ints(values, least=None):
    return len(values) > 0 and all(type(v) is int and (least is None or v >= least) for v in values)
