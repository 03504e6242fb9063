"""`TuNAS`: the search of MoViNets, a super-network and a policy that REINFORCE trains beside it."""

from keras_video.tuner.one_shot.algorithms import Reinforce, Uniform
from keras_video.tuner.one_shot.oracle import OneShotOracle
from keras_video.tuner.one_shot.tuner import OneShotTuner
from keras_video.tuner.spaces.choices import Stage

POLICIES = ("reinforce", "random")
RANDOM_CANDIDATES = 50


class TuNASOracle(OneShotOracle):
    """The trials of a TuNAS search (Bender et al. 2020; for video Kondratyuk et al. 2021).

    Args:
        cost: what networks cost: a string such as `"macs"`, a `CostTable`, or a function of a
            selection (see `SuperNetwork.call`) that returns a scalar tensor.
        target: float, the cost `T0` that is wanted; `None` looks at quality alone.
        beta: float below 0, weight of the cost in the reward.
        reward: `"absolute"`, `Q + beta * |T / T0 - 1|`; `"soft"`, `Q * (T / T0) ** beta`; `"hard"`,
            the same where the cost is above the target.
        epochs: int, chunks of training.
        stages: sequence of `Stage`, instead of `epochs`.
        policy: `"reinforce"`; or `"random"`, which draws all networks with the same probability: a
            control, whose candidates are random ones within the target.
        policy_rate, growth, delay, op_warm_up, filter_warm_up, momentum: see `Reinforce`.
        num_candidates: int; default 5, with the policy `"random"` 50.
        margin, never_above: see `OneShotOracle`; with `"random"` `never_above` is on.
        **kwargs: further arguments of `OneShotOracle`.

    Raises:
        ValueError: naming the argument that is out of its range.
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
        if policy not in POLICIES:
            raise ValueError(f"policy: expected one of {POLICIES}, got {policy!r}.")
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


class TuNAS(OneShotTuner):
    """Searches networks with shared weights, by REINFORCE, for a wanted cost.

    One super-network holds all networks of a space. In each training step one network is drawn from
    a policy; its weights learn from a training batch, and the policy from its accuracy on a
    validation batch and from its cost (Bender et al. 2020, arXiv 2008.06120, the search by which
    MoViNets were found, Kondratyuk et al. 2021, section 3.1). What is found is trained anew, from
    scratch: `tuner.hypermodel.build(tuner.get_best_hyperparameters()[0])`.

    A search that was killed goes on when the same script is started again, and with the same data
    ends where it would have ended. Several workers: see `Evolution`; the training is one after the
    other, candidates are shared. All must see the same folder.

    Args:
        hypermodel: `ChoiceSpace` with a super-network, such as `MoViNetSpace()`.
        cost, target, beta, reward, epochs, stages, policy, policy_rate, growth, delay, op_warm_up,
            filter_warm_up, momentum, num_candidates, margin, never_above: see `TuNASOracle`.
        constraints: list of `MaxLatency(ms)`, `MaxParams(n)` and so on, which candidates keep.
        objective: `keras_tuner.Objective`, by which candidates are ranked; default
            `Objective("reward", "max")`; `"val_accuracy"` is another.
        seed: int; the same seed and data give the same search.
        compile, compile_search, steps_per_trial, candidate_epochs, quality: see `OneShotTuner`.
        oracle_options: dict of further arguments of the oracle.
        **kwargs: further arguments of `SearchTuner`: `directory`, `project_name`, `overwrite`, ...

    Raises:
        ValueError: naming the argument that is out of its range; if no network of the space can
            cost what is wanted; or if the project's folder is that of another search.

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
