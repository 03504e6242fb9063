"""Mutants: one site is another, everything else is as it was."""

import random

import keras_tuner
import pytest

from keras_video.tuner import MaxMacs, Slots, Space, TVNSpace
from keras_video.tuner.search.evolution import Mutator
from keras_video.tuner.spaces.declared import DeclaredSpace, fingerprint
from tests.tuner.toy import ToySpace, declared

SPACES = {
    "toy": ToySpace(),
    "tvn": TVNSpace(10),
    "mobile": TVNSpace(10, mobile=True),
    "small": TVNSpace(10, image_size=[16, 32], frames=[1, 2], blocks=(2, 3), squeeze=0.0),
}


def blocks(values, prefix="block_"):
    """`{number: {rest of the name: value}}`."""
    found = {}
    for name, value in values.items():
        head, _, rest = name.partition("/")
        if head.startswith(prefix):
            found.setdefault(int(head[len(prefix) :]), {})[rest] = value
    return found


def rest(values):
    """What belongs to no block, and is not their number."""
    return {k: v for k, v in values.items() if "/" not in k and k != "num_blocks"}


def check_one_site(space, parent, child, mutation):
    """The mutation says what was done; nothing else was."""
    before, after = blocks(parent), blocks(child)
    if mutation.startswith("+"):
        place = int(mutation.removeprefix("+block_"))
        assert child["num_blocks"] == parent["num_blocks"] + 1 == len(after)
        after = [block for i, block in sorted(after.items()) if i != place]
        assert after == [block for _, block in sorted(before.items())]
        assert rest(parent) == rest(child)
    elif mutation.startswith("-"):
        place = int(mutation.removeprefix("-block_"))
        assert child["num_blocks"] == parent["num_blocks"] - 1 == len(after)
        before = [block for i, block in sorted(before.items()) if i != place]
        assert before == [block for _, block in sorted(after.items())]
        assert rest(parent) == rest(child)
    else:
        name = mutation.partition(":")[0]
        assert parent[name] != child[name]
        conditions = {p.name: dict(p.conditions.pairs) for p in space.parameters}
        both = set(parent) & set(child) - {name}
        assert all(parent[other] == child[other] for other in both)
        # What came and went depends on what was changed.
        assert all(name in conditions[other] for other in set(parent) ^ set(child))
        assert list(child) == [
            n for n in dict.fromkeys(p.name for p in space.parameters) if n in child
        ]


@pytest.mark.parametrize("name", SPACES)
def test_400_mutants(name):
    toy = SPACES[name]
    space = DeclaredSpace(declared(toy))
    mutator = Mutator(space, toy.slots)
    rng = random.Random(0)
    parent, kinds = space.complete({}, rng), set()
    for _ in range(400):
        child, mutation = mutator.mutate({**parent, "tuner/parent": "00000"}, rng)
        assert space.problem(parent) is None and space.problem(child) is None
        assert fingerprint(parent) != fingerprint(child)
        check_one_site(space, parent, child, mutation)
        kinds.add(mutation[0] if mutation[0] in "+-" else mutation.partition(":")[0].split("/")[-1])
        parent = child
    # Every hyperparameter is found in time, but for the number of blocks, which grows and shrinks.
    sites = {p.name.split("/")[-1] for p in space.parameters} - {"num_blocks"} | {"+", "-"}
    assert kinds <= sites and len(kinds) > 0.85 * len(sites)


def test_each_operator_is_as_likely():
    toy = ToySpace(blocks=8)
    space = DeclaredSpace(declared(toy))
    mutator = Mutator(space, toy.slots)
    rng = random.Random(0)
    parent = {**space.complete({}, rng), "num_blocks": 4}
    parent = space.complete(parent, rng)
    counts = dict.fromkeys(("grow", "shrink", "kind", "global", "local"), 0)
    for _ in range(2000):
        _, mutation = mutator.mutate(parent, rng)
        name = mutation.partition(":")[0]
        if mutation[0] in "+-":
            counts["grow" if mutation[0] == "+" else "shrink"] += 1
        elif name.endswith("/kind"):
            counts["kind"] += 1
        else:
            counts["local" if "/" in name else "global"] += 1
    assert all(330 < count < 470 for count in counts.values()), counts


