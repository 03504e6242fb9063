"""Sites: the places where the networks of a family differ, and which of them matter when."""

from typing import NamedTuple


class Site(NamedTuple):
    """A place where networks differ.

    Args:
        name: string, that of a range.
        opens: function of the value chosen here: whether the `inner` sites matter.
        inner: tuple of `Site`.
    """

    name: str
    opens: object = None
    inner: tuple = ()


class Sites:
    """A tree of sites with their ranges, declared and read in the same order.

    A site with a single value is not declared. One that is not open has no value at all, so two
    sets of values differ only where the networks do.

    Args:
        tree: tuple of `Site`.
        ranges: dict of `Options` and `Reals` by site.
    """

    def __init__(self, tree, ranges):
        self.tree, self.ranges = tree, ranges

    def declare(self, hp, prefix=""):
        """Declares all sites on a `keras_tuner.HyperParameters`, each under its conditions."""
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
        """`{site: value}` of the open sites, fixed ones included.

        Args:
            values: dict of hyperparameter values.
            prefix: string, what their names begin with.

        Raises:
            ValueError: naming the value that is missing or out of its range.
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
        """The hyperparameter values of a network: the inverse of `read`.

        Args:
            fields: dict of values by site.
            prefix: string, what the names shall begin with.

        Raises:
            ValueError: naming the field that is out of its range.
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
