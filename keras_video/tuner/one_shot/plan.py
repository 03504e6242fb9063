"""`SearchPlan`: what a one-shot search does when; oracle and tuner read it alike.

`Stage`: a part of a progressive search, in which some of the choices are searched.

What a policy comes to: its entropy, its most probable network, further networks; in NumPy.
"""

import fnmatch
import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from keras_video.specs import check_int, check_number
from keras_video.tuner.spaces.choices import ChoiceSpace, active_values
from keras_video.tuner.spaces.costs import Cost, cost_name


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


class Chunk(NamedTuple):
    """A part of the training, one trial.

    Args:
        number: int, among all.
        stage: `Stage`.
        stage_number: int.
        place: int, number within the stage.
    """

    number: int
    stage: Stage
    stage_number: int
    place: int


class SearchPlan:
    """The stages, the algorithm and the cost of a one-shot search.

    Args:
        algorithm: `Algorithm`.
        stages: sequence of `Stage`.
        cost: see `Cost`; `None`: networks are judged by their quality alone.
        target: float, the wanted cost of stages without one.
        margin: float from 0 to 1, by what part the policy aims below the target.
        never_above: bool, whether no network above the target may be the result.

    Raises:
        ValueError: naming the argument that is out of its range.
    """

    def __init__(
        self, algorithm, stages, cost="macs", target=None, margin=0.0, never_above=False
    ):  # fmt: skip
        stages = tuple(stages)
        if not stages or not all(isinstance(stage, Stage) for stage in stages):
            raise ValueError(f"stages: expected a sequence of Stage, got {stages!r}.")
        if len({stage.name for stage in stages}) < len(stages):
            raise ValueError("stages: expected different names, got some twice.")
        check_number("target", target, 1e-12, none=True)
        check_number("margin", margin, 0.0, 0.99)
        self.algorithm, self.stages = algorithm, stages
        targets = [stage.target or target for stage in stages]
        if any(t is None for t in targets) and any(t is not None for t in targets):
            raise ValueError("target: expected one for each stage or for none, got some.")
        self.targets = targets
        if targets[0] is None:
            if never_above or margin:
                raise ValueError("target: expected a number with never_above or margin, got None.")
            cost = None
        elif cost is None:
            raise ValueError("cost: expected what the target is a cost of, got None.")
        self.margin, self.never_above = margin, bool(never_above)
        self._cost = cost
        self.cost = self.choices = None

    @property
    def chunks(self):
        """int, trials that train."""
        return sum(stage.epochs for stage in self.stages)

    def bind(self, space):
        """Takes the space, and makes sure that the search makes sense in it.

        Raises:
            ValueError: if the space has no super-network or a single member, a stage has nothing
                to search, or no network can have the wanted cost.
        """
        if not is_one_shot(space):
            raise ValueError(
                "hypermodel: expected a ChoiceSpace with a super_network, "
                f"got {type(space).__name__}."
            )
        choices = tuple(space.choices)
        if not any(len(choice.values) > 1 for choice in choices):
            raise ValueError("hypermodel: expected a space of several networks, got one with one.")
        decided = {}
        self.cost = None if self._cost is None else Cost(space, self._cost)
        for stage, target in zip(self.stages, self.targets, strict=True):
            certain = stage.values(choices, decided)
            if target is not None:
                # What earlier stages find is not known yet: all of it may vary.
                known = {n: v for n, v in certain.items() if n not in decided}
                self._check_target(stage, target, known)
            searched = (c for c in choices if c.name not in certain)
            decided |= {c.name: c.values[0] for c in searched}
        self.choices = choices

    def _check_target(self, stage, target, certain):
        low, high = self.cost.extremes(certain)
        aim = target * (1 - self.margin)
        if not low * (1 - 1e-9) <= aim <= high * (1 + 1e-9):
            raise ValueError(
                f"target: expected a {self.cost.name} that networks of the space can have, from "
                f"{low:,.6g} to {high:,.6g} in stage {stage.name!r}, got {aim:,.6g}."
            )

    def chunk(self, number):
        """The `Chunk` of a trial's number, or `None`: then the trial is a candidate's."""
        start = 0
        for stage_number, stage in enumerate(self.stages):
            if number < start + stage.epochs:
                return Chunk(number, stage, stage_number, number - start)
            start += stage.epochs
        return None

    def aim(self, stage_number):
        """float, the cost that the policy of a stage aims at, or `None`."""
        target = self.targets[stage_number]
        return None if target is None else target * (1 - self.margin)

    def limit(self, stage_number):
        """float, the cost that no result of a stage may exceed, or `None`."""
        return self.targets[stage_number] if self.never_above else None

    def get_config(self):
        """What makes this search another than others: dict of plain values."""
        return {
            "algorithm": self.algorithm.get_config(),
            "stages": [stage.get_config() for stage in self.stages],
            "cost": None if self._cost is None else cost_name(self._cost),
            "targets": list(self.targets),
            "margin": self.margin,
            "never_above": self.never_above,
        }