def test_the_ends_of_a_count():
    toy = ToySpace(blocks=3)
    space = DeclaredSpace(declared(toy))
    mutator = Mutator(space, toy.slots)
    rng = random.Random(0)
    fewest, most = (space.complete({"num_blocks": n}, rng) for n in (1, 3))
    assert not mutator.targets(fewest)["shrink"] and mutator.targets(fewest)["grow"]
    assert not mutator.targets(most)["grow"] and mutator.targets(most)["shrink"]


def test_a_fixed_number_of_blocks_and_nothing_to_change():
    fixed = TVNSpace(10, blocks=2)
    space = DeclaredSpace(declared(fixed))
    assert "num_blocks" in space.complete({}, random.Random(0))
    mutator = Mutator(space, fixed.slots)
    targets = mutator.targets(space.complete({}, random.Random(0)))
    assert not targets["grow"] and not targets["shrink"]

    class Nothing(Space):
        slots = (Slots("num_blocks", "block_"),)

        def declare(self, hp):
            hp.Fixed("size", 3)

    space = DeclaredSpace(declared(Nothing()))
    assert Mutator(space, Nothing.slots).mutate({"size": 3}, random.Random(0)) is None


def test_completing_keeps_what_is_legal_and_draws_as_declared():
    hp = keras_tuner.HyperParameters()
    hp.Int("log", 1, 1000, sampling="log")
    hp.Int("step", 2, 64, step=2, sampling="log")
    hp.Float("tenths", 0, 1, step=0.1)
    hp.Choice("word", ["a", "b"])
    with hp.conditional_scope("word", ["a"]):
        hp.Int("inner", 1, 3)
    with hp.conditional_scope("word", ["b"]):
        hp.Int("inner", 10, 30)
        hp.Boolean("more")
    space = DeclaredSpace(hp)
    rng = random.Random(0)
    drawn = [space.complete({}, rng) for _ in range(500)]
    assert all(space.problem(values) is None for values in drawn)
    assert 0.4 < sum(values["log"] < 32 for values in drawn) / 500 < 0.6  # 32 is the middle
    assert {values["step"] for values in drawn} == {2, 4, 8, 16, 32, 64}
    assert space.complete({"word": "a", "inner": 2, "more": True}, rng)["inner"] == 2
    changed = space.complete({"word": "b", "inner": 2}, rng)
    assert 10 <= changed["inner"] <= 30 and "more" in changed
    assert space.problem({**changed, "inner": 2}) == "inner is out of its range: 2"
    assert "more is not active" in space.problem(
        {**drawn[0], "word": "a", "inner": 1, "more": True}
    )
    assert "inner has no value" in space.problem(
        {k: v for k, v in drawn[0].items() if k != "inner"}
    )


def test_children_of_a_search_are_valid_feasible_and_new(tmp_path):
    from tests.tuner.toy import ToyTuner

    limit = MaxMacs(2e9)
    space = TVNSpace(10, image_size=(32, 128, 32), frames=(1, 8), filters=(8, 256), blocks=(1, 4))
    tuner = ToyTuner(
        space, max_trials=230, population_size=30, constraints=[limit], seed=0,
        directory=tmp_path, answer=lambda values: values["image_size"] - values["frames"],
    )  # fmt: skip
    tuner.search(verbose=0)
    oracle = tuner.oracle
    children = [t for t in oracle.trials.values() if "tuner/parent" in t.hyperparameters.values]
    assert len(children) == 200
    for child in children:
        values = child.hyperparameters.values
        parent = oracle.trials[values["tuner/parent"]].hyperparameters.values
        mutation = values["tuner/mutation"]
        bare = [
            {k: v for k, v in x.items() if not k.startswith("tuner/")} for x in (parent, values)
        ]
        check_one_site(oracle.space, *bare, mutation)
        assert oracle.space.problem(values) is None
        assert space.invalid(values) is None
        assert limit.cost(space, values) <= limit.limit
        assert child.metrics.get_best_value("macs") == limit.cost(space, bare[1])
    assert len({fingerprint(t.hyperparameters.values) for t in oracle.trials.values()}) == 230
    assert oracle.rejected["macs"] > 0
