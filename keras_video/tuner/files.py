"""Files of a search: each is written whole or not at all, one small file per trial."""

import contextlib
import json
import os

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
