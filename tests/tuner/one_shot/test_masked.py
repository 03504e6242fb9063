"""Masked layers compared with plain layers that have the selected part of their weights."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_video.layers import DepthwiseConv3D, SqueezeExcite, VideoConv3D
from keras_video.tuner.one_shot.masked import (
    BottleneckOptions,
    MaskedBottleneck,
    MaskedConv3D,
    MaskedDepthwise3D,
    MaskedSqueezeExcite,
    Picked,
    Width,
    fit,
    pick,
    pick_width,
)
from keras_video.tuner.one_shot.masked.depthwise import families, one_of
from tests.helpers import assert_differs, assert_near, gradients, random_array

KERNELS = ((1, 3, 3), (1, 5, 5), (3, 1, 1), (5, 1, 1), (3, 3, 3))


def compute(function, *arrays):
    """Return `function(*arrays)` as an array; compiled on JAX, where that is faster."""
    arrays = [ops.convert_to_tensor(array) for array in arrays]
    if keras.backend.backend() == "jax":
        import jax

        function = jax.jit(function)
    if keras.backend.backend() == "torch":
        import torch

        with torch.no_grad():
            return ops.convert_to_numpy(ops.cast(function(*arrays), "float32"))
    return ops.convert_to_numpy(ops.cast(function(*arrays), "float32"))


def filled(layer):
    """Build a layer and fill it with random numbers, except kernels, whose zeros must stay."""
    layer.build()
    for i, weight in enumerate(layer.weights):
        if not weight.name.endswith("kernel"):
            offset = weight.name in ("gamma", "scale")
            weight.assign(offset + 0.3 * random_array(weight.shape, seed=i))
    return layer


def plain(layer, part, x):
    """Return the result of a plain layer with these weights and batch statistics."""
    layer.build(x.shape)
    for weight in layer.weights:
        if weight.name in part:
            weight.assign(part[weight.name])
    unknown = set(part) - {weight.name for weight in layer.weights}
    assert not unknown
    return compute(lambda x: layer(x, training=True), x)


def one_hot(index, count):
    return ops.convert_to_tensor(np.eye(count, dtype="float32")[index])


def masked_input(shape, channels):
    x = random_array(shape)
    x[..., channels:] = 0.0
    return x


def test_widths():
    assert pick((8, 16), 1) == 16 and pick_width((8, 16), 0) == Width(8)
    assert pick_width((8, 8), one_hot(0, 2)) == Width(8)
    assert float(pick((8, 16), ops.convert_to_tensor([0.25, 0.75]))) == 14.0
    width = pick_width((3, 5, 4), one_hot(2, 3))
    assert width.size == 5 and ops.convert_to_numpy(width.mask).tolist() == [1, 1, 1, 1, 0]
    x = random_array((2, 1, 1, 1, 4))
    np.testing.assert_array_equal(ops.convert_to_numpy(fit(x, 6))[..., 4:], 0)
    np.testing.assert_array_equal(fit(x, 3), x[..., :3])


def test_families_cost_no_more_than_their_largest():
    kernels = ((1, 3, 3), (1, 5, 5), (1, 7, 7), (5, 1, 1), (7, 1, 1), (3, 3, 3), (5, 3, 3))
    found = families(kernels)
    assert {family.box: set(family.members) for family in found} == {
        (1, 7, 7): {0, 1, 2}, (7, 1, 1): {3, 4}, (5, 3, 3): {5, 6}
    }  # fmt: skip
    family = next(f for f in found if f.box == (5, 3, 3))
    small = family.members.index(5)
    assert family.place(small, "same")[0] == slice(1, 4)
    assert family.place(small, "causal")[0] == slice(2, 5)
    assert family.cells("same").sum(axis=(1, 2, 3, 4, 5)).tolist() == [45, 27]
    # Nothing lies within the other: as many families as kernels.
    assert len(families([(1, 5, 5), (3, 3, 3)])) == 2


@pytest.mark.parametrize("batch_norm", [True, False])
def test_convolution(batch_norm):
    options = {"batch_norm": batch_norm, "activation": "swish"}
    layer = filled(MaskedConv3D(8, 12, (1, 3, 3), (1, 2, 2), **options))
    x = masked_input((2, 3, 6, 5, 8), 6)
    twin = VideoConv3D(9, (1, 3, 3), (1, 2, 2), use_bias=False, **options)
    expected = plain(twin, layer.part(6, 9), x[..., :6])
    found = compute(lambda x, chosen: layer(x, width=pick_width((9, 12), chosen)), x, one_hot(0, 2))
    assert_near(found[..., :9], expected)
    assert found.shape[-1] == 12 and not found[..., 9:].any()
    fixed = compute(lambda x: layer(x, width=Width(9)), x[..., :6])
    assert_near(fixed, expected)


@pytest.mark.parametrize(
    ("padding", "strides", "kernel"),
    [("same", (1, 2, 2), 0), ("same", (1, 2, 2), 3), ("causal", 1, 2), ("symmetric", (1, 2, 2), 4)],
)  # fmt: skip
def test_depthwise(padding, strides, kernel):
    x = masked_input((2, 4, 6, 5, 4), 3)
    twin = DepthwiseConv3D(KERNELS[kernel], strides, padding, batch_norm=True, activation="swish")
    mode = "sum" if kernel == 2 else "switch"
    layer = filled(MaskedDepthwise3D(4, KERNELS, strides, padding, activation="swish", mode=mode))
    expected = plain(twin, layer.part(kernel, 3), x[..., :3])
    run = lambda x, chosen: layer(x, width=mask3(), kernel=chosen)  # noqa: E731
    found = compute(run, x, one_hot(kernel, len(KERNELS)))
    assert_near(found[..., :3], expected)
    assert not found[..., 3:].any()
    assert_near(compute(lambda x: layer(x, width=Width(3), kernel=kernel), x[..., :3]), expected)


def mask3():
    """Select three of four channels."""
    return Width(4, ops.convert_to_tensor([1.0, 1.0, 1.0, 0.0]))


def test_each_kernel_has_weights_of_its_own():
    layer = filled(MaskedDepthwise3D(4, KERNELS))
    small, large = layer.part(0, 4)["kernel"], layer.part(1, 4)["kernel"]
    assert small.shape == (1, 3, 3, 1, 4) and large.shape == (1, 5, 5, 1, 4)
    assert_differs(small, large[:, 1:4, 1:4])
    # Each kernel is initialized as if it were alone.
    assert 0.1 < np.std(large) / np.sqrt(2 / 25) < 1.6
    spare = [w for w in layer.weights if w.shape[1:4] == (1, 5, 5)][0]
    assert np.count_nonzero(ops.convert_to_numpy(spare)) == 4 * (25 + 9)


def test_a_mixture_is_the_mean_of_the_results():
    layer = filled(MaskedDepthwise3D(4, KERNELS, batch_norm=False))
    x = random_array((2, 4, 6, 5, 4))
    soft = np.full(len(KERNELS), 1 / len(KERNELS), "float32")
    run = lambda x, chosen: layer(x, width=Width(4), kernel=chosen)  # noqa: E731
    found, *single = compute(
        lambda x, *chosen: ops.stack([run(x, c) for c in chosen]),
        x,
        soft,
        *np.eye(5, dtype="float32"),
    )
    assert_near(found, np.mean(single, axis=0))
    assert_differs(found, single[0])


class Selected(keras.layers.Layer):
    """A depthwise layer with a selection, for which gradients can be computed."""

    def __init__(self, mode, selection, **kwargs):
        super().__init__(**kwargs)
        self.inner = filled(MaskedDepthwise3D(4, KERNELS, (1, 2, 2), mode=mode))
        self.selection = selection
        self.built = True

    def call(self, x):
        def run(x):
            selection = ops.convert_to_tensor(self.selection)
            return self.inner(x, width=mask3(), kernel=selection)

        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            run = tf.function(
                run
            )  # as in training; eagerly the gradient is missing instead of zero
        return run(x)


def test_only_what_is_selected_learns():
    """Both modes have the same gradients, which are zero for weights that are not selected."""
    x, weight = random_array((2, 4, 6, 5, 4)), random_array((2, 4, 3, 3, 4), 1)
    selection = np.eye(len(KERNELS), dtype="float32")[2]
    layers = [Selected(mode, selection) for mode in ("switch", "sum")]
    layers[1].set_weights(layers[0].get_weights())
    (args, found), (other_args, others) = (gradients(m, x, weight=weight) for m in layers)
    assert_near([*args, *found], [*other_args, *others])
    inner = layers[0].inner
    for gradient, variable in zip(found, layers[0].trainable_variables, strict=True):
        gradient = np.asarray(gradient)
        assert not gradient[..., 3:].any()
        if "family" not in variable.name:
            assert gradient[..., :3].all()
            continue
        family = inner.families[int(variable.name[6])]
        for member, kernel in enumerate(family.members):
            there = gradient[(member, *family.place(member, "same"))][..., :3]
            assert there.any() == (kernel == 2)
            assert np.count_nonzero(gradient[member]) == np.count_nonzero(there)


@pytest.mark.parametrize(("squeeze", "causal"), [("3d", False), ("2plus3d", True), ("2d", False)])
def test_squeeze_excite(squeeze, causal):
    layer = filled(MaskedSqueezeExcite(8, 4, squeeze, causal))
    x = masked_input((2, 4, 3, 3, 8), 6)
    part = layer.part(6, 3)
    expected = plain_attention(SqueezeExcite(3, squeeze, causal), part, x[..., :6])
    run = lambda x, chosen, share: layer(  # noqa: E731
        x, hidden=pick_width((3, 4), chosen), share=share
    )
    found = compute(run, x, one_hot(0, 2), np.float32(1))
    assert_near(found[..., :6], expected)
    assert not found[..., 6:].any()
    assert_near(compute(run, x, one_hot(0, 2), np.float32(0)), x)
    fixed = compute(lambda x: layer(x, hidden=Width(3)), x[..., :6])
    assert_near(fixed, expected)


def plain_attention(layer, part, x):
    layer.build(x.shape)
    for weight in layer.weights:
        weight.assign(part[weight.name])
    return compute(layer, x)


def bottleneck(strides=(1, 2, 2), **options):
    from keras_video.applications.movinet import Variant

    chosen = BottleneckOptions((8, 12), (16, 24), KERNELS, (True, False))
    return MaskedBottleneck(8, chosen, Variant(), strides, projected=True, **options)


def test_a_layer_that_is_not_there_and_one_that_only_gets_wider():
    x = random_array((2, 3, 6, 5, 8))
    layer = filled(bottleneck((1, 1, 1)))
    run = lambda x, active, identity: layer(  # noqa: E731
        x, picked=Picked(Width(12), 1, 3, 0, active, identity)
    )
    wide = np.concatenate([x, np.zeros((2, 3, 6, 5, 4), "float32")], axis=-1)
    assert_near(compute(run, x, np.float32(0), np.float32(1)), wide)
    half = compute(run, x, np.float32(0.5), np.float32(1)) - wide
    whole = compute(run, x, np.float32(1), np.float32(1)) - wide
    assert_near(2 * half, whole)
    assert_differs(compute(run, x, np.float32(0), np.float32(0)), wide)


def test_half_precision():
    x = random_array((2, 3, 6, 5, 8))
    full, half = (filled(bottleneck(dtype=dtype)) for dtype in ("float32", "mixed_bfloat16"))
    half.set_weights(full.get_weights())
    assert {weight.dtype for weight in half.weights} == {"float32"}
    picked = Picked(Width(8), one_hot(1, 2), one_hot(4, len(KERNELS)), one_hot(0, 2))
    expected, found = (compute(lambda x, b=b: b(x, picked=picked), x) for b in (full, half))
    assert half.compute_dtype == "bfloat16"
    assert_near(found, expected, 0.04)
    assert_differs(found, expected, 1e-5)


def test_names_of_weights_have_no_slash():
    layer = filled(bottleneck())
    assert all("/" not in weight.name for weight in layer.weights)
    assert len({weight.path for weight in layer.weights}) == len(layer.weights)


def test_wrong_arguments():
    with pytest.raises(ValueError, match="mode: expected one of .*got 'fast'"):
        MaskedDepthwise3D(4, KERNELS, mode="fast")
    with pytest.raises(ValueError, match="kernels: expected odd extents"):
        MaskedDepthwise3D(4, [(1, 2, 2)])
    with pytest.raises(ValueError, match="mode"):
        one_of([None, None], [0, 1], (None, [None, None]), mode="best")
