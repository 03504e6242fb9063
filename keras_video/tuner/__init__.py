"""Architecture search under limits, on KerasTuner: evolution, and one-shot search."""

import importlib

_OWNERS = {
    "Choice": "spaces",
    "ChoiceSpace": "spaces",
    "Constraint": "search.constraints",
    "CostTable": "spaces",
    "Evolution": "search.evolution",
    "EvolutionOracle": "search.evolution",
    "LatencyTable": "latency.table",
    "MaxLatency": "search.constraints",
    "MaxMacs": "search.constraints",
    "MaxMemory": "search.constraints",
    "MaxParams": "search.constraints",
    "MeasurementError": "search.constraints",
    "MoViNetSpace": "spaces",
    "OneShotOracle": "one_shot.oracle",
    "Parsec": "one_shot.searches",
    "ParsecOracle": "search.parsec",
    "ResultsTable": "search.results",
    "SearchOracle": "search.oracle",
    "SearchTuner": "search.tuner",
    "Slots": "spaces",
    "Space": "spaces",
    "Stage": "spaces",
    "SuperNetwork": "one_shot.super_network",
    "TVNSpace": "spaces",
    "TuNAS": "one_shot.searches",
    "TuNASOracle": "one_shot.searches",
    "TwoStreamSpace": "spaces",
    "family_tree": "search.results",
    "pareto_front": "search.results",
    "plot_search": "one_shot.oracle",
    "results_table": "search.results",
    "search_history": "one_shot.oracle",
    "stage_table": "one_shot.oracle",
    "super_network": "one_shot.super_network",
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
