"""Helpers of all tests: comparisons, small models, and the checks of every layer.

Call `run_layer_test` and `run_streaming_test` directly, with the layer class by name:
`tests/layers/test_nothing_untested.py` reads the calls and finds layers without one.
"""

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops, tree

# What commands do with a network depends on no backend, and published ones compile for long.
command_line = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="commands are tested on TensorFlow"
)
TOLERANCE = 1e-5  # of float32 against float64, relative to the largest value
HALF_TOLERANCE = 0.04  # of bfloat16, which has 8 bits


def random_array(shape, seed=0):
    """Return normal numbers in float32."""
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def to_numpy(structure):
    """Return a structure of backend tensors as NumPy arrays, bfloat16 as float32."""

    def convert(x):
        if keras.backend.standardize_dtype(x.dtype) == "bfloat16":
            x = ops.cast(x, "float32")
        return ops.convert_to_numpy(x)

    return tree.map_structure(convert, structure)


def to_tensors(structure):
    return tree.map_structure(ops.convert_to_tensor, structure)


def assert_near(actual, expected, tolerance=TOLERANCE):
    """Compare two structures; the tolerance is relative to the largest expected value, or to 1."""
    tree.assert_same_structure(actual, expected)
    for a, b in zip(tree.flatten(actual), tree.flatten(expected), strict=True):
        a, b = np.asarray(a, "float64"), np.asarray(b, "float64")
        assert a.shape == b.shape
        assert np.isfinite(a).all()
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(1.0, np.abs(b).max()))


def assert_differs(actual, expected, least=1e-3):
    """Check that two structures differ: the control of a comparison."""
    pairs = zip(tree.flatten(actual), tree.flatten(expected), strict=True)
    assert max(np.abs(np.asarray(a) - np.asarray(b)).max() for a, b in pairs) > least


def run(layer, *args, **kwargs):
    """Compute `layer(*args)` of arrays, without gradients.

    On JAX the call is compiled as a whole, because JAX compiles every operation of a new shape.
    """
    args = to_tensors(args)
    backend = keras.backend.backend()
    if backend == "torch":
        import torch

        with torch.no_grad():
            return layer(*args, **kwargs)
    if backend != "jax":
        return layer(*args, **kwargs)
    import jax

    if not layer.built:
        layer(*tree.map_structure(lambda x: keras.KerasTensor(x.shape, x.dtype), args))
    steps = vars(layer).setdefault("_steps_of_tests", {})
    key = tuple(sorted(kwargs.items()))
    if key not in steps:
        steps[key] = jax.jit(lambda values, args: stateless(layer, values, args, kwargs))
    outputs, values = steps[key]([v.value for v in layer.variables], args)
    for variable, value in zip(layer.variables, values, strict=True):
        variable.assign(value)
    return outputs


def stateless(layer, values, args, kwargs):
    """Compute `layer(*args)` with other values of its variables; return also the new values.

    `Layer.stateless_call` does not cast its inputs, as `__call__` does.
    """
    with keras.StatelessScope(list(zip(layer.variables, values, strict=True))) as scope:
        outputs = layer(*args, **kwargs)
    return outputs, [scope.get_current_value(v) for v in layer.variables]


def gradients(layer, *args, weight, **kwargs):
    """Return the gradients of `sum(weight * layer(*args))` for `(args, trainable variables)`.

    Args:
        weight: array of the shape of the outputs.
    """
    args, weight = to_tensors(list(args)), ops.convert_to_tensor(weight)
    variables = layer.trainable_variables
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(args)
            loss = ops.sum(weight * layer(*args, **kwargs))
        found = tape.gradient(loss, [args, [v.value for v in variables]])
    elif backend == "jax":
        import jax

        values = {v.path: v.value for v in layer.variables}

        def loss_of(args, some):
            outputs, _ = stateless(layer, (values | some).values(), args, kwargs)
            return ops.sum(weight * outputs)

        trainable = {v.path: v.value for v in variables}
        found = jax.jit(jax.grad(loss_of, argnums=(0, 1)))(args, trainable)
        found = (found[0], [found[1][v.path] for v in variables])
    else:
        import torch

        args = [x.clone().requires_grad_() for x in args]
        loss = ops.sum(weight * layer(*args, **kwargs))
        flat = torch.autograd.grad(loss, args + [v.value for v in variables])
        found = (list(flat[: len(args)]), list(flat[len(args) :]))
    return to_numpy(found)


