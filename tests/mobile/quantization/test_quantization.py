"""Quantized forms: where values are rounded, which ranges are chosen, and training for int8."""

import json

import keras
import numpy as np
import pytest
from keras import ops

from keras_video.layers import CumulativeAvgPool, VideoConv3D
from keras_video.mobile import mobile_form, quantize_aware
from keras_video.mobile.primitives import RunningMean
from keras_video.mobile.quantization.after_training import (
    deployed_int8,
    fewest_float_layers,
    loss,
)
from keras_video.mobile.quantization.aware import deploy, is_quantize_aware
from keras_video.mobile.quantization.calibration import (
    calibrate,
    seen_by_hard_swish,
    with_open_ranges,
)
from keras_video.mobile.quantization.fake_quantization import FakeQuantize, round_kernel
from keras_video.mobile.quantization.forms import (
    clip_form,
    file_form,
    kept_layers,
    predictions,
    source_layers,
    with_ranges,
)
from keras_video.mobile.quantization.insertion import (
    RunningMeanAgain,
    after_the_clip,
    insert,
    int8_kernels,
    ranges_of,
)
from keras_video.mobile.quantization.noise_report import noise_report
from keras_video.mobile.rewriting import Graph
from tests.helpers import (
    STREAM,
    assert_differs,
    assert_near,
    random_array,
    random_video,
    randomize_weights,
    run,
    tiny_model,
    to_numpy,
)
from tests.mobile.test_rewriting import assert_same_form, roll

pytestmark = pytest.mark.usefixtures("without_graphs")
CLIPS = random_video((4, 6, 40, 32, 3))
SHAPE = CLIPS.shape[1:]
NOISE = 0.05  # of rounding, relative to the largest prediction


@pytest.fixture(scope="module")
def model():
    return tiny_model(streaming=True, input_shape=(None, *SHAPE[1:]), **STREAM)


@pytest.fixture(scope="module")
def form(model):
    return clip_form(model, SHAPE[0])


@pytest.fixture(scope="module")
def ranges(form):
    return calibrate(form, CLIPS, pixels=1, every_frame=True)


@pytest.fixture(scope="module")
def quantized(form, ranges):
    return with_ranges(form, ranges)


@pytest.fixture(scope="module")
def step(model, ranges):
    """The stream form with the ranges of the clip form."""
    return with_ranges(file_form(model, stream=True), ranges)


def limits_of(network):
    return {name: layer.get_limits() for name, layer in ranges_of(network).items()}


def test_rounding_changes_predictions_a_little(form, quantized):
    exact, rounded = predictions(form, CLIPS), predictions(quantized, CLIPS)
    assert_near(rounded, exact, NOISE)
    assert_differs(rounded, exact, 1e-4)


def test_without_rounding_the_copy_is_the_form(form, ranges):
    class Nothing(keras.layers.Layer):
        def call(self, inputs):
            return inputs

    copy = insert(form, lambda name: Nothing(name=name))
    assert_near(predictions(copy, CLIPS), predictions(form, CLIPS))


def test_kernels_are_rounded_once(form, quantized):
    for layer in int8_kernels(quantized):
        kernel, bias = layer.get_weights()
        exact, exact_bias = form.get_layer(layer.name).get_weights()
        axis = 2 if isinstance(layer, keras.layers.DepthwiseConv2D) else 3
        assert_near(kernel, to_numpy(round_kernel(exact, axis)), 1e-6)
        assert not np.array_equal(kernel, exact) and np.array_equal(bias, exact_bias)


def test_every_computation_in_int8_has_ranges_around_it(model, quantized, ranges):
    names = set(ranges_of(quantized))
    assert names == set(ranges)
    kernels = {layer.name for layer in int8_kernels(quantized)}
    assert {f"{name}_range" for name in kernels} <= names
    assert len(kernels) == sum(hasattr(layer, "kernel_size") for layer in quantized.layers) - 1
    assert {layer.name for layer in quantized.layers if type(layer) is keras.layers.Multiply} == {
        name.removesuffix("_range") for name in names if name.endswith("active_range")
    } | {f"{block}_squeeze_excite" for block in ("block0_layer0", "block0_layer1", "block1_layer0")}


def test_a_stream_rounds_what_its_clip_rounds(step, ranges, quantized):
    """Both have the same ranges and kernels. Sums in another order may round to the next value."""
    assert set(ranges_of(step)) == set(ranges)
    assert limits_of(step) == ranges
    for clip in CLIPS[:2]:
        received = roll(step, clip)[-1]
        expected = predictions(quantized, clip[None])[0]
        assert_near(received, expected, NOISE)
    assert_differs(predictions(quantized, CLIPS[:1]), predictions(quantized, CLIPS[1:2]), 0.05)


