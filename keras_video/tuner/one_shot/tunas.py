"""`TuNAS`: the search of MoViNets, a super-network and a policy trained with REINFORCE."""

from keras_video.checks import check_choice
from keras_video.tuner.one_shot.algorithms import Reinforce, Uniform
from keras_video.tuner.one_shot.oracle import OneShotOracle
from keras_video.tuner.one_shot.tuner import OneShotTuner
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