def randomize_weights(model, seed=0):
    """Give every weight a random value that keeps the outputs of a deep network in range.

    Batch norm statistics, biases and residual scales are included. With their initial zeros and
    ones, a wrong computation may give the right numbers.
    """
    for i, variable in enumerate(model.weights):
        n = np.random.default_rng([seed, i]).standard_normal(variable.shape)
        kind = variable.name
        if kind.endswith("kernel"):
            value = n * np.sqrt(2.0 / np.prod(variable.shape[:-1]))
        elif kind.endswith("variance"):
            value = 0.5 + np.abs(n)
        elif kind.endswith("gamma"):
            value = 1.0 + 0.2 * n
        elif kind.endswith("scale"):
            value = 0.7 + 0.2 * n
        elif kind.endswith(("bias", "beta", "mean")):
            value = 0.3 * n
        else:
            raise ValueError(f"How to randomise {variable.path}?")
        variable.assign(value.astype("float32"))
    return model


def run_layer_test(layer_cls, init_kwargs, input_shape, expected_shape=None):
    """Check what every layer must do.

    Its config survives JSON; it is loaded without custom objects; symbolic shapes are those of
    real outputs, also where extents are unknown; it computes in float32 and in mixed_bfloat16; a
    training step reaches all of its weights, and what lies before it; a model with it is the same
    after saving and loading.

    Args:
        layer_cls: subclass of `keras.layers.Layer`.
        init_kwargs: dict, arguments of the layer.
        input_shape: tuple with the batch.
        expected_shape: tuple, shape of the outputs.

    Returns:
        The layer, with randomised weights.
    """
    layer = layer_cls(**init_kwargs)
    _check_config(layer, init_kwargs)
    x = random_array(input_shape)
    symbolic = layer(keras.KerasTensor(input_shape))
    randomize_weights(layer)
    outputs = run(layer, x)
    assert keras.backend.standardize_dtype(outputs.dtype) == "float32"
    assert symbolic.dtype == "float32"
    assert tuple(symbolic.shape) == tuple(outputs.shape) == (expected_shape or symbolic.shape)
    _check_open_shapes(layer, input_shape, outputs.shape)
    outputs = to_numpy(outputs)

    half = layer_cls(**init_kwargs, dtype="mixed_bfloat16")
    half_outputs = _like(half, layer, input_shape)
    half_outputs = run(half, x)
    assert keras.backend.standardize_dtype(half_outputs.dtype) == "bfloat16"
    assert {v.dtype for v in half.weights} <= {"float32"}
    assert_near(to_numpy(half_outputs), outputs, HALF_TOLERANCE)

    _check_saving(layer, x, outputs)
    _check_training(layer_cls, init_kwargs, x, outputs.shape)
    return layer


def _like(layer, other, input_shape):
    layer(keras.KerasTensor(input_shape))
    layer.set_weights(other.get_weights())
    return layer


def _check_config(layer, init_kwargs):
    cls = type(layer)
    assert "call" in dir(cls) and cls.__doc__
    config = layer.get_config()
    for argument, value in init_kwargs.items():
        assert argument in config, f"{cls.__name__}.get_config() forgets {argument!r}"
        if isinstance(value, (bool, int, float, str)) and "initializer" not in argument:
            assert config[argument] in (value, (value,) * 3)
    serialized = json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
    assert serialized["registered_name"] == f"keras_video>{cls.__name__}"
    for twin in (cls.from_config(config), keras.saving.deserialize_keras_object(serialized)):
        assert type(twin) is cls
        assert json.dumps(twin.get_config()) == json.dumps(config)


