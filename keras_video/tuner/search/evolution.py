"""`Evolution`: tournament selection with one mutation per child, as for Tiny Video Networks.

`Mutator` changes one thing of a network, `EvolutionOracle` chooses the parents, `Evolution` is the
tuner.
"""

import bisect
import collections

from keras_video.checks import check_choice, check_int
from keras_video.tuner.search.oracle import SearchOracle
from keras_video.tuner.search.tuner import SearchTuner
from keras_video.tuner.spaces.declared import network_values


class Mutator:
    """Change one thing of a network (Piergiovanni et al. 2019, section 3.1).

    The paper changes either something global (image size, frames, number of blocks) or something
    within a random block, and gives no probabilities. Here the operator is drawn first, all with
    the same probability, and then its target. Otherwise the many numbers inside blocks would leave
    little chance to the rest. The operators are

    - `grow`: insert a new random copy at a random place of a slot group, such as a block among the
      blocks;
    - `shrink`: remove a random copy; as with `grow`, the others keep their values;
    - `global`: draw another value of a hyperparameter outside the slots;
    - `kind`: in a slot, draw another value of a hyperparameter on which others depend. Those that
      become active are drawn, those that become inactive are removed;
    - `local`: in a random slot, draw another value of any other hyperparameter.

    Args:
        space: `DeclaredSpace`.
        slots: sequence of groups with `count`, `prefix` and `start`, see
            `keras_video.tuner.spaces.Slots`.
    """

    def __init__(self, space, slots=()):
        self.space = space
        self.slots = tuple(slots)
        self.counts = {}
        for group in self.slots:
            found = [p for p in space.parameters if p.name == group.count]
            if not found:
                # A fixed number of copies is not declared and cannot change.
                continue
            self.counts[group.count] = found[0]

    def mutate(self, values, rng):
        """Return a changed copy of a network.

        Args:
            values: dict of the values of all active hyperparameters. Keys that begin with
                `"tuner/"` are not passed on to the child.
            rng: `random.Random`.

        Returns:
            A pair: the child's values, and a string that names the change; or `None` if nothing
            can be changed.
        """
        parent = network_values(values)
        targets = {name: found for name, found in self.targets(parent).items() if found}
        if not targets:
            return None
        operator = rng.choice(sorted(targets))
        target = rng.choice(targets[operator])
        if operator == "local":
            target = rng.choice(target)
        if operator in ("grow", "shrink"):
            return getattr(self, f"_{operator}")(parent, target, rng)
        return self._change(parent, target, rng)

    def targets(self, values):
        """Return the possible targets of each operator, `{operator: list}`."""
        targets = {"grow": [], "shrink": [], "kind": [], "global": [], "local": []}
        for group in self.slots:
            if group.count in self.counts:
                count = values[group.count]
                legal = self.counts[group.count].legal
                targets["grow"] += [group] if legal(count + 1) else []
                targets["shrink"] += [group] if legal(count - 1) else []
        within = {}
        for name, parameter in self.space.active(values).items():
            if name in self.counts or not _has_choice(parameter):
                continue
            slot = self._slot(name)
            if slot is None:
                targets["global"].append(name)
            elif name in self.space.parents:
                targets["kind"].append(name)
            else:
                within.setdefault(slot, []).append(name)
        targets["local"] = list(within.values())
        return targets

    def _slot(self, name):
        """Return the slot of a hyperparameter, such as `"block_2"`, or `None` outside all slots."""
        head, _, rest = name.partition("/")
        for group in self.slots:
            if rest and head.startswith(group.prefix) and head[len(group.prefix) :].isdigit():
                return head
        return None

    def _change(self, values, name, rng):
        parameter = self.space.active(values)[name]
        new = parameter.draw(rng)
        while new == values[name]:
            new = parameter.draw(rng)
        child = self.space.complete({**values, name: new}, rng)
        return child, f"{name}: {_text(values[name])} -> {_text(new)}"

    def _grow(self, values, group, rng):
        count = values[group.count]
        place = group.start + rng.randrange(count + 1)
        child = _renamed(values, group, lambda i: i + (i >= place))
        child[group.count] = count + 1
        return self.space.complete(child, rng), f"+{group.prefix}{place}"

    def _shrink(self, values, group, rng):
        count = values[group.count]
        place = group.start + rng.randrange(count)
        child = _renamed(values, group, lambda i: None if i == place else i - (i > place))
        child[group.count] = count - 1
        return self.space.complete(child, rng), f"-{group.prefix}{place}"