def is_one_shot(space):
    """bool, whether a space has all its networks in one."""
    return (
        isinstance(space, ChoiceSpace)
        and type(space).super_network is not ChoiceSpace.super_network
    )


def probabilities(choices, logits, fixed=None, temperature=1.0):
    """Probabilities of the values of each choice: list of float64 arrays.

    Args:
        choices: sequence of `Choice`.
        logits: array `(choices, values)`; what is beyond a choice's values is not looked at.
        fixed: dict of values that are certain.
        temperature: float; high ones make all values more alike.
    """
    found = []
    for choice, row in zip(choices, np.asarray(logits, "float64"), strict=True):
        row = row[: len(choice.values)] / temperature
        powers = np.exp(row - row.max())
        row = powers / powers.sum()
        if fixed and choice.name in fixed:
            row = np.eye(len(row))[choice.index(fixed[choice.name])]
        found.append(row)
    return found


def most_probable(choices, logits, fixed=None, cost=None, limit=None):
    """The values of the most probable network, or of one near it that keeps a limit.

    Where the most probable values cost too much, values are exchanged one by one, each time the
    one that loses least log-probability for the cost it saves.

    Args:
        choices, logits, fixed: see `probabilities`.
        cost: function of a dict of values; needed with a limit.
        limit: float, the highest cost, or `None`.

    Returns:
        Dict of all choices' values, those without effect included. It may exceed the limit where
        no single exchange saves anything more.
    """
    chances = probabilities(choices, logits, fixed)
    picks = [int(np.argmax(row)) for row in chances]

    def named(picks):
        return {c.name: c.values[i] for c, i in zip(choices, picks, strict=True)}

    if limit is None:
        return named(picks)
    present = cost(active_values(choices, picks))
    while present > limit:
        best = (math.inf, None, None)
        active = active_values(choices, picks)
        for row, choice in enumerate(choices):
            if choice.name not in active or choice.name in (fixed or {}):
                continue
            for index in range(len(choice.values)):
                other = [*picks[:row], index, *picks[row + 1 :]]
                changed = cost(active_values(choices, other))
                saved = present - changed
                if saved <= 1e-12 * abs(present):
                    continue
                # To leave all that is allowed unused counts as much as one nat.
                lost = math.log(chances[row][picks[row]]) - math.log(chances[row][index] + 1e-300)
                lost += max(0.0, 1 - changed / limit)
                price = lost / min(saved, present - limit)
                best = min(best, (price, other, changed), key=lambda item: item[0])
        if best[1] is None:
            break
        _, picks, present = best
    return named(picks)


def draw(choices, logits, rng, fixed=None, temperature=1.0):
    """Draws a network: dict of the values of its active choices.

    Args:
        choices, logits, fixed, temperature: see `probabilities`.
        rng: `random.Random`.
    """
    picks = [
        min(int(np.searchsorted(np.cumsum(row), rng.random(), side="right")), len(row) - 1)
        for row in probabilities(choices, logits, fixed, temperature)
    ]
    return active_values(choices, picks)


def only_active(choices, values):
    """The values of the active choices, from those of these or of more choices."""
    return active_values(
        choices, [c.index(values[c.name]) if c.name in values else 0 for c in choices]
    )
