"""What an oracle notes of a trial, and the form in which trials are kept and sent."""

import dataclasses
import math

from keras_tuner.engine.trial import Trial


@dataclasses.dataclass
class Record:
    """What happened to a trial; kept in its file, beside the values and metrics.

    Args:
        worker: string, the tuner that holds the trial, or held it last.
        run: int, counts handings over; a report must carry the number of the last.
        draws: int, networks that were handed out under this id so far.
        lost: dict, how often the process that ran it died: `"worker"`, missed by the chief, or
            `"search"`, found when the search was taken up.
        failures: int, how often it was reported as failed.
        rejected: dict, networks rejected from their values, counted by cause.
        measured: list of dicts `{"order", "name", "number", "values"}`, networks rejected by the
            workers.
        started, ended: seconds since 1970, or `None`.
        order: int, place among all that was ever learned, or `None`.
    """

    worker: str = ""
    run: int = 0
    draws: int = 0
    lost: dict = dataclasses.field(default_factory=dict)
    failures: int = 0
    rejected: dict = dataclasses.field(default_factory=dict)
    measured: list = dataclasses.field(default_factory=list)
    started: float | None = None
    ended: float | None = None
    order: int | None = None


def to_dict(trial, values=None):
    """A trial as plain values, for files and messages; the space is not part of it."""
    return {
        "trial_id": trial.trial_id,
        "status": trial.status,
        "values": dict(trial.hyperparameters.values if values is None else values),
        "metrics": trial.metrics.get_config()["metrics"],
        "score": trial.score,
        "best_step": trial.best_step,
        "message": trial.message,
    }


def from_dict(content, hyperparameters):
    """The trial.

    Args:
        content: what `to_dict` returned; further keys are ignored.
        hyperparameters: `SearchHyperParameters`, taken over and given the values.
    """
    hyperparameters.values = dict(content["values"])
    trial = Trial(hyperparameters, content["trial_id"], content["status"], content["message"])
    trial.score, trial.best_step = content["score"], content["best_step"]
    trial.metrics = type(trial.metrics).from_config({"metrics": content["metrics"]})
    return trial


def set_metrics(trial, metrics, objective, step=0):
    """Gives a trial its metrics.

    Args:
        trial: `Trial`.
        metrics: dict of numbers.
        objective: `keras_tuner.Objective`, for its direction.
        step: int, the epoch they belong to.
    """
    for name, value in metrics.items():
        if not trial.metrics.exists(name):
            trial.metrics.register(name, _direction(name, objective))
        trial.metrics.update(name, value, step=step)


def score_problem(trial, objective):
    """`None`, or a string that says why the trial has no score."""
    name = objective.name
    if not trial.metrics.exists(name):
        return f"{name}: expected it among the metrics, got {list(trial.metrics.metrics)}."
    numbers = [sum(o.value) / len(o.value) for o in trial.metrics.get_history(name)]
    if not all(map(math.isfinite, numbers)):
        return f"{name}: expected finite numbers, got {numbers}."
    return None


def clear_metrics(trial):
    """Takes the metrics of an earlier run away."""
    trial.metrics = type(trial.metrics)()
    trial.score, trial.best_step, trial.message = None, 0, None


def _direction(name, objective):
    if name == objective.name:
        return objective.direction
    # KerasTuner would ask Keras for a metric of each name.
    good = ("top1", "top5", "accuracy", "fitness", "auc", "precision", "recall", "map")
    return "max" if name.lower().endswith(good) else "min"
