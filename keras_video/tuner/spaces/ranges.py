"""Ranges of hyperparameters: how users write them, and how KerasTuner is told about them.

`ints`, `ratios` and `words` read an argument of a space and return `Options` or `Reals`. `Sites` is
a tree of hyperparameters with such ranges, in which some matter only for some values of others.
"""

from typing import NamedTuple


class Options:
    """A finite range: ints, words or bools, of which one is chosen.

    Attributes:
        values: tuple of all values.
        fixed: bool, whether there is a single value. It is then not declared as a hyperparameter.
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
        """Return the value in the declared type: KerasTuner may return an int as a float."""
        return self._type(value)

    def declare(self, hp, name):
        """Declare the range on a `keras_tuner.HyperParameters`."""
        if type(self.values[0]) is bool:
            hp.Boolean(name)
        elif self._step is not None:
            hp.Int(name, self.values[0], self.values[-1], step=self._step)
        else:
            hp.Choice(name, list(self.values))

    @property
    def _step(self):
        """Int, the distance between the values if they are evenly spaced ints, else `None`."""
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
        """Return the value as a float."""
        return float(value)

    def declare(self, hp, name):
        """Declare the range on a `keras_tuner.HyperParameters`."""
        hp.Float(name, self.low, self.high)


def ints(name, given, least=1):
    """Read a range of ints.

    Args:
        name: string, the argument, for error messages.
        given: pair `(smallest, largest)`, both included; triple with a step; list of values; or a
            single int.
        least: int, smallest value allowed.

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
            f"different values, or one value, all ints of at least {least}, got {given!r}."
        )
    return Options(values)


def _ints(values, least=None):
    return len(values) > 0 and all(type(v) is int and (least is None or v >= least) for v in values)


def ratios(name, given):
    """Read a range between 0 and 1: a pair `(smallest, largest)`, a list, or a single number.

    Raises:
        ValueError: naming the argument.
    """
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
            f"value, all numbers from 0 to 1, got {given!r}."
        )
    if pair and values[0] < values[1]:
        return Reals(*values)
    return Options(dict.fromkeys(map(float, values)))


def different(name, given, known=None):
    """Read one value, or a tuple or list of different values.

    Args:
        name: string, the argument, for error messages.
        given: the value or values.
        known: collection of all values allowed; `None` allows any.

    Returns:
        Tuple of values.

    Raises:
        ValueError: naming the argument.
    """
    values = tuple(given) if isinstance(given, (list, tuple)) else (given,)
    known = values if known is None else tuple(known)
    pairs = {(type(value), value) for value in known}
    if (
        not values
        or len(set(values)) < len(values)
        or not all((type(value), value) in pairs for value in values)
    ):
        raise ValueError(
            f"{name}: expected one or several of {known}, no value twice, got {given!r}."
        )
    return values


def words(name, given, known):
    """Read a range of `known` words or bools: one of them, or a tuple or list of several.

    Returns and raises: as `ints`.
    """
    return Options(different(name, given, known))


class Site(NamedTuple):
    """A hyperparameter of a family of networks.

    Args:
        name: string, key of its range.
        opens: function of the chosen value; returns whether the `inner` sites have an effect.
        inner: tuple of `Site`.
    """

    name: str
    opens: object = None
    inner: tuple = ()


class Sites:
    """A tree of sites with their ranges, declared and read in the same order.

    A site with a single value is not declared. A site without effect has no value, so that two
    dicts of values differ only if the networks differ.

    Args:
        tree: tuple of `Site`.
        ranges: dict of `Options` and `Reals` by name of site.
    """

    def __init__(self, tree, ranges):
        self.tree, self.ranges = tree, ranges

    def declare(self, hp, prefix=""):
        """Declare all sites on a `keras_tuner.HyperParameters`, each under its conditions."""
        self._declare(hp, prefix, self.tree)

    def _declare(self, hp, prefix, tree):
        for site in tree:
            options = self.ranges[site.name]
            if not options.fixed:
                options.declare(hp, prefix + site.name)
            opening = [value for value in options.values if site.opens(value)] if site.inner else []
            if opening and options.fixed:
                self._declare(hp, prefix, site.inner)
            elif opening:
                with hp.conditional_scope(prefix + site.name, opening):
                    self._declare(hp, prefix, site.inner)

    def read(self, values, prefix=""):
        """Return `{site: value}` of all sites that have an effect, fixed sites included.

        Args:
            values: dict of hyperparameter values.
            prefix: string, beginning of their names.

        Raises:
            ValueError: naming the value that is missing or out of range.
        """

        def get(name):
            options = self.ranges[name]
            if options.fixed:
                return options.values[0]
            if prefix + name not in values:
                raise ValueError(f"{prefix}{name}: expected {options}, got no value.")
            return self._check(prefix + name, options.clean(values[prefix + name]), options)

        return self._select(get, self.tree)

    def write(self, fields, prefix=""):
        """Return the hyperparameter values of a network: the inverse of `read`.

        Args:
            fields: dict of values by site.
            prefix: string, beginning of the new names.

        Raises:
            ValueError: naming the field that is out of range.
        """
        found = self._select(fields.__getitem__, self.tree)
        for name, value in found.items():
            self._check(prefix + name, value, self.ranges[name])
        return {prefix + n: v for n, v in found.items() if not self.ranges[n].fixed}

    def _select(self, get, tree):
        found = {}
        for site in tree:
            value = found[site.name] = get(site.name)
            if site.inner and site.opens(value):
                found |= self._select(get, site.inner)
        return found

    def _check(self, name, value, options):
        if value not in options:
            raise ValueError(f"{name}: expected {options}, got {value!r}.")
        return value
