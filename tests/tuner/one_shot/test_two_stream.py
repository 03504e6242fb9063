"""The super-network of two-stream networks: its children compute the same."""

import keras
import numpy as np
import pytest

pytest.importorskip("keras_tuner")

from keras_video.tuner import super_network  # noqa: E402
from keras_video.tuner.spaces import TwoStreamSpace  # noqa: E402
from keras_video.tuner.spaces.choices import active_values, one_hot  # noqa: E402
from tests.helpers import assert_differs, assert_near, run, to_numpy  # noqa: E402
from tests.tuner.spaces.test_two_stream import draw  # noqa: E402

SPACE = TwoStreamSpace(
    5, size=32, frames=4, stride=2, frame_stride=1, repeats=(1, 2, 1), stages=(1, 1, 2),
    sparse_filters=([8, 12, 16], [8, 12, 24], [12, 16]),
    dense_filters=([4], [4, 8], [4, 8]), expansions=[1.5, 2.25], sparse_stem=8, dense_stem=4,
    hidden=12, dropout=0.5, fusion_slots=(1, 2, 3), attention_slots=(2, 3),
)  # fmt: skip
CLIPS = np.random.default_rng(0).integers(0, 256, (3, 4, 32, 32, 3)).astype("float32")
# Shortcuts of every kind: from 12 channels and 4 or 8 fused ones to 12, 16 and 24; from 8 to 8 in
# a block with a stride.
NETWORK = {
    "dense_stream": True,
    "sparse/group1/filters": 8, "sparse/group2/filters": 24, "sparse/group3/filters": 16,
    "dense/group1/filters": 4, "dense/group2/filters": 8, "dense/group3/filters": 4,
    "fusion/group1": "time_to_channel", "fusion/group2": "time_strided_conv",
    "fusion/group3": "time_strided_sampling", "attention/sparse_group2": True,
    "attention/sparse_group3": False, "attention/dense_group2": False,
    "attention/dense_group3": True,
}  # fmt: skip


def complete(values, seed=0):
    """Return the values of all active choices: given ones, and drawn ones for the rest."""
    drawn = draw(SPACE, seed) | values
    rng = np.random.default_rng(seed)
    for choice in SPACE.choices:
        drawn.setdefault(choice.name, choice.values[rng.integers(len(choice.values))])
    return active_values(SPACE.choices, [c.index(drawn[c.name]) for c in SPACE.choices])


def build(fixed=None, seed=0):
    """Return a super-network with random weights, also in norms and biases."""
    network = super_network(SPACE, fixed)
    rng = np.random.default_rng(seed)
    for variable in network.trainable_variables:
        value = rng.standard_normal(variable.shape) * (0.3 if len(variable.shape) > 1 else 0.5)
        variable.assign(value + variable.path.endswith("gamma"))
    return network


def answers(network, values):
    selection = one_hot(SPACE.choices, values)
    return to_numpy(run(network, CLIPS, selection, training=False))


def answers_of_child(network, values):
    """Return the logits of the child, with batch statistics."""
    child = network.child(values)
    for layer in child.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    return to_numpy(run(child, CLIPS, training=True))


@pytest.fixture(scope="module")
def network():
    return build()


VALUES = [
    complete(NETWORK),
    complete(NETWORK | {"fusion/group1": "time_strided_conv", "sparse/group1/filters": 16}, 1),
    complete(NETWORK | {"fusion/group1": "none", "sparse/group1/filters": 8,
                        "sparse/group2/filters": 8, "fusion/group2": "time_to_channel",
                        "attention/dense_group2": True}, 2),
    complete({"dense_stream": False, "sparse/group1/filters": 12, "sparse/group2/filters": 12,
              "sparse/group3/filters": 12, "attention/sparse_group3": True}, 3),
]  # fmt: skip


@pytest.mark.parametrize("values", VALUES)
def test_child_computes_the_same(network, values):
    """The child computes the same as the masked super-network."""
    expected = answers_of_child(network, values)
    assert_near(answers(network, values), expected)
    other = VALUES[(VALUES.index(values) + 1) % len(VALUES)]
    assert_differs(answers(network, other), expected)


