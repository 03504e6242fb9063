"""The super-network of MoViNets: its children compute the same, in every mode."""

import random

import keras
import numpy as np
import pytest
from keras import ops

pytest.importorskip("keras_tuner")

from keras_video.tuner import super_network  # noqa: E402
from keras_video.tuner.spaces import MoViNetSpace  # noqa: E402
from keras_video.tuner.spaces.choices import active_values, one_hot  # noqa: E402
from keras_video.tuner.spaces.movinet_bases import MoViNetBase  # noqa: E402
from tests.helpers import assert_differs, assert_near, stateless  # noqa: E402

CLIP = (4, 40, 32)
STILL = {"dropout": 0.0, "stochastic_depth": 0.0}


def make_space(**options):
    """A space with a second layer in block 1, and a fourth block that can keep its width."""
    base = MoViNetBase(8, (8, 16, 16, 16, 24), 24, 2, CLIP, 5.0)
    options = {
        "layers": (1, 2, 1, 1, 1), "hidden": 16, "multipliers": (0.5, 1.0), "expansions": (1.0, 2),
        "kernels": ("1x3x3", "3x1x1", "3x3x3"), **STILL, **options,
    }  # fmt: skip
    return MoViNetSpace(base, 5, **options)


def make_network(space, **options):
    """A super-network in which every branch has an effect: biases and scales are not zero."""
    network = super_network(space, **options)
    for i, weight in enumerate(network.weights):
        if not weight.name.endswith("kernel"):
            offset = weight.name in ("gamma", "scale")
            draws = np.random.default_rng(i).standard_normal(weight.shape)
            weight.assign(offset + 0.2 * draws)
    return network


def clips(batch=2, seed=0):
    rng = np.random.default_rng(seed)
    return (255 * rng.random((batch, *CLIP, 3))).astype("float32")


def sample(space, seed):
    rng = random.Random(seed)
    return active_values(space.choices, [rng.randrange(len(c.values)) for c in space.choices])


def compile_call(network):
    """Return a function for the logits of clips and values, compiled once."""

    def call(x, selection):
        return network(x, selection, training=False)

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        call = tf.function(call)
    elif backend == "jax":
        import jax

        call = jax.jit(call)

    def run(x, values, soften=False):
        selection = one_hot(network.choices, values)
        if soften:
            selection = {n: np.full_like(s, 1 / len(s)) for n, s in selection.items()}
        tensors = {name: ops.convert_to_tensor(array) for name, array in selection.items()}
        return to_array(call(ops.convert_to_tensor(x), tensors))

    return run


def to_array(x):
    x = x.detach() if hasattr(x, "detach") else x
    return ops.convert_to_numpy(x)


def with_batch_statistics(model, x):
    if keras.backend.backend() != "jax":
        return to_array(model(ops.convert_to_tensor(x), training=True))
    import jax

    run = jax.jit(lambda values, x: stateless(model, values, (x,), {"training": True})[0])
    return np.asarray(run([v.value for v in model.variables], x))


def prepare(**options):
    """A space, its super-network and the compiled call."""
    space = make_space(**options)
    network = make_network(space)
    return space, network, compile_call(network)


@pytest.fixture(scope="module")
def whole():
    return prepare()


@pytest.mark.parametrize("causal", [False, True])
def test_a_child_computes_what_the_super_network_computes(whole, causal):
    space, network, run = prepare(causal=True) if causal else whole
    outputs, x = [], clips()
    for seed in range(2 if keras.backend.backend() == "jax" else 4):
        values = sample(space, seed)
        # In one child the fourth block keeps its width; the others are random.
        if seed == 0:
            values |= {"block2/filters": 8, "block3/filters": 8}
        outputs.append(run(x, values))
        child = network.child(values)
        assert child.count_params() == space.cost_table("params").of(values)
        assert_near(with_batch_statistics(child, x), outputs[-1], 1e-5)
    assert_differs(outputs[0], outputs[1])


def test_fixed_values_are_compiled_in_and_change_nothing(whole):
    space, network, run = whole
    values, x = sample(space, 1), clips()
    expected = run(x, values)
    some = {name: value for name, value in values.items() if name.endswith(("filters", "kernel"))}
    for fixed in (some, values):
        twin = super_network(space, fixed=fixed)
        assert [w.shape for w in twin.weights] == [w.shape for w in network.weights]
        assert fixed.items() <= twin.fixed.items()
        twin.set_weights(network.get_weights())
        assert_near(compile_call(twin)(x, values), expected, 1e-5)
    with pytest.raises(ValueError, match="block0/filters: expected one of .*got 7"):
        super_network(space, fixed={"block0/filters": 7})
    with pytest.raises(ValueError, match="fixed: expected names of choices"):
        super_network(space, fixed={"width": 8})


def test_recomputing_and_summing_change_nothing(whole):
    space, network, run = whole
    values, x = sample(space, 2), clips()
    expected = run(x, values)
    twin = super_network(space, remat=True, mode="sum")
    twin.set_weights(network.get_weights())
    run_twin = compile_call(twin)
    assert_near(run_twin(x, values), expected, 1e-5)
    mixed = run(x, values, soften=True)
    assert_near(run_twin(x, values, soften=True), mixed, 1e-5)
    assert_differs(mixed, expected)


class Drawn(keras.Model):
    """A super-network with one selection, for training with `fit`."""

    def __init__(self, network, values):
        super().__init__()
        self.network, self.values = network, values

    def call(self, x, training=None):
        selection = one_hot(self.network.choices, self.values)
        selection = {name: ops.convert_to_tensor(array) for name, array in selection.items()}
        return self.network(x, selection, training=training)


@pytest.mark.filterwarnings("ignore:Gradients do not exist")  # of what fixed values exclude
@pytest.mark.parametrize("remat", [False, True])
def test_training_reaches_the_selected_weights_alone(remat):
    space = make_space()
    values = sample(space, 3) | {"block1/layers": 1, "block0/layer0/kernel": "1x3x3"}
    # Only the first two blocks are searched, which keeps the graph small.
    fixed = {n: v for n, v in values.items() if n.startswith(("block2", "block3", "block4"))}
    network = make_network(space, remat=remat, fixed=fixed)
    before = {weight.path: to_array(weight.value) for weight in network.weights}
    model = Drawn(network, {n: v for n, v in values.items() if "layer1" not in n})
    jit = keras.backend.backend() == "jax"
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss, jit_compile=jit)
    model.train_on_batch(clips(), np.array([0, 3]))
    changed = {
        weight.path: np.any(to_array(weight.value) != before[weight.path])
        for weight in network.weights
    }
    assert not any(change for path, change in changed.items() if "block1_layer1" in path)
    assert all(change for path, change in changed.items() if path.endswith("expansion/kernel")
               and "block1_layer1" not in path)  # fmt: skip
    kernels = [path for path in changed if "block0_layer0/feature/family" in path]
    assert sum(changed[path] for path in kernels) == 1 < len(kernels)
    assert all("/" not in weight.name for weight in network.weights)


def test_half_precision(whole):
    space, full, run = whole
    half = super_network(space, dtype="mixed_bfloat16")
    half.set_weights(full.get_weights())
    assert {weight.dtype for weight in half.weights} == {"float32"}
    values, x = sample(space, 0), clips()
    expected, found = run(x, values), compile_call(half)(x, values)
    assert found.dtype == np.float32  # logits
    assert_near(found, expected, 0.1)
    assert_differs(found, expected, 1e-5)