def test_a_stream_form_learns_the_ranges_of_its_clip_form(model, ranges):
    """Rolled over the clips: all of them at once, or one by one if a step has several frames."""
    found = calibrate(file_form(model, stream=True), CLIPS, pixels=1)
    assert found.keys() == ranges.keys()
    assert_near([found[name] for name in ranges], list(ranges.values()))
    if keras.backend.backend() == "jax":  # compiling another form takes long
        return
    found = calibrate(file_form(model, True, 2), CLIPS, pixels=1)
    # Steps of two frames do not answer after the first, which has the largest predictions.
    late = {f"{name}_range" for name in after_the_clip(mobile_form(model, True, 2))}
    names = [name for name in ranges if name not in late]
    assert len(names) > 50 and found.keys() == ranges.keys()
    assert_near([found[name] for name in names], [ranges[name] for name in names])


def test_states_of_means_are_not_rounded(step):
    graph = Graph(step)
    for name, tensor in step.output.items():
        if name.endswith("_mean"):
            (made_by,) = (n.operation for n in graph.nodes if n.outputs[0] is tensor)
            assert type(made_by) is RunningMean
            assert not any(isinstance(user, FakeQuantize) for user in graph.users(tensor))
        else:
            assert name == "predictions" or name.endswith("_past")


@pytest.mark.parametrize("frames, keep_frames", [(1, True), (3, True), (3, False)])
def test_the_second_way_to_a_running_mean(frames, keep_frames):
    features, mean = random_array((frames, 1, 1, 4)), random_array((1, 1, 1, 4), 1)
    shares = (1 / np.arange(5, 5 + frames, dtype="float32")).reshape(-1, 1, 1, 1)
    inputs = [features, mean, shares]
    expected = run(RunningMean(frames, keep_frames), inputs)
    assert_near(to_numpy(run(RunningMeanAgain(frames, keep_frames), inputs)), to_numpy(expected))


def test_hard_swish_is_found(form):
    copy = with_open_ranges(form)
    found, names = set(seen_by_hard_swish(copy)), list(ranges_of(copy))
    assert "stem_range" in found and "block1_layer0_feature_temporal_range" in found
    assert found <= set(names)
    assert {"block1_layer0_projection_range", "block1_layer0_range"} & set(names) - found


def test_layers_kept_in_float(model, form, ranges):
    kept = kept_layers(form, model, ["block0_layer1_expansion", "head"])
    expected = {f"block0_layer1_expansion{tail}" for tail in ("", "_relu6", "_active")}
    assert expected <= set(kept) and "head_active" in kept
    assert not any(name.startswith("head_pool") for name in kept)
    copy = with_ranges(form, ranges, kept)
    assert type(copy.get_layer("head")) is keras.layers.Conv2D
    assert "head_range" not in ranges_of(copy)
    assert "head_active_range" in ranges_of(copy)  # the layers after it are int8 again
    names = set(source_layers(form, model).values())
    whole = with_ranges(form, ranges, kept_layers(form, model, names))
    assert (
        np.abs(predictions(whole, CLIPS) - predictions(form, CLIPS)).max()
        < np.abs(predictions(copy, CLIPS) - predictions(form, CLIPS)).max()
    )
    for wrong in ("nothing", ["head", "block7"]):
        with pytest.raises(ValueError, match="keep_float: expected names among .*head.*, got"):
            kept_layers(form, model, wrong)


def test_noise_report(form, quantized):
    report = noise_report(form, quantized, CLIPS[:2])
    by_name = {layer.name: layer for layer in report.layers}
    assert by_name["classifier"].total < by_name["classifier"].own
    assert 10 < by_name["classifier"].total < 60
    exact, rounded = predictions(form, CLIPS[:2]), predictions(quantized, CLIPS[:2])
    ratio = np.square(exact).sum() / np.square(rounded - exact).sum()
    assert by_name["classifier"].total == pytest.approx(10 * np.log10(ratio), abs=0.1)
    assert report.worst(1)[0].own == min(layer.own for layer in report.layers)
    assert "head_pool_running (by nature)" in str(report)