def _check_open_shapes(layer, input_shape, output_shape):
    """Call the layer with unknown batch, frames, height and width; known extents must be right."""
    for unknown in [(0,), (1,), (2, 3), tuple(range(len(input_shape) - 1))]:
        unknown = [axis for axis in unknown if axis < len(input_shape) - 1]
        shape = [None if axis in unknown else n for axis, n in enumerate(input_shape)]
        symbolic = layer(keras.KerasTensor(shape)).shape
        assert len(symbolic) == len(output_shape)
        for n, expected in zip(symbolic, output_shape, strict=True):
            assert n is None or n == expected
        assert sum(n is None for n in symbolic) <= len(unknown)


def _check_saving(layer, x, outputs):
    """Save and load a Functional model of unknown shape; on TensorFlow, also trace its graph."""
    inputs = keras.Input((None,) * (x.ndim - 2) + x.shape[-1:])
    model = keras.Model(inputs, layer(inputs))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        loaded = keras.saving.load_model(path)
    assert_near(to_numpy(run(loaded, x)), outputs, 1e-6)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        spec = tf.TensorSpec((None,) * (x.ndim - 1) + x.shape[-1:])
        assert_near(to_numpy(tf.function(loaded, input_signature=[spec])(x)), outputs)


def _check_training(layer_cls, init_kwargs, x, output_shape):
    """Check that one step changes all trainable weights of the layer and of the layer before it."""
    layer = layer_cls(**init_kwargs)
    inputs = keras.Input(batch_shape=x.shape)
    before = keras.layers.Dense(x.shape[-1], use_bias=False)
    model = keras.Model(inputs, layer(before(inputs)))
    randomize_weights(model)
    old = [ops.convert_to_numpy(v) for v in model.trainable_variables]
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=_jit_compile())
    loss = model.train_on_batch(x, random_array(output_shape, 1))
    assert np.isfinite(np.asarray(loss)).all()
    for variable, value in zip(model.trainable_variables, old, strict=True):
        new = ops.convert_to_numpy(variable)
        assert np.isfinite(new).all()
        assert np.any(new != value), f"no gradient reaches {variable.path}"


def few_steps():
    """Arguments of `Model.compile` for a few steps of a deep network.

    TensorFlow would trace half a minute for steps that take a second without a graph; on JAX it is
    the other way round. That gradients come out of graphs as well is shown by `run_layer_test` for
    each layer, and for whole networks by the tests of `fit` and of training.
    """
    backend = keras.backend.backend()
    return {"run_eagerly": backend == "tensorflow", "jit_compile": backend == "jax"}


def _jit_compile():
    # What "auto" chooses on machines without GPU; torch would call a C++ compiler.
    return keras.backend.backend() == "jax"


# JAX compiles every length.
CHUNKINGS = [(1,) * 6, (3, 1, 1, 1), (1, 3, 1, 1)]
if keras.backend.backend() != "jax":
    CHUNKINGS += [(2, 1, 3), (6,), (3, 2, 1)]


def run_streaming_test(
    layer,
    input_shape,
    chunkings=CHUNKINGS,
    frames_of=lambda outputs: outputs,
    order_matters=True,
):
    """Check what every streaming layer must do.

    With all weights randomised: chunks of any length give the frames of the whole clip, and
    exchanged frames do not; the state keeps its structure, shapes and dtypes, float32 also under
    mixed_bfloat16; a sample whose state is set to zero starts afresh while others go on; a state of
    another batch or frame size is refused.

    Args:
        layer: `StreamingLayer`.
        input_shape: tuple `(2, 6, ...)` with the batch.
        chunkings: lengths of the pieces that the clip is fed in.
        frames_of: function that takes the outputs of one call to those that belong to its frames;
            `None` for a layer with one output per call, of which the last is compared.
        order_matters: bool; whether the outputs depend on the order of the frames.
    """
    batch, frames = input_shape[:2]
    assert batch == 2 and all(sum(lengths) == frames for lengths in chunkings)
    layer(keras.KerasTensor(input_shape))
    randomize_weights(layer)
    x = random_array(input_shape)
    zeros = layer.init_state(input_shape)
    expected = to_numpy(run(layer, x))

    for lengths in chunkings:
        outputs, state = _feed(layer, x, lengths)
        assert_near(_frames(outputs, frames_of), _frames([expected], frames_of))
        _check_state_form(state, zeros)

    # The control: exchange the first frame with the fourth.
    swapped = x[:, [3, 1, 2, 0, *range(4, frames)]]
    if not order_matters:
        swapped[:, 0] += 1.0
    outputs, _ = _feed(layer, swapped, chunkings[1])
    assert_differs(_frames(outputs, frames_of), _frames([expected], frames_of))

    _check_symbolic_state(layer, input_shape, zeros)
    _check_slots(layer, x, frames_of)
    _check_foreign_states(layer, x, zeros)
    _check_half(layer, x, frames_of)
    if keras.backend.backend() == "tensorflow":
        _check_open_graph(layer, x, chunkings[1], expected, frames_of)


