"""Ranges of a search space: what a user writes for them, and what KerasTuner is told."""


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
