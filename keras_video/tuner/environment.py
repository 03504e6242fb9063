"""KerasTuner's environment variables: who is the chief, who is a worker."""

import os

NAMES = ("KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT")


def address():
    """`"ip:port"` of the chief, or `None` if the search is one of a single process.

    Raises:
        ValueError: if only some of the variables are set.
    """
    if "KERASTUNER_ORACLE_IP" not in os.environ:
        return None
    missing = [name for name in NAMES if not os.environ.get(name)]
    if missing:
        raise ValueError(f"environment: expected {', '.join(NAMES)}, got none of {missing}.")
    return f"{os.environ['KERASTUNER_ORACLE_IP']}:{os.environ['KERASTUNER_ORACLE_PORT']}"


def is_chief():
    """bool, whether this process holds the oracle that others ask."""
    return address() is not None and "chief" in os.environ["KERASTUNER_TUNER_ID"]


def is_worker():
    """bool, whether the oracle of this process is that of a chief elsewhere."""
    return address() is not None and not is_chief()