def _has_choice(parameter):
    if parameter.options is not None:
        return len(parameter.options) > 1
    return parameter.hp.min_value < parameter.hp.max_value


def _renamed(values, group, place_of):
    """Move the slots of a group to other places; a slot whose place is `None` is removed."""
    result = {}
    for name, value in values.items():
        head, separator, rest = name.partition("/")
        index = head[len(group.prefix) :]
        if separator and head.startswith(group.prefix) and index.isdigit():
            place = place_of(int(index))
            if place is None:
                continue
            name = f"{group.prefix}{place}/{rest}"
        result[name] = value
    return result


def _text(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)


SURVIVORS = ("all", "aging", "best")


class EvolutionOracle(SearchOracle):
    """Propose networks by evolution (Piergiovanni et al. 2019, section 3.1).

    The first `population_size` networks are random. For each later one, `tournament_size` networks
    are drawn from the pool. The best of them is the parent; its child has one change. There are no
    generations: a tournament is held among the networks that have completed at that moment, so no
    worker waits. The values `"tuner/parent"` and `"tuner/mutation"` say where a child comes from.

    Args:
        objective: `keras_tuner.Objective`; default the metric `"fitness"`, to be maximised.
        max_trials: int, networks to be tried. The default is the paper's pool and 500 rounds.
        population_size: int, random networks at the beginning, and the size of the pool unless
            `survivors="all"`. With `population_size >= max_trials` the search is random.
        tournament_size: int, at least 1. A smaller pool takes part as a whole.
        survivors: which networks stay in the pool; the paper does not say. `"all"` that completed;
            `"aging"`: those that completed last (Real et al. 2019, "Regularized evolution");
            `"best"`: the best ones.
        **kwargs: arguments of `SearchOracle`: `constraints`, `seed`, `max_retries_per_trial`, ...

    Raises:
        ValueError: if an argument is out of its range.
    """

    def __init__(
        self,
        objective=None,
        max_trials=700,
        population_size=200,
        tournament_size=50,
        survivors="all",
        **kwargs,
    ):
        check_choice("survivors", survivors, SURVIVORS)
        self.population_size = check_int("population_size", population_size)
        self.tournament_size = check_int("tournament_size", tournament_size)
        self.survivors = survivors
        super().__init__(objective=objective, max_trials=max_trials, **kwargs)

    def _forget(self):
        super()._forget()
        self.pool = collections.deque() if self.survivors == "aging" else []

    def _set_space(self, hyperparameters):
        super()._set_space(hyperparameters)
        self._mutator = None

    @property
    def mutator(self):
        """`Mutator` of the declared space."""
        if self._mutator is None:
            self._mutator = Mutator(self.space, getattr(self.screen.space, "slots", ()))
        return self._mutator

    def algorithm(self):
        return {
            "name": type(self).__name__,
            "population_size": self.population_size,
            "tournament_size": self.tournament_size,
            "survivors": self.survivors,
        }

    def propose(self, number, rng, attempt):
        # If no parent has a new child within the limits, a random network may be one.
        cornered = attempt > self.candidates.most // 2
        if number < self.population_size or not self.pool or cornered:
            return self.space.complete({}, rng)
        size = min(self.tournament_size, len(self.pool))
        parent = min(rng.sample(list(self.pool), size), key=self._rank)
        found = self.mutator.mutate(parent.hyperparameters.values, rng)
        if found is None:
            return self.space.complete({}, rng)
        values, mutation = found
        return {**values, "tuner/parent": parent.trial_id, "tuner/mutation": mutation}

    def _rank(self, trial):
        """Return a key that sorts the best trial first."""
        sign = -1 if self.objective.direction == "max" else 1
        return (sign * trial.score, trial.trial_id)

    def survive(self, trial):
        if self.survivors == "best":
            bisect.insort(self.pool, trial, key=self._rank)
            del self.pool[self.population_size :]
            return
        self.pool.append(trial)
        if self.survivors == "aging" and len(self.pool) > self.population_size:
            self.pool.popleft()


