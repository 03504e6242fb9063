"""`Parsec`: PARSEC with shared weights if a space has a super-network, else trial by trial."""

from keras_video.checks import check_choice
from keras_video.tuner.one_shot.algorithms import ImportanceSampling
from keras_video.tuner.one_shot.oracle import OneShotOracle
from keras_video.tuner.one_shot.plan import is_one_shot
from keras_video.tuner.one_shot.tuner import OneShotTuner
from keras_video.tuner.search.parsec import ParsecOracle
from keras_video.tuner.search.tuner import SearchTuner
from keras_video.tuner.spaces.choices import Stage


def Parsec(hypermodel=None, one_shot=None, **kwargs):
    """Search for networks with PARSEC, the search of Auto-TSNet.

    PARSEC draws networks from a distribution. Each network gets a weight that grows with its
    quality and falls with its cost above a target. The distribution then moves towards the networks
    with the largest weights (Casale et al. 2019, arXiv 1902.05116; Gong et al. 2021, arXiv
    2108.12957).

    If the space has a super-network, the networks share weights, which are trained at the same
    time, see `OneShotParsec`. Otherwise each network is a trial that is trained separately, see
    `ParsecOracle`.

    Args:
        hypermodel: `keras_video.tuner.spaces.Space`, or another `keras_tuner.HyperModel` for a
            search trial by trial.
        one_shot: bool, whether networks share weights. Default: if the space has a super-network.
        **kwargs: arguments of `OneShotParsec`; or of `ParsecOracle` and `SearchTuner`.

    Returns:
        A `SearchTuner`.

    Raises:
        ValueError: naming the argument that is wrong.

    Example:
    >>> tuner = keras_video.tuner.Parsec(
    ...     keras_video.tuner.TwoStreamSpace(num_classes=10), cost="macs", target=1.4e9, epochs=30,
    ... )
    """
    check_choice("one_shot", one_shot, (True, False, None))
    if is_one_shot(hypermodel) if one_shot is None else one_shot:
        return OneShotParsec(hypermodel, **kwargs)
    own = {
        name: kwargs.pop(name)
        for name in (
            "compile", "directory", "project_name", "overwrite", "keep_weights", "patience",
            "executions_per_trial", "tuner_id", "logger", "distribution_strategy",
            "max_model_size", "optimizer", "loss", "metrics",
        )
        if name in kwargs
    }  # fmt: skip
    kwargs |= kwargs.pop("oracle_options", None) or {}
    return SearchTuner(ParsecOracle(**kwargs), hypermodel, **own)


class OneShotParsec(OneShotTuner):
    """The tuner for PARSEC with shared weights, created by `Parsec`.

    Args:
        hypermodel: `ChoiceSpace` with a super-network.
        cost, target, margin, epochs, stages: see `TuNAS`.
        samples, samples_per_nat, temperature, penalty, learning_rate, delay, baseline, op_warm_up,
            filter_warm_up: see `ImportanceSampling`.
        num_candidates: int.
        never_above: bool, whether the results of stages and search must not exceed their targets.
            Default: `True` if there is a target.
        constraints, objective, seed: see `TuNAS`.
        oracle_options: dict of further arguments of `OneShotOracle`.
        **kwargs: further arguments of `OneShotTuner`.

    Raises:
        ValueError: as `TuNAS`.
    """

    def __init__(
        self,
        hypermodel,
        cost="macs",
        target=None,
        margin=0.0,
        epochs=30,
        stages=None,
        samples=8,
        samples_per_nat=None,
        temperature=0.05,
        penalty=2.0,
        learning_rate=0.025,
        delay=1 / 3,
        baseline=False,
        op_warm_up=0.0,
        filter_warm_up=0.0,
        num_candidates=5,
        never_above=None,
        constraints=(),
        objective=None,
        seed=None,
        oracle_options=None,
        **kwargs,
    ):
        if never_above is None:
            staged = any(getattr(stage, "target", None) for stage in stages or ())
            never_above = target is not None or staged
        algorithm = ImportanceSampling(
            samples, samples_per_nat, temperature, penalty, learning_rate, delay, baseline,
            op_warm_up, filter_warm_up,
        )  # fmt: skip
        oracle = OneShotOracle(
            algorithm,
            [Stage("search", epochs=epochs)] if stages is None else stages,
            cost=cost,
            target=target,
            margin=margin,
            never_above=never_above,
            num_candidates=num_candidates,
            constraints=constraints,
            objective=objective,
            seed=seed,
            **(oracle_options or {}),
        )
        super().__init__(oracle, hypermodel, **kwargs)
