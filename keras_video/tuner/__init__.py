"""Architecture search under limits, on KerasTuner: evolution, and one-shot search."""

import importlib

_OWNERS = {
    "Choice": "spaces",
    "ChoiceSpace": "spaces",
    "Constraint": "constraints",
    "CostTable": "spaces",
    "Evolution": "evolution",
    "EvolutionOracle": "evolution",
    "LatencyTable": "latency_table",
    "MaxLatency": "constraints",
    "MaxMacs": "constraints",
    "MaxMemory": "constraints",
    "MaxParams": "constraints",
    "MeasurementError": "constraints",
    "MoViNetSpace": "spaces",
    "OneShotOracle": "one_shot.oracle",
    "Parsec": "one_shot.parsec",
    "ParsecOracle": "parsec_oracle",
    "ResultsTable": "results",
    "SearchOracle": "oracle",
    "SearchTuner": "base",
    "Slots": "spaces",
    "Space": "spaces",
    "Stage": "one_shot.stages",
    "TVNSpace": "spaces",
    "TuNAS": "tunas",
    "TuNASOracle": "tunas",
    "TwoStreamSpace": "spaces",
    "family_tree": "results",
    "pareto_front": "results",
    "plot_search": "one_shot.history",
    "results_table": "results",
    "search_history": "one_shot.history",
    "stage_table": "one_shot.history",
}

__all__ = sorted(_OWNERS)


def __getattr__(name):
    if name not in _OWNERS:
        raise AttributeError(f"module 'keras_video.tuner' has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(f"keras_video.tuner.{_OWNERS[name]}"), name)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("keras_tuner", "six", "grpc"):
            raise
        raise ImportError(
            f"keras_video.tuner.{name} needs KerasTuner, and {error.name!r} is missing: "
            "pip install keras-video[tuner]"
        ) from error


def __dir__():
    return sorted([*globals(), *__all__])
