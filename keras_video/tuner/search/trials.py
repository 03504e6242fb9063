"""The project folder of a search: what it keeps of the search and of each trial.

`oracle.json` says which search it is and is written once. Everything else is in one small file per
trial, `trial_00000/trial.json`. Each file is written whole or not at all.
"""

import contextlib
import dataclasses
import math
import os

from keras_tuner import HyperParameters
from keras_tuner.engine.trial import Trial

from keras_video.files import read_json, write_json
from keras_video.tuner.spaces.declared import DeclaredSpace, SearchHyperParameters

FORMAT = "keras_video search 1"
TRIALS = "trial_"
WAY_OUT = "Choose another project_name, or pass overwrite=True to begin anew."


class Project:
    """Read and write the files of a search.

    Args:
        folder: string, an existing folder.
    """

    def __init__(self, folder):
        self.folder = folder
        self.path = os.path.join(folder, "oracle.json")

    @property
    def exists(self):
        """bool, whether the folder holds a search."""
        return os.path.exists(self.path)

    def begin(self, identity, hyperparameters):
        """Write what the search is.

        Args:
            identity: dict of plain values, see `check`.
            hyperparameters: `keras_tuner.HyperParameters`, the declared space.
        """
        space = HyperParameters.get_config(hyperparameters)["space"]
        content = {"format": FORMAT, **identity, "hyperparameters": space}
        write_json(self.path, content, sync=True)

    def check(self, identity, space):
        """Check that the folder is empty or holds this very search.

        Args:
            identity: dict of plain values: `objective`, `constraints` and so on. A seed of `None`
                agrees with all seeds.
            space: `DeclaredSpace`. One without hyperparameters agrees with all spaces.

        Returns:
            The content of `oracle.json`, with `hyperparameters` as an object; or `None` if the
            folder is new.

        Raises:
            ValueError: naming the difference.
        """
        if not self.exists:
            if trial_paths(self.folder):
                raise ValueError(
                    f"project: expected an oracle.json next to the trials, got none in "
                    f"{self.folder}. {WAY_OUT}"
                )
            return None
        content = read_json(self.path)
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ValueError(
                f"project: expected a search of keras_video ({FORMAT!r}) in {self.path}, got one "
                f"of another kind. {WAY_OUT}"
            )
        stored = HyperParameters.from_config({"space": content["hyperparameters"], "values": {}})
        content["hyperparameters"] = SearchHyperParameters.of(stored)
        if space.parameters:
            _compare_spaces(self.folder, DeclaredSpace(stored).lines(), space.lines())
        for name, value in identity.items():
            if content.get(name) != value and not (name == "seed" and value is None):
                raise ValueError(
                    f"project: expected a search with {name}={value!r} in {self.folder}, got one "
                    f"with {name}={content.get(name)!r}. {WAY_OUT}"
                )
        return content

    def save(self, trial, record):
        """Write the file of a trial."""
        content = {**to_dict(trial), "record": dataclasses.asdict(record)}
        write_json(_trial_path(self.folder, trial.trial_id), content, sync=True)

    def load(self, hyperparameters):
        """Read all trials.

        Args:
            hyperparameters: `SearchHyperParameters` of the space. Each trial gets a copy.

        Returns:
            Pairs `(trial, record)`, sorted by id.

        Raises:
            ValueError: naming a file that is damaged.
        """
        found = []
        for path in trial_paths(self.folder).values():
            content = read_json(path)
            try:
                trial = from_dict(content, hyperparameters.copy())
                found.append((trial, Record(**content["record"])))
            except (KeyError, TypeError) as error:
                raise ValueError(
                    f"{path}: expected a trial of keras_video, got something else ({error!r}). "
                    "Remove its folder to have the trial run again."
                ) from error
        return found


def _compare_spaces(folder, theirs, ours):
    """Raise an error unless two spaces, as lists of lines, are equal."""
    if theirs == ours:
        return
    only_theirs = [line for line in theirs if line not in set(ours)]
    only_ours = [line for line in ours if line not in set(theirs)]
    raise ValueError(
        f"project: expected a search in this space of {len(ours)} hyperparameters in {folder}, got "
        f"one in another space of {len(theirs)}, {len(only_theirs)} of them not in this one; for "
        f"example {only_theirs[:1]} there and {only_ours[:1]} here. {WAY_OUT}"
    )


