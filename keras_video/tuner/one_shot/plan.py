"""`SearchPlan`: the schedule of a one-shot search, used by both oracle and tuner.

The functions below it decode the logits of a policy in NumPy: probabilities, the most probable
network, and random networks.
"""

import math
from typing import NamedTuple

import numpy as np

from keras_video.checks import check_number
from keras_video.tuner.one_shot.super_network import has_super_network
from keras_video.tuner.spaces.choices import ChoiceSpace, Stage, active_values
from keras_video.tuner.spaces.costs import Cost, cost_name


class Chunk(NamedTuple):
    """A part of the training that is one trial.

    Args:
        number: int, number of the chunk in the whole search.
        stage: `Stage`.
        stage_number: int.
        place: int, number of the chunk within its stage.
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
        cost: see `Cost`; with `None`, networks are judged only by their quality.
        target: float, target cost of the stages that do not set one.
        margin: float from 0 to 1. The policy aims at `(1 - margin) * target`.
        never_above: bool, whether the results of stages and search must not exceed the target.

    Raises:
        ValueError: naming the argument that is wrong.
    """

    def __init__(
        self, algorithm, stages, cost="macs", target=None, margin=0.0, never_above=False
    ):  # fmt: skip
        stages = tuple(stages)
        if not stages or not all(isinstance(stage, Stage) for stage in stages):
            raise ValueError(f"stages: expected a sequence of Stage, got {stages!r}.")
        if len({stage.name for stage in stages}) < len(stages):
            raise ValueError(
                f"stages: expected different names, got {[stage.name for stage in stages]}."
            )
        check_number("target", target, 1e-12, none=True)
        check_number("margin", margin, 0.0, 0.99)
        self.algorithm, self.stages = algorithm, stages
        targets = [stage.target or target for stage in stages]
        if any(t is None for t in targets) and any(t is not None for t in targets):
            raise ValueError(f"target: expected one for each stage or for none, got {targets}.")
        self.targets = targets
        if targets[0] is None:
            if never_above or margin:
                raise ValueError(
                    "target: expected a number, as never_above or margin is given, got None."
                )
            cost = None
        elif cost is None:
            raise ValueError("cost: expected a cost, as target is given, got None.")
        self.margin, self.never_above = margin, bool(never_above)
        self._cost = cost
        self.cost = self.choices = None

    @property
    def chunks(self):
        """Int, number of training chunks."""
        return sum(stage.epochs for stage in self.stages)

    def bind(self, space):
        """Set the space, and check the plan against it.

        Raises:
            ValueError: if the space has no super-network or contains only one network, if a stage
                has nothing to search, or if no network can reach the target.
        """
        if not is_one_shot(space):
            raise ValueError(
                "hypermodel: expected a ChoiceSpace with a super-network, "
                f"got {type(space).__name__}."
            )
        choices = tuple(space.choices)
        if not any(len(choice.values) > 1 for choice in choices):
            raise ValueError(
                "hypermodel: expected a space of several networks, got a space of one."
            )
        decided = {}
        self.cost = None if self._cost is None else Cost(space, self._cost)
        for stage, target in zip(self.stages, self.targets, strict=True):
            certain = stage.values(choices, decided)
            if target is not None:
                # The results of earlier stages are not known yet: any value is possible.
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
                f"target: expected a cost ({self.cost.name}) that networks of the space can have, "
                f"from {low:,.6g} to {high:,.6g} in stage {stage.name!r}, got {aim:,.6g}."
            )

    def chunk(self, number):
        """Return the `Chunk` of a trial number, or `None` if that trial is a candidate."""
        start = 0
        for stage_number, stage in enumerate(self.stages):
            if number < start + stage.epochs:
                return Chunk(number, stage, stage_number, number - start)
            start += stage.epochs
        return None

    def aim(self, stage_number):
        """Return the cost that the policy of a stage aims at, float or `None`."""
        target = self.targets[stage_number]
        return None if target is None else target * (1 - self.margin)

    def limit(self, stage_number):
        """Return the cost that no result of a stage may exceed, float or `None`."""
        return self.targets[stage_number] if self.never_above else None

    def get_config(self):
        """Return the settings that identify this search, as a dict of plain values."""
        return {
            "algorithm": self.algorithm.get_config(),
            "stages": [stage.get_config() for stage in self.stages],
            "cost": None if self._cost is None else cost_name(self._cost),
            "targets": list(self.targets),
            "margin": self.margin,
            "never_above": self.never_above,
        }


def is_one_shot(space):
    """Return whether a space can be searched with shared weights."""
    return isinstance(space, ChoiceSpace) and has_super_network(space)


def probabilities(choices, logits, fixed=None, temperature=1.0):
    """Return the probabilities of the values of each choice: list of float64 arrays.

    Args:
        choices: sequence of `Choice`.
        logits: array `(choices, values)`. Entries beyond the values of a choice are ignored.
        fixed: dict of values with probability 1.
        temperature: float. High temperatures make the values of a choice more equally probable.
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
    """Return the values of the most probable network, or of a similar one within a limit.

    If the most probable network is too expensive, values are exchanged one by one. Each step
    exchanges the value that loses the least log-probability per saved cost.

    Args:
        choices, logits, fixed: see `probabilities`.
        cost: function of a dict of values; required with a limit.
        limit: float, highest cost allowed, or `None`.

    Returns:
        Dict of the values of all choices, inactive ones included. It may exceed the limit if no
        single exchange reduces the cost any more.
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
                # A network far below the limit is penalised, by at most one nat.
                lost = math.log(chances[row][picks[row]]) - math.log(chances[row][index] + 1e-300)
                lost += max(0.0, 1 - changed / limit)
                price = lost / min(saved, present - limit)
                best = min(best, (price, other, changed), key=lambda item: item[0])
        if best[1] is None:
            break
        _, picks, present = best
    return named(picks)


def draw(choices, logits, rng, fixed=None, temperature=1.0):
    """Draw a network; return the dict of the values of its active choices.

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
    """Return the values of the active choices, dropping those of inactive ones."""
    return active_values(
        choices, [c.index(values[c.name]) if c.name in values else 0 for c in choices]
    )
