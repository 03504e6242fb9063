"""Writes one small file of each kind that the library writes, for `tests/test_old_files.py`.

The files in `files/` were made by version 0.1.0, commit cccd54e, on TensorFlow; what their readers
must come to is in `files/expected.npz`. They are to be kept as they are: written again by a later
version they would prove nothing. To add a kind of file, check that version out and run

    PYTHONPATH=OLD_CHECKOUT KERAS_BACKEND=tensorflow python tests/old_files/write.py FOLDER

with FOLDER an empty or new one. It takes about a minute.
"""

import contextlib
import json
import os
import sys
import tempfile
import zipfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import toys
from keras_video.converters import weight_map

import keras_video
from keras_video import layers, mobile, models, training, tuner
from keras_video.applications.auto_tsnet import AutoTSNet, Group, TwoStreamSpec
from keras_video.applications.blvnet_tam import BLVNetTAM, BLVNetTAMConfig
from keras_video.applications.movinet import MoViNet
from keras_video.applications.tiny_video_net import (
    TinyVideoBlock,
    TinyVideoNet,
    TinyVideoNetConfig,
)
from keras_video.applications.x3d import X3D, X3DConfig
from keras_video.data import read_shards, write_shards

CLIP = toys.CLIP


def fill(model, seed=0):
    """Gives each weight one of 16 numbers; the outputs of deep networks stay in range."""
    for i, variable in enumerate(model.weights):
        n = (toys.noise(variable.shape, 1000 * seed + i) // 16 - 7.5) / 4.6  # of deviation 1
        kind = variable.name
        if kind.endswith("kernel"):
            value = n * np.sqrt(2 / max(1, np.prod(variable.shape[:-1])))
        elif kind.endswith("variance"):
            value = 0.5 + np.abs(n)
        elif kind.endswith("gamma"):
            value = 1 + 0.2 * n
        elif kind.endswith("scale"):
            value = 0.7 + 0.2 * n
        else:
            value = 0.3 * n
        variable.assign(value)
    return model


# Networks


def movinet(seed=0, streaming=False, **options):
    config = toys.movinet_config()
    return fill(MoViNet(config, classes=3, streaming=streaming, **options), seed)


def tiny_video_net():
    blocks = (
        TinyVideoBlock("std", 3, 2, "maxpool", 2, 2, filters=4, expand=2, repeats=2, skip=True),
        TinyVideoBlock(
            "depth", 3, 1, "1d", 3, 1, filters=4, expand=2, squeeze=0.5, context_gate=True,
            non_local=2, inverted=True, activation="hard_swish",
        ),
        TinyVideoBlock("avgpool", 2, 2, "avgpool", 2, 1, filters=6, spatial_activation="linear"),
    )  # fmt: skip
    config = TinyVideoNetConfig("tvn_old", 4, 16, 2, blocks, dropout=0.2, head="per_frame")
    return fill(TinyVideoNet(config, classes=3))


def blvnet_tam():
    config = BLVNetTAMConfig("blvnet_old", (2, 2, 2, 1), num_frames=4, size=32, width=2)
    return fill(BLVNetTAM(config, classes=3, input_shape=CLIP))


def x3d():
    config = X3DConfig("x3d_old", 4, 32, 2, 36, width=0.1, depth=0.2, hidden=8, dropout=0.1)
    return fill(X3D(config, classes=3))


def auto_tsnet(two_inputs):
    spec = TwoStreamSpec(
        "tsnet_old",
        sparse=(Group(4), Group(4, 1.5, 1, 3), Group(4, 1.5, 1, 5)),
        dense=(Group(4, 1.5, 1, 5), Group(4, 1.5), Group(4, 1.5, 5, 3)),
        fusion=("time_strided_conv", "time_to_channel", "time_strided_sampling"),
        attention_sparse=(2,), attention_dense=(3,), sparse_stem=4, dense_stem=4,
        repeats=(1, 1, 1), stages=(1, 1, 2), frames=4, stride=2, size=16, hidden=8, dropout=0.1,
    )  # fmt: skip
    positions = "stride" if two_inputs else "spread"
    return fill(AutoTSNet(spec, classes=3, two_inputs=two_inputs, sparse_positions=positions))


def single_layers():
    """Every public layer, with arguments that are not the defaults; an answer for each."""
    video = keras.Input(toys.VIDEO[1:], name="video")
    six = layers.StreamBuffer(1, name="stream_buffer")(video)  # five frames and one in front
    means = layers.FrameMeans(name="frame_means")(video)
    big = layers.SpatialMaxPool(2, 2, name="spatial_max_pool")(video)
    outputs = {
        "big_little_merge": layers.BigLittleMerge(
            4, activation="swish", momentum=0.9, epsilon=1e-4, use_bias=True,
            kernel_initializer="fan_out_normal", fusion=layers.TemporalAggregation(2, "max"),
        )(video, big),
        "causal_conv": layers.CausalConv3D(6, (2, 3, 1), (1, 2, 1), groups=2, use_bias=False),
        "context_gate": layers.ContextGate(kernel_initializer="glorot_uniform"),
        "cumulative_avg_pool": layers.CumulativeAvgPool(),
        "clip_avg_pool": layers.CumulativeAvgPool(keep_frames=False),
        "depthwise_conv": layers.DepthwiseConv3D((2, 3, 5), (1, 2, 1), padding="causal"),
        "frame_vote": layers.FrameVote()(means),
        "gated_conv": layers.GatedConv3D(
            5, hidden=2, context_gate=True, gated="inputs", activation="hard_swish",
            momentum=0.8, epsilon=1e-2, gamma_initializer="zeros",
        ),
        "glore": layers.GloRe(3, normalize=False, momentum=0.9, epsilon=1e-2),
        "non_local": layers.NonLocal(3, momentum=0.9, epsilon=1e-2),
        "positional_encoding": layers.PositionalEncoding()(means),
        "rezero": layers.ReZero(scale_initializer="ones"),
        "spatial_avg_pool": layers.SpatialAvgPool(3, 2, padding="symmetric"),
        "squeeze_excite": layers.SqueezeExcite(
            2, squeeze="2plus3d", causal=True, activation="relu6", gate="hard_sigmoid",
            positional_encoding=True, output_activation="swish",
        ),
        "stochastic_depth": layers.StochasticDepth(0.25, seed=3),
        "temporal_aggregation": layers.TemporalAggregation(
            2, "max", activation=None, causal=True,
            kernel_initializer="temporal_shift", fixed=True,
        ),
        "equal_pairs": layers.TemporalAggregation(4, activation="hard_swish", equal_pairs=True),
        "temporal_pool": layers.TemporalPool(3, 2, mode="avg"),
        "time_strided_conv_fusion": layers.TimeStridedConvFusion(
            2, kernel_size=3, ratio=3, activation="swish",
        )(six),
        "time_strided_sampling": layers.TimeStridedSampling(2, positions="spread")(six),
        "time_to_channel_fusion": layers.TimeToChannelFusion(3)(six),
        "video_conv": layers.VideoConv3D(
            6, (3, 3, 1), (2, 2, 1), padding="symmetric", groups=2, batch_norm=True, use_bias=True,
            activation="relu6", momentum=0.7, epsilon=1e-2, implementation="taps",
            kernel_initializer="he_normal", gamma_initializer="zeros",
        ),
    }  # fmt: skip
    outputs = {name: x(video) if callable(x) else x for name, x in outputs.items()}
    return fill(keras.Model(video, outputs, name="single_layers"))


def for_mobile():
    """A network whose mobile form has most of the layers that only mobile forms have."""
    inputs = keras.Input((4, 12, 10, 3))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = layers.VideoConv3D(4, 3, batch_norm=True, activation="hard_swish", name="conv")(x)
    x = layers.TemporalPool(2, mode="avg", name="pool")(x)
    x = layers.NonLocal(2, name="far")(x)
    x = layers.GloRe(2, name="reason")(x)
    x = layers.SqueezeExcite(2, squeeze="2plus3d", name="gate")(x)
    big = layers.SpatialMaxPool(3, 2, name="small")(x)
    x = layers.SpatialAvgPool(3, name="smooth")(x)
    x = layers.BigLittleMerge(4, fusion=layers.TemporalAggregation(), name="merge")(x, big)
    x = layers.CumulativeAvgPool(keep_frames=False, name="head")(x)
    return fill(models.VideoClassifier(inputs, keras.layers.Dense(3, name="classifier")(x)))


def fine_tuned():
    """A network that was trained a little, with the library's loss and schedule."""
    model = toys.small_classifier()
    schedule = training.WarmupCosine(0.05, 40, 5.0)
    optimizer = keras.optimizers.RMSprop(
        schedule, rho=0.9, momentum=0.9, epsilon=1.0, global_clipnorm=1.0
    )
    model.compile(optimizer, training.SmoothedCrossentropy(0.2), metrics=["accuracy"])
    training.finetune(model, toys.SmallClips(), epochs=3, compile=False, verbose=0)
    return model


def networks():
    """`{name: model}` of what is saved as `.keras`, of the names in `toys.SHAPES`."""
    fixed = movinet(1, input_shape=CLIP, positional_encoding=True, **toys.STREAM)
    stream = movinet(4, True, input_shape=(None, *CLIP[1:]), **toys.STREAM)
    small = MoViNet(
        toys.movinet_config(layers=1), classes=3, input_shape=CLIP, causal=True, squeeze="2plus3d"
    )
    data = toys.noise((3, *CLIP), 9)
    return {
        "movinet_clip": movinet(),
        "movinet_causal": movinet(1, **toys.STREAM),
        "movinet_stream": movinet(2, True, positional_encoding=True, **toys.STREAM),
        "tiny_video_net": tiny_video_net(),
        "blvnet_tam": blvnet_tam(),
        "x3d": x3d(),
        "auto_tsnet": auto_tsnet(False),
        "two_streams": auto_tsnet(True),
        "ensemble": models.TemporalEnsemble([movinet(s) for s in (2, 3)]),
        "clip_recurrent": training.ClipRecurrent(stream, 3, "mean"),
        "single_layers": single_layers(),
        "mobile_form": mobile.mobile_form(fixed),
        "mobile_layers": mobile.mobile_form(for_mobile(), hard_swish="divided"),
        "quantize_aware": mobile.quantize_aware(fixed, data, keep_float=["stem"]),
        "deployed_stream": mobile.deployed_int8(fill(small, 6), data, stream=True)[0],
        "fine_tuned": fine_tuned(),
    }


def write_networks(folder, expected):
    for name, model in networks().items():
        model.save(folder / f"{name}.keras")
        pack(folder / f"{name}.keras")
        for part, answer in toys.answers(model, *toys.SHAPES[name]).items():
            expected[f"{name}.keras/{part}"] = answer
        expected[f"weights/{name}"] = toys.means(model.get_weights())
        if name == "fine_tuned":
            clips, labels = toys.SmallClips()[0]
            expected["scores"] = np.array(model.evaluate(clips, labels, verbose=0))
            expected["rate"] = np.array(float(model.optimizer.learning_rate))
            for i, variable in enumerate(model.optimizer.variables):
                expected[f"optimizer/{i}"] = toys.as_array(variable)


def pack(path):
    """Compresses the parts of a `.keras` file, which Keras does not: a tenth of the size."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in parts.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED, 9)


def write_weights(folder, expected):
    """Weights alone, which `weights="path"` reads: Keras' form, and the library's own."""
    config = toys.movinet_config(layers=1)
    model = fill(MoViNet(config, classes=3), 6)
    model.save_weights(folder / "movinet.weights.h5")
    weight_map.save(str(folder / "movinet.npz"), weight_map.export(model))
    expected["movinet.weights.h5"] = toys.answers(model, toys.BATCH)["prediction"]
    # Kernels are in half precision in the `.npz` file.
    model = MoViNet(config, classes=3, weights=str(folder / "movinet.npz"))
    expected["movinet.npz"] = toys.answers(model, toys.BATCH)["prediction"]


def write_litert(folder, expected):
    clips = toys.noise((3, *CLIP), 9)
    labels = ["one", "two", "drei"]
    model = movinet(input_shape=CLIP)
    mobile.export_litert(model, folder / "clip.tflite", labels=labels)
    expected["clip.tflite"] = mobile.LiteRTModel(folder / "clip.tflite").predict(clips)
    model = movinet(2, True, input_shape=(None, *CLIP[1:]), **toys.STREAM)
    mobile.export_litert(model, folder / "stream.tflite", "int8", clips, labels=labels)
    stream = mobile.LiteRTModel(folder / "stream.tflite")
    expected["stream.tflite"] = np.stack(list(stream.stream(clips.reshape(-1, *CLIP[1:]))))


def write_searches(folder, expected):
    """Searches that went down half way, and what those come to that do not."""
    with tempfile.TemporaryDirectory() as whole:
        for begin in (toys.grid_search, toys.blocks_search):
            begin(whole).search(verbose=0)
            search = begin(folder)
            search.left = 4
            with contextlib.suppress(toys.Interrupted):
                search.search(verbose=0)
        toys.run_sites(toys.sites_search(whole))
        # In the third chunk, the first of the second stage.
        with contextlib.suppress(toys.Interrupted):
            toys.run_sites(toys.sites_search(folder), [toys.Interrupt(15)])
        for name in ("parsec", "evolution", "tunas"):
            table = tuner.results_table(os.path.join(whole, name))
            expected[f"{name}/table"] = as_text(table)
            expected[f"{name}/counts"] = as_text(table.counts)
            expected[f"{name}/before"] = as_text(tuner.results_table(folder / name))
        whole = os.path.join(whole, "tunas")
        expected["tunas/history"] = as_text(tuner.search_history(whole))
        expected["tunas/stages"] = as_text(tuner.stage_table(whole))
    for path in folder.rglob("search.lock"):  # empty
        path.unlink()


def as_text(content):
    """Plain values as an array that `numpy.load` reads without executing anything."""
    return np.array(json.dumps(content))


def write_backup(folder, expected):
    """A training run that went down in the second of three epochs; what a whole one comes to."""
    model = toys.small_classifier()
    training.finetune(model, toys.SmallClips(), **toys.TRAINING)
    for i, weight in enumerate(model.get_weights()):
        expected[f"backup/{i}"] = weight
    with contextlib.suppress(toys.Interrupted):
        training.finetune(
            toys.small_classifier(), toys.SmallClips(), backup=folder / "backup",
            callbacks=[toys.Interrupt(7)], **toys.TRAINING,
        )  # fmt: skip


def write_clips(folder, expected):
    samples = [(toys.smooth_video(k), k % 3) for k in range(3)]
    write_shards(folder / "shards", samples, 2, "clips", quality=70, class_names=toys.NAMES)
    clips, labels = read_shards(
        str(folder / "shards" / "clips-*.tfrecord"), 4, (16, 24), training=False, workers=0
    )[0]
    expected["shards/clips"], expected["shards/labels"] = clips, labels


def check_names(folder, expected):
    """Notes the names of all registered classes, and prints those that are in no file."""
    names = {n for n in keras.saving.get_custom_objects() if n.startswith("keras_video>")}
    used = "".join(
        zipfile.ZipFile(path).read("config.json").decode() for path in folder.glob("*.keras")
    )
    print("in no file:", sorted(n for n in names if f'"{n}"' not in used))
    expected["registered"] = np.array(sorted(names))


def main(folder):
    folder = Path(folder)
    print("keras_video", keras_video.__version__, keras_video.__file__)
    folder.mkdir(parents=True, exist_ok=True)
    if list(folder.iterdir()):
        sys.exit(f"FOLDER: expected an empty one, got {folder}.")
    expected = {}
    steps = (
        write_networks, write_weights, write_litert, write_searches, write_backup, write_clips,
        check_names,
    )  # fmt: skip
    for step in steps:
        step(folder, expected)
    np.savez_compressed(folder / "expected.npz", **expected)


if __name__ == "__main__":
    main(sys.argv[1])