def _frames(outputs, frames_of):
    if frames_of is None:
        return outputs[-1]
    return np.concatenate([frames_of(y) for y in outputs], axis=1)


def _feed(layer, x, lengths, state=None, step=None):
    """Feed a clip in pieces; return the outputs of each as NumPy arrays, and the last state."""
    step = step or (lambda piece, state: run(layer, piece, state))
    state = layer.init_state(x.shape) if state is None else state
    outputs = []
    for piece in np.split(x, np.cumsum(lengths)[:-1], axis=1):
        y, state = step(ops.convert_to_tensor(piece), state)
        outputs.append(to_numpy(y))
    return outputs, state


def _check_state_form(state, like):
    tree.assert_same_structure(state, like)
    for new, old in zip(tree.flatten(state), tree.flatten(like), strict=True):
        assert tuple(new.shape) == tuple(old.shape)
        assert new.dtype == old.dtype


def _check_symbolic_state(layer, input_shape, zeros):
    """Check that the state keeps its form in a Functional graph of unknown batch and frames."""
    open_shape = (None, None, *input_shape[2:])
    spec = tree.map_structure(
        lambda s: keras.Input(batch_shape=s.shape, dtype=s.dtype), layer.state_spec(open_shape)
    )
    _, state = layer(keras.Input(batch_shape=open_shape), spec)
    tree.assert_same_structure(state, zeros)
    for new, old in zip(tree.flatten(state), tree.flatten(spec), strict=True):
        assert tuple(new.shape) == tuple(old.shape) and new.dtype == old.dtype
        assert new.dtype in ("float32", "int32")


def _check_slots(layer, x, frames_of):
    """Check that zeros in the state of sample 1 restart it and do not change sample 0."""
    half = x.shape[1] // 2
    _, state = _feed(layer, x[:, :half], [half])
    going_on, _ = _feed(layer, x[:, half:], [half], state)
    afresh, _ = _feed(layer, x[:, half:], [half])
    masked = to_tensors(tree.map_structure(restart_second, to_numpy(state)))
    outputs, _ = _feed(layer, x[:, half:], [half], masked)
    going_on, afresh, outputs = (_frames(y, frames_of) for y in (going_on, afresh, outputs))
    assert_near(outputs[0], going_on[0], 1e-6)
    assert_near(outputs[1], afresh[1], 1e-6)
    assert_differs(going_on[1], afresh[1])


def restart_second(array):
    """Return the state of two samples with zeros for the second."""
    return array * np.array([1, 0], array.dtype).reshape((2,) + (1,) * (array.ndim - 1))


def _check_foreign_states(layer, x, zeros):
    foreign = [layer.init_state((x.shape[0] + 1, *x.shape[1:])), (zeros, zeros)]
    if x.ndim == 5:
        other = layer.init_state((*x.shape[:2], x.shape[2] + 1, *x.shape[3:]))
        sizes = [[s.shape for s in tree.flatten(state)] for state in (other, zeros)]
        foreign += [other] if sizes[0] != sizes[1] else []
    for state in foreign:
        with pytest.raises(ValueError, match="state: .*expected .*got"):
            layer(ops.convert_to_tensor(x), state)