class Evolution(SearchTuner):
    """Search for a network by evolution under constraints, on one or several machines.

    Each trial builds a model of the space, trains it with `fit` and reports its fitness, by default
    the best epoch's `val_top1 + val_top5` (Piergiovanni et al. 2019, section 3.1). Networks that
    break a constraint are never trained and cost no trial. To resume a killed search, start the
    same script again.

    Several workers: start the same script on each machine. Set `KERASTUNER_TUNER_ID` to `chief` on
    one machine and to a different name on each of the others. Set `KERASTUNER_ORACLE_IP` and
    `KERASTUNER_ORACLE_PORT` to the address of the chief on all of them. Workers and chief may be
    killed and started again.

    Args:
        hypermodel: `keras_video.tuner.spaces.Space` such as `TVNSpace(num_classes=10)`; or another
            `keras_tuner.HyperModel`, which is built several times to find its hyperparameters.
        objective: `keras_tuner.Objective`; default `Objective("fitness", "max")`.
        max_trials: int, networks to be trained.
        population_size, tournament_size, survivors: see `EvolutionOracle`.
        constraints: list of `MaxLatency(ms)`, `MaxParams(n)`, `MaxMacs(n)`, `MaxMemory(mb)`.
        seed: int. With one worker, the same seed gives the same search if the fitness is
            deterministic and no constraint is measured.
        hyperparameters: `keras_tuner.HyperParameters` that replace declared ones, or `None`.
        max_retries_per_trial: int, how often a failed trial is run again.
        max_consecutive_failed_trials: int; so many failures in a row end the search.
        compile: function that compiles the built model. The default is AdamW, cross entropy, and
            top-1 and top-5 accuracy under the names `"top1"` and `"top5"`.
        oracle_options: dict of further arguments of `EvolutionOracle`, or `None`.
        **kwargs: further arguments of `SearchTuner`: `directory`, `project_name`, `overwrite`, ...

    Raises:
        ValueError: if an argument is out of its range, or the project folder holds another search.

    Example:
    >>> tuner = keras_video.tuner.Evolution(
    ...     keras_video.tuner.TVNSpace(num_classes=10),
    ...     max_trials=60, population_size=20, tournament_size=5, seed=1,
    ...     constraints=[keras_video.tuner.MaxLatency(5, device="cpu")], project_name="tvn",
    ... )
    >>> tuner.search(clips, labels, validation_data=(val_clips, val_labels), epochs=5)
    >>> model = tuner.hypermodel.build(tuner.get_best_hyperparameters()[0])
    """

    def __init__(
        self,
        hypermodel=None,
        objective=None,
        max_trials=700,
        population_size=200,
        tournament_size=50,
        survivors="all",
        constraints=(),
        seed=None,
        hyperparameters=None,
        max_retries_per_trial=0,
        max_consecutive_failed_trials=3,
        compile=None,
        oracle_options=None,
        **kwargs,
    ):
        oracle = EvolutionOracle(
            objective=objective,
            max_trials=max_trials,
            population_size=population_size,
            tournament_size=tournament_size,
            survivors=survivors,
            constraints=constraints,
            seed=seed,
            hyperparameters=hyperparameters,
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
            **(oracle_options or {}),
        )
        super().__init__(oracle, hypermodel, compile=compile, **kwargs)
