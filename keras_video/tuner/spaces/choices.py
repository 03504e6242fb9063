"""Spaces that consist of categorical choices: `Choice`, `ChoiceSpace` and `Stage`.

A `Choice` is one decision of an architecture. A `ChoiceSpace` is a space made only of choices, so
that a policy can have one logit for each value. A `Stage` is a part of a progressive search: it
says which choices are decided in it.
"""

import fnmatch
from dataclasses import dataclass, field

import numpy as np

from keras_video.checks import check_choice, check_int, check_number
from keras_video.tuner.spaces.base import Space

TAGS = ("op", "filters")


@dataclass(frozen=True)
class Choice:
    """One categorical decision of an architecture.

    Args:
        name: string, name of the hyperparameter, for example `"block1/layer0/kernel"`.
        values: tuple of different plain values: strings, ints, floats or bools, all of one type.
        tag: `"op"` (kernel, presence of a layer, attention) or `"filters"` (width). A one-shot
            search has a separate warm-up for each tag.
        when: tuple of pairs `(name, values)`. The choice is active only if each of these earlier
            choices has one of the values. An inactive choice has no effect on the network: it is
            not among the network's values, and its probability does not count.

    Raises:
        ValueError: naming the argument that is wrong.
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
        check_choice("tag", self.tag, TAGS)

    def active(self, values):
        """Return whether the choice has an effect, given the values of earlier choices."""
        return all(values.get(name) in allowed for name, allowed in self.when)

    def index(self, value):
        """Return the position of a value; raise `ValueError` if the choice does not have it."""
        if value not in self.values:
            raise ValueError(f"{self.name}: expected one of {self.values}, got {value!r}.")
        return self.values.index(value)


def one_hot(choices, values):
    """Encode a network as a selection: `{name: float32 array (number of values,)}`.

    Choices without a value are inactive. They get their first value, which has no effect.

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
    """Return the dict of the values of all active choices.

    Args:
        choices: sequence of `Choice`, parents before children.
        indices: sequence of ints, the index of the value of each choice.
    """
    values = {}
    for choice, index in zip(choices, indices, strict=True):
        if choice.active(values):
            values[choice.name] = choice.values[int(index)]
    return values


class ChoiceSpace(Space):
    """A space whose hyperparameters are all `Choice`s.

    A subclass defines `choices`, `cost_table`, and the methods of `Space` other than `declare` and
    `costs`. For one-shot searches, its super-network is registered with
    `keras_video.tuner.super_network`.

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
        """Return the `CostTable` of a cost such as `"macs"`, for use in a one-shot search.

        Raises:
            ValueError: if the cost is not a sum of table entries.
        """
        raise NotImplementedError

    def super_network(self, fixed=None, **options):
        """Build the super-network. Older form of `keras_video.tuner.super_network(space)`."""
        import keras_video

        return keras_video.tuner.super_network(self, fixed=fixed, **options)


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


@dataclass(frozen=True)
class Stage:
    """A part of a progressive search that decides some of the choices.

    All other choices are fixed: to the value in `fixed`, else to the value that an earlier stage
    found, else to their first value. At the end of the stage, the most probable values of the
    searched choices are fixed for later stages. The next stage starts from the shared weights of
    this one (Auto-TSNet, Gong et al. 2021, arXiv 2108.12957, section 3.3).

    Args:
        name: string, shown in tables.
        search: tuple of names of choices, or of patterns such as `"sparse/*"`.
        epochs: int, number of training chunks.
        target: float, target cost of this stage; `None` uses the target of the whole search.
        fixed: dict of values by name or pattern, for this stage only.

    Raises:
        ValueError: naming the argument that is wrong.
    """

    name: str
    search: tuple = ("*",)
    epochs: int = 30
    target: float | None = None
    fixed: dict = field(default_factory=dict)

    def __post_init__(self):
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"name: expected a name of the stage, got {self.name!r}.")
        patterns = (self.search,) if isinstance(self.search, str) else tuple(self.search)
        object.__setattr__(self, "search", patterns)
        check_int("epochs", self.epochs)
        check_number("target", self.target, 1e-12, none=True)
        if not isinstance(self.fixed, dict):
            raise ValueError(f"fixed: expected a dict of values by name, got {self.fixed!r}.")

    def searches(self, choice):
        """Return whether a choice is searched in this stage."""
        return any(fnmatch.fnmatchcase(choice.name, pattern) for pattern in self.search)

    def values(self, choices, decided):
        """Return the dict of the values of all choices that are fixed in this stage.

        Args:
            choices: sequence of `Choice`.
            decided: dict of the values that earlier stages found.

        Raises:
            ValueError: if a pattern matches no choice, a choice does not have its fixed value, or
                nothing is left to search.
        """
        for pattern in (*self.search, *self.fixed):
            if not any(fnmatch.fnmatchcase(choice.name, pattern) for choice in choices):
                raise ValueError(
                    f"stage {self.name!r}: expected names or patterns of choices, got {pattern!r}, "
                    f"which matches none of {len(choices)} choices such as "
                    f"{[c.name for c in choices[:3]]}."
                )
        certain = {}
        for choice in choices:
            given = [v for p, v in self.fixed.items() if fnmatch.fnmatchcase(choice.name, p)]
            if given:
                certain[choice.name] = choice.values[choice.index(given[-1])]
            elif choice.name in decided:
                certain[choice.name] = decided[choice.name]
            elif not self.searches(choice):
                certain[choice.name] = choice.values[0]
        open_choices = [c for c in choices if c.name not in certain and len(c.values) > 1]
        if not open_choices:
            raise ValueError(
                f"stage {self.name!r}: expected at least one choice of several values to search, "
                "got none that is not fixed already."
            )
        return certain

    def get_config(self):
        """Return the settings as a dict of plain values."""
        return {
            "name": self.name,
            "search": list(self.search),
            "epochs": self.epochs,
            "target": self.target,
            "fixed": dict(self.fixed),
        }
