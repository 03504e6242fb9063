"""`Project`: the folder of a search, which belongs to one search and no other.

Files of a search: each is written whole or not at all, one small file per trial.

What an oracle notes of a trial, and the form in which trials are kept and sent.
"""

import contextlib
import dataclasses
import json
import math
import os

from keras_tuner import HyperParameters
from keras_tuner.engine.trial import Trial

from keras_video.tuner.spaces.declared import DeclaredSpace, SearchHyperParameters

TRIALS = "trial_"


def write_json(path, content):
    """Writes a file under a temporary name and renames it: a reader sees the old or the new one.

    Args:
        path: string; its folder must exist.
        content: what `json` can write. NaN and infinities are written as JavaScript does.
    """
    temporary = f"{path}.tmp"
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(json.dumps(content))
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def read_json(path):
    """Reads a file.

    Raises:
        ValueError: naming the file, if it is damaged.
    """
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (ValueError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: expected JSON, got a damaged file ({error}).") from error


def trial_path(folder, trial_id):
    """Path of the file of a trial; makes its folder."""
    parent = os.path.join(folder, f"{TRIALS}{trial_id}")
    os.makedirs(parent, exist_ok=True)
    return os.path.join(parent, "trial.json")


def trial_paths(folder):
    """Paths of the files of all trials in a project, by id."""
    try:
        names = sorted(name for name in os.listdir(folder) if name.startswith(TRIALS))
    except FileNotFoundError:
        return {}
    paths = {name[len(TRIALS) :]: os.path.join(folder, name, "trial.json") for name in names}
    # A process that was killed may have made the folder alone.
    return {trial_id: path for trial_id, path in paths.items() if os.path.exists(path)}


@contextlib.contextmanager
def project_lock(folder):
    """Keeps a second search out of the folder; the system lifts the lock when a process dies.

    Raises:
        RuntimeError: if another process searches in this folder.
    """
    try:
        import fcntl
    except ImportError:  # not on Windows
        yield
        return
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "search.lock"), "w") as file:
        try:
            # Unlike `flock` it is not inherited by processes that may survive this one.
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


FORMAT = "keras_video search 1"


class Project:
    """Reads and writes the files of a search.

    `oracle.json` says which search it is, and is written once. Everything else is in the files of
    the trials, so that whatever is written last leaves nothing behind that contradicts it.

    Args:
        folder: string, exists.
    """

    def __init__(self, folder):
        self.folder = folder
        self.path = os.path.join(folder, "oracle.json")

    @property
    def exists(self):
        """bool, whether a search was begun here."""
        return os.path.exists(self.path)

    def begin(self, identity, hyperparameters):
        """Writes what the search is.

        Args:
            identity: dict of plain values, see `check`.
            hyperparameters: `keras_tuner.HyperParameters`, the declared space.
        """
        space = HyperParameters.get_config(hyperparameters)["space"]
        content = {"format": FORMAT, **identity, "hyperparameters": space}
        write_json(self.path, content)

    def check(self, identity, space):
        """Makes sure that the folder is that of this search, or of none.

        Args:
            identity: dict of plain values: `objective`, `constraints` and so on. A seed that is
                `None` agrees with all.
            space: `DeclaredSpace`; without hyperparameters it agrees with all.

        Returns:
            What was written, with `hyperparameters` made again; or `None` if the folder is new.

        Raises:
            ValueError: saying what differs.
        """
        if not self.exists:
            if trial_paths(self.folder):
                raise ValueError(
                    f"project: {self.folder} holds trials but no oracle.json. {WAY_OUT}"
                )
            return None
        content = read_json(self.path)
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ValueError(
                f"project: expected {self.path} to be that of a search of keras_video "
                f"({FORMAT!r}), got one of another kind. {WAY_OUT}"
            )
        stored = HyperParameters.from_config({"space": content["hyperparameters"], "values": {}})
        content["hyperparameters"] = SearchHyperParameters.of(stored)
        if space.parameters:
            _compare_spaces(self.folder, DeclaredSpace(stored).lines(), space.lines())
        for name, value in identity.items():
            if content.get(name) != value and not (name == "seed" and value is None):
                raise ValueError(
                    f"project: {self.folder} holds another search: its {name} is "
                    f"{content.get(name)!r}, expected {value!r}. {WAY_OUT}"
                )
        return content

    def save(self, trial, record):
        """Writes the file of a trial."""
        content = {**to_dict(trial), "record": dataclasses.asdict(record)}
        write_json(trial_path(self.folder, trial.trial_id), content)

    def load(self, hyperparameters):
        """Reads all trials.

        Args:
            hyperparameters: `SearchHyperParameters` of the space, which the trials get copies of.

        Returns:
            Pairs `(trial, record)`, by id.

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


WAY_OUT = "Choose another project_name, or pass overwrite=True to begin anew."


def _compare_spaces(folder, theirs, ours):
    """Raises unless two lists of lines are alike."""
    if theirs == ours:
        return
    only_theirs = [line for line in theirs if line not in set(ours)]
    only_ours = [line for line in ours if line not in set(theirs)]
    raise ValueError(
        f"project: {folder} holds another search, one in another space: it has {len(theirs)} "
        f"hyperparameters, of which {len(only_theirs)} are not in this space of {len(ours)}; "
        f"there {only_theirs[:1]}, here {only_ours[:1]}. {WAY_OUT}"
    )
