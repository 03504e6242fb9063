"""`Stage`: a part of a progressive search, in which some of the choices are searched."""

import fnmatch
from dataclasses import dataclass, field

from keras_video.specs import check_int, check_number


@dataclass(frozen=True)
class Stage:
    """Searches some choices, while others are certain.

    What earlier stages found is certain, too, and so is what `fixed` says. Choices of which neither
    is true, as their time has not come, take their first value. Shared weights are inherited from
    the stage before and go on learning. At the end of the stage the most probable values of what it
    searched become certain (Auto-TSNet, Gong et al. 2021, arXiv 2108.12957, section 3.3).

    Args:
        name: string, for tables.
        search: tuple of names of choices, or of patterns such as `"sparse/*"`.
        epochs: int, chunks of training.
        target: float, the wanted cost; `None`: that of the whole search.
        fixed: dict of values by name or pattern, for this stage.

    Raises:
        ValueError: naming the argument that is out of its range.
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
        """bool, whether a choice is one of those that are searched."""
        return any(fnmatch.fnmatchcase(choice.name, pattern) for pattern in self.search)

    def values(self, choices, decided):
        """What is certain in this stage: dict of values of all choices that are not searched.

        Args:
            choices: sequence of `Choice`.
            decided: dict of the values that earlier stages found.

        Raises:
            ValueError: if a pattern matches nothing, a value is none of its choice, or nothing is
                left to be searched.
        """
        for pattern in (*self.search, *self.fixed):
            if not any(fnmatch.fnmatchcase(choice.name, pattern) for choice in choices):
                raise ValueError(
                    f"stage {self.name!r}: expected names or patterns of choices, got {pattern!r}, "
                    f"which is none of {len(choices)} such as {[c.name for c in choices[:3]]}."
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
                "got none that is not certain already."
            )
        return certain

    def get_config(self):
        """The settings: dict of plain values."""
        return {
            "name": self.name,
            "search": list(self.search),
            "epochs": self.epochs,
            "target": self.target,
            "fixed": dict(self.fixed),
        }