@pytest.mark.parametrize("values", VALUES[::3])
def test_fixed_networks_compute_the_same(network, values):
    """Fixed values are compiled in, and the selection is ignored."""
    fixed = super_network(SPACE, values)
    fixed.set_weights(network.get_weights())
    assert_near(answers(fixed, VALUES[1]), answers(network, values))


def test_a_fixed_sparse_stream(network):
    """As in later stages, the sparse design is fixed and the rest is selected."""
    designs = {n: v for n, v in VALUES[1].items() if n.startswith(("sparse/", "dense_stream"))}
    fixed = super_network(SPACE, designs)
    fixed.set_weights(network.get_weights())
    for values in (VALUES[1], VALUES[1] | {"fusion/group2": "none", "fusion/group3": "none"}):
        assert_near(answers(fixed, values), answers(network, values))


def test_all_stages_have_the_same_weights(network):
    """So that a stage can start from the weights of the stage before."""
    alone = super_network(SPACE, {"dense_stream": False})
    designs = {n: v for n, v in complete(NETWORK).items() if n.startswith(("sparse/", "dense"))}
    for other in (alone, super_network(SPACE, designs)):
        assert [(v.path, v.shape) for v in other.weights] == (
            [(v.path, v.shape) for v in network.weights]
        )
    assert len({v.path for v in network.weights}) == len(network.weights)
    count = sum(int(np.prod(v.shape)) for v in network.trainable_variables)
    largest = max(SPACE.cost(values, "params") for values in VALUES)
    assert count > largest  # all of them are tracked


@pytest.mark.parametrize("values", VALUES[::3])
def test_what_has_no_effect_is_not_trained(values):
    """Frozen weights have no effect, and all other weights have one."""
    network = build(values)
    before = answers(network, values)
    frozen = [v for v in network.weights if not v.trainable]
    names = {v.path.split("/")[1] for v in frozen}
    assert ("dense_stem" in names) != values["dense_stream"]
    assert "sparse_head" not in names and "classifier" not in names
    for variable in frozen:
        variable.assign(np.full(variable.shape, 3.0))
    assert_near(answers(network, values), before, 1e-6)
    for variable in network.trainable_variables[::9]:
        kept = to_numpy(variable.value)
        variable.assign(kept + 1.0 + np.arange(kept.shape[-1]))
        assert_differs(answers(network, values), before, 1e-6)
        variable.assign(kept)


def test_what_is_not_selected_changes_nothing(network):
    """Weights of other networks have no effect, whatever their values."""
    values = VALUES[1]
    before, kept = answers(network, values), network.get_weights()
    child = network.part(values)
    conv = network.groups["sparse", 2][0].expansion.kernel
    changed = np.array(conv)
    joined = network.joined(1, {c.name: c.index(values.get(c.name, c.values[0]))
                                 for c in SPACE.choices})  # fmt: skip
    rows = np.setdiff1d(np.arange(changed.shape[3]), joined.rows)
    assert len(rows) and child["sparse_group2_block0_expansion/kernel"].shape[3] == joined.size
    changed[..., rows, :] = 7.0
    conv.assign(changed)
    assert_near(answers(network, values), before, 1e-6)
    changed[..., joined.rows[-1:], :] = 7.0
    conv.assign(changed)
    assert_differs(answers(network, values), before)
    network.set_weights(kept)


def test_soft_selections_are_finite(network):
    soft = {c.name: np.full(len(c.values), 1 / len(c.values), "float32") for c in SPACE.choices}
    assert np.isfinite(to_numpy(run(network, CLIPS, soft, training=False))).all()


def test_half_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = build()
        values = VALUES[0]
        half = answers(network, values)
    finally:
        keras.config.set_dtype_policy("float32")
    full = build()
    full.set_weights(network.get_weights())
    assert_near(half, answers(full, values), 0.2)
    assert all(v.dtype == "float32" for v in network.trainable_variables)


@pytest.mark.parametrize(
    "fixed, message",
    [
        ({"depth": 1}, "fixed: expected names of choices"),
        ({"fusion/group1": "sum"}, "fusion/group1: "),
    ],
)
def test_errors(fixed, message):
    with pytest.raises(ValueError, match=message):
        super_network(SPACE, fixed)
