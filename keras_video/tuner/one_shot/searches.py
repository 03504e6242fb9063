"""The searches with shared weights: `TuNAS`, by which MoViNets were found, and `Parsec`.

`Parsec`, by which Auto-TSNet was found, searches trial by trial if a space has no super-network.
"""

from keras_video.checks import check_choice
from keras_video.tuner.one_shot.algorithms import ImportanceSampling, Reinforce, Uniform
from keras_video.tuner.one_shot.oracle import OneShotOracle
from keras_video.tuner.one_shot.plan import is_one_shot
from keras_video.tuner.one_shot.tuner import OneShotTuner
from keras_video.tuner.search.parsec import ParsecOracle
from keras_video.tuner.search.tuner import SearchTuner
from keras_video.tuner.spaces.choices import Stage

POLICIES = ("reinforce", "random")
RANDOM_CANDIDATES = 50


class TuNAS(OneShotTuner):
    """Search for networks of a target cost with shared weights and REINFORCE.

    A super-network contains all networks of a space. Each training step draws one network from a
    policy. The weights of the network learn from a training batch; the policy learns from the
    network's accuracy on a validation batch and from its cost (Bender et al. 2020, arXiv
    2008.06120). MoViNets were found by this search (Kondratyuk et al. 2021, section 3.1). The
    network that is found is then trained from scratch.

    A search that was killed continues when the same script is started again, and with the same data
    it has the same result. For several workers see `Evolution`: training runs on one worker at a
    time, and candidates are shared. All workers need access to the same folder.

    Args:
        hypermodel: `ChoiceSpace` with a super-network, such as `MoViNetSpace()`.
        cost: the cost of networks: a string such as `"macs"`, a `CostTable`, or a function of a
            selection (see `SuperNetwork.call`) that returns a scalar tensor.
        target: float, target cost `T0`. `None` ignores the cost.
        beta: float, at most 0, weight of the cost in the reward.
        reward: `"absolute"` for `Q + beta * |T / T0 - 1|`; `"soft"` for `Q * (T / T0) ** beta`;
            `"hard"` for the same, but only if the cost is above the target.
        epochs: int, number of training chunks.
        stages: sequence of `Stage`, replaces `epochs`.
        policy: `"reinforce"`; or `"random"`, a baseline that draws all networks with the same
            probability, and whose candidates are random networks within the target.
        policy_rate, growth, delay, op_warm_up, filter_warm_up, momentum: see `Reinforce`.
        num_candidates: int. Default: 5, or 50 with the policy `"random"`.
        margin: see `SearchPlan`.
        never_above: see `SearchPlan`. Default: `True` with the policy `"random"`, else `False`.
        constraints: list of `MaxLatency(ms)`, `MaxParams(n)` and so on, for candidates.
        objective: `keras_tuner.Objective` that ranks candidates, for example `"val_accuracy"`.
            Default: `Objective("reward", "max")`.
        seed: int. The same seed and data give the same search.
        oracle_options: dict of further arguments of `TuNASOracle`.
        **kwargs: further arguments of `OneShotTuner` (`compile`, `compile_search`,
            `steps_per_trial`, `candidate_epochs`, `quality`) and of `SearchTuner` (`directory`,
            `project_name`, `overwrite`, ...).

    Raises:
        ValueError: naming the argument that is wrong; if no network of the space can have the
            target cost; or if the project folder belongs to another search.

    Example:
    >>> tuner = keras_video.tuner.TuNAS(
    ...     keras_video.tuner.MoViNetSpace(num_classes=10), cost="macs", target=20e6, epochs=30,
    ...     project_name="tunas",
    ... )
    >>> tuner.search(clips, labels, validation_data=(val_clips, val_labels), batch_size=32)
    >>> model = tuner.hypermodel.build(tuner.get_best_hyperparameters()[0])
    """

    def __init__(
        self,
        hypermodel,
        cost="macs",
        target=None,
        beta=-0.10,
        reward="absolute",
        epochs=30,
        stages=None,
        policy="reinforce",
        policy_rate=None,
        growth=10.0,
        delay=0.25,
        op_warm_up=0.25,
        filter_warm_up=0.25,
        momentum=0.95,
        num_candidates=None,
        margin=0.0,
        never_above=None,
        constraints=(),
        objective=None,
        seed=None,
        oracle_options=None,
        **kwargs,
    ):
        oracle = TuNASOracle(
            cost=cost,
            target=target,
            beta=beta,
            reward=reward,
            epochs=epochs,
            stages=stages,
            policy=policy,
            policy_rate=policy_rate,
            growth=growth,
            delay=delay,
            op_warm_up=op_warm_up,
            filter_warm_up=filter_warm_up,
            momentum=momentum,
            num_candidates=num_candidates,
            margin=margin,
            never_above=never_above,
            constraints=constraints,
            objective=objective,
            seed=seed,
            **(oracle_options or {}),
        )
        super().__init__(oracle, hypermodel, **kwargs)


class TuNASOracle(OneShotOracle):
    """The oracle of `TuNAS`, for use with a tuner of your own.

    Args:
        cost, target, ..., never_above: see `TuNAS`.
        **kwargs: further arguments of `OneShotOracle`, such as `margin`, `constraints` and `seed`.

    Raises:
        ValueError: naming the argument that is wrong.
    """

    def __init__(
        self,
        cost="macs",
        target=None,
        beta=-0.10,
        reward="absolute",
        epochs=30,
        stages=None,
        policy="reinforce",
        policy_rate=None,
        growth=10.0,
        delay=0.25,
        op_warm_up=0.25,
        filter_warm_up=0.25,
        momentum=0.95,
        num_candidates=None,
        never_above=None,
        **kwargs,
    ):
        check_choice("policy", policy, POLICIES)
        learned = Reinforce(
            reward, beta, policy_rate, growth, delay, op_warm_up, filter_warm_up, momentum
        )
        random = policy == "random"
        if never_above is None:
            never_above = random and target is not None
        super().__init__(
            Uniform(op_warm_up, filter_warm_up) if random else learned,
            [Stage("search", epochs=epochs)] if stages is None else stages,
            cost=cost,
            target=target,
            num_candidates=num_candidates or (RANDOM_CANDIDATES if random else 5),
            never_above=never_above,
            **kwargs,
        )


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
