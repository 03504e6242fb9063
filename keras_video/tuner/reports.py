"""What `run_trial` returned, as one dict of numbers."""

import keras
from keras_tuner.errors import FatalTypeError, FatalValueError


def to_metrics(results, objective):
    """Brings the result of a trial into one form.

    Args:
        results: a number, taken for the objective; a dict of metrics; a `History`, of which the
            epoch with the best objective counts; or a list of these, which are averaged.
        objective: `keras_tuner.Objective`.

    Returns:
        The pair of a dict of floats and an int, the best epoch.

    Raises:
        FatalTypeError: for another kind of result. Fatal errors end a search.
        FatalValueError: if the objective is missing.
    """
    runs = results if isinstance(results, (list, tuple)) else [results]
    found = [_one(run, objective) for run in runs]
    if not found:
        raise FatalTypeError("run_trial: expected a result, got an empty list.")
    names = [name for name in found[0][0] if all(name in metrics for metrics, _ in found)]
    if objective.name not in names:
        raise FatalValueError(
            f"{objective.name}: expected it among what the trial reports, got {sorted(names)}. "
            "Fitness is val_top1 + val_top5: pass validation_data to search(), and let compile "
            "set metrics of the names top1 and top5."
        )
    means = {name: sum(metrics[name] for metrics, _ in found) / len(found) for name in names}
    return means, sum(step for _, step in found) // len(found)


def _one(result, objective):
    if isinstance(result, keras.callbacks.History):
        return _best_epoch(result.history, objective)
    if isinstance(result, dict):
        return {name: float(value) for name, value in result.items()}, 0
    try:
        return {objective.name: float(result)}, 0
    except (TypeError, ValueError):
        raise FatalTypeError(
            "run_trial: expected a number, a dict of metrics, a History or a list of these, "
            f"got {result!r}."
        ) from None


def _best_epoch(history, objective):
    values = history.get(objective.name, [])
    best = 0
    for epoch, value in enumerate(values):
        # A comparison with NaN is false: any number is better.
        if objective.better_than(value, values[best]) or values[best] != values[best]:
            best = epoch
    return {n: float(series[best]) for n, series in history.items() if len(series) > best}, best
