"""`DeclaredSpace`: the hyperparameters of a space in a form that is fast to draw from."""

import functools
import hashlib
from typing import NamedTuple

import keras_tuner


class SearchHyperParameters(keras_tuner.HyperParameters):
    """Hyperparameters that are cheap to copy and to send.

    Copies share the declared hyperparameters, which never change. Messages contain only values,
    because chief and workers have declared the same space.
    """

    @classmethod
    def of(cls, hyperparameters, values=None):
        """Return a copy of another container, with its own values or with `values`."""
        copy = cls()
        copy._hps.update((name, list(hps)) for name, hps in hyperparameters._hps.items())
        copy._space = list(hyperparameters._space)
        copy.values = dict(hyperparameters.values if values is None else values)
        return copy

    def copy(self):
        return self.of(self)

    def to_proto(self):
        values = keras_tuner.HyperParameters()
        values.values = self.values
        return values.to_proto()


class Conditions:
    """The conditions under which hyperparameters are active, shared by all that have the same ones.

    Args:
        pairs: tuple of pairs `(name of a parent, frozenset of its values)`. All must hold.
    """

    def __init__(self, pairs):
        self.pairs = pairs


class Parameter(NamedTuple):
    """One declared hyperparameter.

    Args:
        hp: the `keras_tuner` hyperparameter.
        name: string.
        conditions: `Conditions`.
        options: frozenset of all values, or `None` for a float range without a step.
    """

    hp: object
    name: str
    conditions: object
    options: frozenset | None

    def active(self, values):
        """Return whether the conditions hold."""
        return all(values.get(name) in allowed for name, allowed in self.conditions.pairs)

    def legal(self, value):
        """Return whether this hyperparameter can have the value."""
        if self.options is not None:
            return value in self.options
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return number and self.hp.min_value <= value <= self.hp.max_value

    def draw(self, rng):
        """Return a random value from the declared distribution."""
        return self.hp.prob_to_value(rng.random())


def _parameter(hp, shared):
    if hasattr(hp, "step"):
        options = None if hp.step is None else frozenset(hp.values)
    else:
        options = frozenset([hp.value] if hasattr(hp, "value") else hp.values)
    pairs = tuple((c.name, frozenset(c.values)) for c in hp.conditions)
    return Parameter(hp, hp.name, shared.setdefault(pairs, Conditions(pairs)), options)


class DeclaredSpace:
    """All hyperparameters of a space with their conditions.

    Args:
        hyperparameters: `keras_tuner.HyperParameters` with the whole space, parents before
            children.
    """

    def __init__(self, hyperparameters):
        shared = {}
        self.parameters = tuple(_parameter(hp, shared) for hp in hyperparameters.space)
        self.parents = {name for p in self.parameters for name, _ in p.conditions.pairs}

    def complete(self, values, rng):
        """Complete values: keep those that are active and legal, draw those that are missing.

        Args:
            values: dict.
            rng: `random.Random`. Values are drawn in the order of the space.

        Returns:
            New dict of the values of all active hyperparameters, in the order of the space.
        """
        result, known = {}, {}
        for parameter in self.parameters:
            # Parents come first, so the result for the same conditions is still valid.
            active = known.get(parameter.conditions)
            if active is None:
                active = known[parameter.conditions] = parameter.active(result)
            if not active or parameter.name in result:
                continue
            value = values.get(parameter.name)
            if value is None or not parameter.legal(value):
                value = parameter.draw(rng)
            result[parameter.name] = value
        return result

    def active(self, values):
        """Return `{name: Parameter}` of the parameters that are active for complete values."""
        found = {}
        for parameter in self.parameters:
            if parameter.name not in found and parameter.active(values):
                found[parameter.name] = parameter
        return found

    def problem(self, values):
        """Return `None`, or a string that says why these are not complete, legal values."""
        active = self.active(values)
        for name, parameter in active.items():
            if name not in values:
                return f"{name} has no value"
            if not parameter.legal(values[name]):
                return f"{name} is out of its range: {values[name]!r}"
        extra = [n for n in values if n not in active and not n.startswith("tuner/")]
        return f"{extra[0]} is not active" if extra else None

    def lines(self):
        """Return one line of text per hyperparameter: kind, name, range, conditions."""
        return [
            f"{p.hp!r} {[(c.name, c.values) for c in p.hp.conditions]}" for p in self.parameters
        ]

    @functools.cached_property
    def digest(self):
        """Short string that identifies the space."""
        return hashlib.sha256("\n".join(self.lines()).encode()).hexdigest()[:16]


def network_values(values):
    """Return the values without the tuner's keys."""
    return {name: value for name, value in values.items() if not name.startswith("tuner/")}


def fingerprint(values):
    """Return a short string that identifies a network."""
    text = "\n".join(f"{k}={values[k]!r}" for k in sorted(values) if not k.startswith("tuner/"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