def trial_paths(folder):
    """Return the paths of the files of all trials in a project, a dict by trial id."""
    try:
        names = sorted(name for name in os.listdir(folder) if name.startswith(TRIALS))
    except FileNotFoundError:
        return {}
    paths = {name[len(TRIALS) :]: os.path.join(folder, name, "trial.json") for name in names}
    # A process that was killed may have made the folder without the file.
    return {trial_id: path for trial_id, path in paths.items() if os.path.exists(path)}


def _trial_path(folder, trial_id):
    return os.path.join(folder, f"{TRIALS}{trial_id}", "trial.json")


@contextlib.contextmanager
def project_lock(folder):
    """Keep a second search out of a folder. The system releases the lock when a process dies.

    Raises:
        RuntimeError: if another process searches in this folder.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "search.lock"), "w") as file:
        try:
            # Unlike `flock`, this lock is not inherited by child processes that may live longer.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            raise RuntimeError(
                f"project: expected a folder that no other process searches in, got {folder}. "
                "For several workers set KERASTUNER_TUNER_ID, KERASTUNER_ORACLE_IP and "
                "KERASTUNER_ORACLE_PORT."
            ) from None
        except OSError:  # a file system without locks
            pass
        yield


@dataclasses.dataclass
class Record:
    """The history of a trial. Its file holds the record as well as values and metrics.

    Args:
        worker: string, the tuner that holds the trial, or held it last.
        run: int, number of the current run. A report with another number is late.
        draws: int, how many networks were drawn for this trial so far.
        lost: dict, how often the process that ran it died: `"worker"`, as noticed by the chief, or
            `"search"`, as noticed when the search was resumed.
        failures: int, how often it was reported as failed.
        rejected: dict, networks rejected from their values, counted by cause.
        measured: list of dicts `{"order", "name", "number", "values"}`, networks rejected by the
            workers.
        started, ended: float, seconds since 1970, or `None`.
        order: int, position among all that was ever learned, or `None`.
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


def to_dict(trial):
    """Return a trial as plain values, for files and messages. The space is not part of it."""
    return {
        "trial_id": trial.trial_id,
        "status": trial.status,
        "values": dict(trial.hyperparameters.values),
        "metrics": trial.metrics.get_config()["metrics"],
        "score": trial.score,
        "best_step": trial.best_step,
        "message": trial.message,
    }


def from_dict(content, hyperparameters):
    """Make a trial from plain values.

    Args:
        content: dict from `to_dict`; further keys are ignored.
        hyperparameters: `SearchHyperParameters`. The trial keeps this object and sets its values.
    """
    hyperparameters.values = dict(content["values"])
    trial = Trial(hyperparameters, content["trial_id"], content["status"], content["message"])
    trial.score, trial.best_step = content["score"], content["best_step"]
    trial.metrics = type(trial.metrics).from_config({"metrics": content["metrics"]})
    return trial


def set_metrics(trial, metrics, objective, step=0):
    """Add metrics to a trial.

    Args:
        trial: `Trial`.
        metrics: dict of numbers.
        objective: `keras_tuner.Objective`, for its direction.
        step: int, the epoch of the metrics.
    """
    for name, value in metrics.items():
        if not trial.metrics.exists(name):
            trial.metrics.register(name, _direction(name, objective))
        trial.metrics.update(name, value, step=step)


def clear_metrics(trial):
    """Remove metrics, score and message of an earlier run."""
    trial.metrics = type(trial.metrics)()
    trial.score, trial.best_step, trial.message = None, 0, None


def score_problem(trial, objective):
    """Return `None`, or a string that says why the trial has no score."""
    name = objective.name
    if not trial.metrics.exists(name):
        return f"{name}: expected it among the metrics, got {list(trial.metrics.metrics)}."
    numbers = [sum(o.value) / len(o.value) for o in trial.metrics.get_history(name)]
    if not all(map(math.isfinite, numbers)):
        return f"{name}: expected finite numbers, got {numbers}."
    return None


def _direction(name, objective):
    if name == objective.name:
        return objective.direction
    # KerasTuner would look for a Keras metric of each name.
    good = ("top1", "top5", "accuracy", "fitness", "auc", "precision", "recall", "map")
    return "max" if name.lower().endswith(good) else "min"
