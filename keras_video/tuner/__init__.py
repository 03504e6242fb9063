"""Architecture search under measured limits, on KerasTuner: spaces, constraints, evolution."""

import importlib

_OWNERS = {
    "Choice": "spaces",
    "ChoiceSpace": "spaces",
    "Constraint": "constraints",
    "CostTable": "spaces",
    "Evolution": "evolution",
    "EvolutionOracle": "evolution",
    "MaxLatency": "constraints",
    "MaxMacs": "constraints",
    "MaxMemory": "constraints",
    "MaxParams": "constraints",
    "MeasurementError": "constraints",
    "ParsecOracle": "parsec_oracle",
    "ResultsTable": "results",
    "SearchOracle": "oracle",
    "SearchTuner": "base",
    "Slots": "spaces",
    "Space": "spaces",
    "TVNSpace": "spaces",
    "family_tree": "results",
    "pareto_front": "results",
    "results_table": "results",
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