def _check_half(layer, x, frames_of):
    """Check that under mixed_bfloat16 the state is float32 and the outputs are near those above."""
    lengths = [x.shape[1] // 2] * 2
    config = {**layer.get_config(), "dtype": "mixed_bfloat16"}
    half = _like(type(layer).from_config(config), layer, x.shape)
    zeros = half.init_state(x.shape)
    _check_state_form(zeros, layer.init_state(x.shape))
    outputs, state = _feed(half, x, lengths)
    _check_state_form(state, zeros)
    kinds = {keras.backend.standardize_dtype(s.dtype) for s in tree.flatten(state)}
    assert kinds <= {"float32", "int32"}
    expected, expected_state = _feed(layer, x, lengths)
    assert_near(to_numpy(state), to_numpy(expected_state), HALF_TOLERANCE)
    assert_near(_frames(outputs, frames_of), _frames(expected, frames_of), HALF_TOLERANCE)


def _check_open_graph(layer, x, lengths, expected, frames_of):
    """Trace a TensorFlow graph once, for any number of frames."""
    import tensorflow as tf

    batch, _, *rest = x.shape
    state = layer.init_state(x.shape)
    signature = [
        tf.TensorSpec((batch, None, *rest)),
        tree.map_structure(lambda s: tf.TensorSpec(s.shape, s.dtype), state),
    ]
    step = tf.function(lambda x, state: layer(x, state), input_signature=signature)
    outputs, _ = _feed(layer, x, lengths, step=step)
    assert_near(_frames(outputs, frames_of), _frames([expected], frames_of))


def tiny_config(**options):
    """Return a MoViNet of three layers: a strided one, a temporal one, and a wider one."""
    from keras_video.applications.movinet.config import Bottleneck, MoViNetConfig, Variant

    return MoViNetConfig(
        "movinet_tiny",
        clip=(6, 40, 32, 3),
        frame_rate=5.0,
        resize_side=48,
        stem=8,
        project=24,
        hidden=16,
        stages=(
            (Bottleneck(8, 16, (1, 5, 5), (1, 2, 2)), Bottleneck(8, 24, (3, 3, 3))),
            (Bottleneck(16, 24, (5, 3, 3)),),
        ),
        variant=Variant(**{"stochastic_depth": 0.0, "dropout": 0.0, **options}),
    )


STREAM = {
    "causal": True,
    "conv": "2plus1d",
    "squeeze": "2plus3d",
    "activation": "hard_swish",
    "gate": "hard_sigmoid_keras2",
}


def tiny_model(streaming=False, classes=5, seed=0, **options):
    """Build the network of `tiny_config` with randomised weights, for pixels in [0, 1].

    Args:
        **options: fields of `Variant`, or other arguments of `MoViNet`.
    """
    from keras_video.applications.movinet import MoViNet, Variant

    variant = {k: options.pop(k) for k in list(options) if hasattr(Variant, k)}
    options = {"include_preprocessing": False, **options}
    model = MoViNet(tiny_config(**variant), classes=classes, streaming=streaming, **options)
    return randomize_weights(model, seed)


def small_model(streaming=False, classes=5, seed=0, **options):
    """Build a MoViNet of one layer, with every kind of state: quicker to compile than `tiny_model`.

    Args:
        streaming, classes, seed, options: as in `tiny_model`.
    """
    from keras_video.applications.movinet import MoViNet, Variant

    variant = {k: options.pop(k) for k in list(options) if hasattr(Variant, k)}
    options = {"include_preprocessing": False, **options}
    model = MoViNet(small_config(**variant), classes=classes, streaming=streaming, **options)
    return randomize_weights(model, seed)


def small_config(**options):
    """Return the config of `small_model`; the options are fields of `Variant`."""
    from keras_video.applications.movinet.config import Bottleneck

    stages = ((Bottleneck(8, 12, (3, 3, 3), (1, 2, 2)),),)
    return replace(tiny_config(**options), stages=stages, project=16, hidden=12)


def random_video(shape=(2, 6, 40, 32, 3), seed=0):
    """Return noise in [0, 1] whose colour changes from frame to frame."""
    random = np.random.default_rng(seed)
    colours = random.random((*shape[:2], 1, 1, shape[-1]), dtype="float32")
    return colours * random.random(shape, dtype="float32")
