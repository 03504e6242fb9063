"""`SearchPlan`: what a one-shot search does when; oracle and tuner read it alike."""

from typing import NamedTuple

from keras_video.specs import check_number
from keras_video.tuner.one_shot.cost import Cost, cost_name
from keras_video.tuner.one_shot.stages import Stage
from keras_video.tuner.spaces.choices import ChoiceSpace


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
