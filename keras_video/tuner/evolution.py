"""`Evolution`: the search of Tiny Video Networks, tournament selection with one mutation."""

import bisect
import collections

from keras_video.specs import check_int
from keras_video.tuner.base import SearchTuner
from keras_video.tuner.mutation import Mutator
from keras_video.tuner.oracle import SearchOracle

SURVIVORS = ("all", "aging", "best")


class EvolutionOracle(SearchOracle):
    """Proposes networks by evolution (Piergiovanni et al. 2019, section 3.1).

    The first `population_size` networks are random. Each later one is the child of the best of
    `tournament_size` networks drawn from the pool, changed at one site. There are no generations:
    a tournament is held among what has completed at that moment, so no worker waits. Values
    `"tuner/parent"` and `"tuner/mutation"` say where a child comes from.

    Args:
        objective: `keras_tuner.Objective`; default the metric `"fitness"`, to be maximised.
        max_trials: int, networks to be tried: the paper's pool and 500 rounds.
        population_size: int, random networks at the beginning, and size of the pool except with
            `survivors="all"`. With `population_size >= max_trials` the search is a random one.
        tournament_size: int, at least 1; where the pool is smaller all of it takes part.
        survivors: who stays in the pool, on which the paper is silent: `"all"` that completed;
            `"aging"`, those that completed last (Real et al. 2019, "Regularized evolution");
            `"best"`, the best ones.
        **kwargs: arguments of `SearchOracle`: `constraints`, `seed`, `max_retries_per_trial`, ...

    Raises:
        ValueError: naming the argument that is out of its range.
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
        check_int("population_size", population_size, 1)
        check_int("tournament_size", tournament_size, 1)
        if survivors not in SURVIVORS:
            raise ValueError(f"survivors: expected one of {SURVIVORS}, got {survivors!r}.")
        self.population_size = population_size
        self.tournament_size = tournament_size
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
        # Where no parent has a child that is new and feasible, a random network may be both.
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
        """Sorts the best first."""
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
    """Searches networks by evolution under constraints, on one or several machines.

    Each trial builds a network of the space, trains it by `fit` and reports its fitness, by
    default the best epoch's `val_top1 + val_top5` (Piergiovanni et al. 2019, section 3.1).
    Networks that break a constraint are never trained and cost no trial. A search that was killed
    goes on when the same script is started again.

    Several workers: start the same script on each machine with `KERASTUNER_TUNER_ID` (`chief` on
    one, any other name, each once, on the others), and `KERASTUNER_ORACLE_IP` and
    `KERASTUNER_ORACLE_PORT` of the chief. Workers and chief may be killed and started again.

    Args:
        hypermodel: `keras_video.tuner.spaces.Space` such as `TVNSpace(num_classes=10)`, or another
            `keras_tuner.HyperModel`, which is built several times to find its hyperparameters.
        objective: `keras_tuner.Objective`; default `Objective("fitness", "max")`.
        max_trials: int, networks to be trained.
        population_size, tournament_size, survivors: see `EvolutionOracle`.
        constraints: list of `MaxLatency(ms)`, `MaxParams(n)`, `MaxMacs(n)`, `MaxMemory(mb)`.
        seed: int; with one worker the same seed gives the same search, where fitness is
            deterministic and no constraint is a measured one.
        hyperparameters: `keras_tuner.HyperParameters` that replace declared ones, or `None`.
        max_retries_per_trial: int, how often a trial that failed is run again.
        max_consecutive_failed_trials: int; so many failures in a row end the search.
        compile: function of the built model that compiles it; default AdamW, cross entropy, and
            the metrics top-1 and top-5 accuracy under the names `"top1"` and `"top5"`.
        **kwargs: further arguments of `SearchTuner`: `directory`, `project_name`, `overwrite`, ...

    Raises:
        ValueError: naming the argument that is out of its range; or saying what differs, if the
            project's folder is that of another search.

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