# The search only compares numbers, and its dozen small models take long to compile on JAX.
@pytest.mark.skipif(keras.backend.backend() == "jax", reason="independent of the backend")
def test_the_fewest_layers_in_float(model):
    """A kernel with one huge weight needs float, the other layers do not."""
    inputs = keras.Input((4, 8, 8, 3))
    x = VideoConv3D(8, (1, 3, 3), (1, 2, 2), activation="relu", name="first")(inputs)
    x = VideoConv3D(8, (3, 1, 1), activation="relu", name="second")(x)
    x = CumulativeAvgPool(keep_frames=False, name="pool")(x)
    small = randomize_weights(keras.Model(inputs, keras.layers.Dense(5, name="classifier")(x)))
    clips = random_video((8, 4, 8, 8, 3))
    layer = small.get_layer("classifier")
    kernel, bias = layer.get_weights()
    bias = bias - to_numpy(small(clips)).mean(0)  # so that clips differ in their best class
    layer.set_weights([kernel, bias])
    assert fewest_float_layers(small, clips, bound=0.5) == []
    kernel[0] = 20_000.0  # the same for all classes: no best class changes
    layer.set_weights([kernel, bias])
    small_form = clip_form(small, 4)
    limits = calibrate(small_form, clips)
    exact = predictions(small_form, clips)
    labels = exact.argmax(-1)
    assert loss(predictions(with_ranges(small_form, limits), clips), exact, labels) > 0.25
    assert fewest_float_layers(small, clips, labels, bound=0.25) == ["classifier"]
    with pytest.raises(ValueError, match="bound: expected"):
        fewest_float_layers(small, clips, bound=1)
    with pytest.raises(ValueError, match="labels: expected shape"):
        fewest_float_layers(small, clips, labels=[1, 2])


def test_loss_by_labels_and_by_agreement():
    exact, rounded = np.eye(4), np.eye(4)[[0, 1, 3, 3]]
    assert loss(rounded, exact) == 0.25
    assert loss(rounded, exact, np.array([0, 1, 3, 0])) == -0.25


def compiled(network, rate=3e-3):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.Adam(rate), loss)
    return network


def test_training_of_a_stream_for_int8(model, form, tmp_path):
    """The ranges start from data; the model is trained, saved and deployed as a stream."""
    before = model.get_weights()
    network = quantize_aware(model, CLIPS)
    assert is_quantize_aware(network) and not is_quantize_aware(model)
    assert network.streams and network.info["family"] == "movinet"
    assert_near(predictions(network, CLIPS), predictions(form, CLIPS), NOISE)
    history = compiled(network).fit(CLIPS, np.arange(4) % 5, 4, epochs=4, verbose=0).history
    assert history["loss"][-1] < history["loss"][1]
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), before, strict=True))
    limits = limits_of(network)
    assert limits["frames_range"] == (0.0, 1.0)
    step = deploy(network, stream=True)
    assert limits_of(step) == limits
    assert_near(roll(step, CLIPS[0])[-1], predictions(network, CLIPS[:1])[0], NOISE)
    network.save(tmp_path / "aware.keras")
    loaded = keras.saving.load_model(tmp_path / "aware.keras")
    assert_near(predictions(loaded, CLIPS), predictions(network, CLIPS))
    assert_same_form(deploy(loaded, stream=True), step)


def test_training_of_clips_for_int8():
    """The ranges start with the first training batch; one layer stays in float."""
    clip_model = tiny_model(input_shape=SHAPE, squeeze="2plus3d", activation="swish")
    network = quantize_aware(clip_model, keep_float=["stem"])
    assert not network.streams and type(network.get_layer("stem")) is keras.layers.Conv2D
    with pytest.raises(ValueError, match="model: expected ranges learned in training"):
        deploy(network)
    with pytest.raises(ValueError, match="causal"):
        file_form(clip_model, stream=True)
    compiled(network).fit(CLIPS, np.arange(4), 4, epochs=2, verbose=0)
    flat = deploy(network)
    assert limits_of(flat).items() <= limits_of(network).items()
    answer = flat({"frames": ops.convert_to_tensor(CLIPS[0])})["predictions"]
    assert_near(to_numpy(answer), predictions(network, CLIPS[:1]), NOISE)


def test_bad_data(model):
    for data in (None, CLIPS[0], CLIPS[..., :1], CLIPS[:0], np.full_like(CLIPS, np.nan), 3):
        with pytest.raises(ValueError, match="representative_data: expected"):
            deployed_int8(model, data, stream=True)
    with pytest.raises(ValueError, match="frames: expected"):
        quantize_aware(model)


def test_layers_without_a_rule(form):
    inputs = keras.Input((6, 40, 32, 3))
    network = keras.Model(inputs, keras.layers.UnitNormalization(name="unit")(inputs))
    with pytest.raises(ValueError, match="unit of class UnitNormalization"):
        insert(network, lambda name: FakeQuantize((0, 1), name=name))


def test_configs_survive_json(quantized):
    for layer in quantized.layers:
        if isinstance(layer, FakeQuantize) or "Quantized" in type(layer).__name__:
            config = json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
            twin = keras.saving.deserialize_keras_object(config)
            assert type(twin) is type(layer)


def test_streams_learn_from_every_frame(model, form, ranges):
    """Predictions after the first frames are further from zero than after all six."""
    late = calibrate(form, CLIPS, pixels=1)
    spans = [np.ptp(found["classifier_range"]) for found in (ranges, late)]
    assert spans[0] > 1.02 * spans[1]
    assert ranges["stem_range"] == late["stem_range"]
    assert {"head_pool_running", "classifier"} <= after_the_clip(form)
    assert "head_pool" not in after_the_clip(form)
