"""Architecture search under limits, on KerasTuner: evolution, and one-shot search."""

from keras_video.checks import missing_extra
from keras_video.lazy import lazy_names

__all__, _get, __dir__ = lazy_names(
    __name__,
    {
        "latency.table": ("LatencyTable",),
        "one_shot.oracle": (
            "OneShotOracle",
            "plot_search",
            "search_history",
            "stage_table",
        ),
        "one_shot.searches": (
            "Parsec",
            "TuNAS",
            "TuNASOracle",
        ),
        "one_shot.super_network": (
            "SuperNetwork",
            "super_network",
        ),
        "search.constraints": (
            "Constraint",
            "MaxLatency",
            "MaxMacs",
            "MaxMemory",
            "MaxParams",
            "MeasurementError",
        ),
        "search.evolution": (
            "Evolution",
            "EvolutionOracle",
        ),
        "search.oracle": ("SearchOracle",),
        "search.parsec": ("ParsecOracle",),
        "search.results": (
            "ResultsTable",
            "family_tree",
            "pareto_front",
            "results_table",
        ),
        "search.tuner": ("SearchTuner",),
        "spaces": (
            "Choice",
            "ChoiceSpace",
            "CostTable",
            "MoViNetSpace",
            "Slots",
            "Space",
            "Stage",
            "TVNSpace",
            "TwoStreamSpace",
        ),
    },
)


def __getattr__(name):
    try:
        return _get(name)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("keras_tuner", "six", "grpc"):
            raise
        raise missing_extra(
            f"keras_video.tuner.{name} needs KerasTuner, and {error.name!r} is missing.", "tuner"
        ) from error
