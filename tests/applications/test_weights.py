"""The argument `weights` of MoViNet: official files, own files, and files that do not fit."""

import numpy as np
import pytest

from keras_video.applications import MoViNetA0, MoViNetA1, movinet, pretrained
from keras_video.applications.movinet import MoViNet
from keras_video.applications.movinet.weights import RECORDS
from keras_video.checkpoints import weight_map
from tests.golden_weights import GOLDEN, official_weights, video
from tests.helpers import STREAM, run, tiny_config, tiny_model, to_numpy
from tests.tf_checkpoint_writer import write_checkpoint

LOGITS = np.load(GOLDEN / "movinet_a0_logits.npz")


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Prefixes of two checkpoints as the official code writes them."""
    folder = tmp_path_factory.mktemp("official")
    prefixes = {}
    for network in ("a0_base", "a0_stream"):
        prefix = folder / f"movinet_{network}" / "ckpt-1"
        write_checkpoint(prefix, official_weights(network))
        (prefix.parent / "checkpoint").write_text('model_checkpoint_path: "ckpt-1"\n')
        prefixes[network] = str(prefix)
    return prefixes


def assert_golden(model, network, case="sq"):
    logits = to_numpy(run(model, video(case)))
    expected = LOGITS[f"{network}/{case}/logits"]
    assert np.abs(logits - expected).max() <= 1e-4 * max(1, np.abs(expected).max())


def assert_same_weights(model, other):
    ours, theirs = weight_map.export(model), weight_map.export(other)
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)


@pytest.fixture(scope="module")
def base(checkpoints):
    """MoViNet-A0 with the weights of the official base checkpoint."""
    return MoViNetA0(weights=checkpoints["a0_base"])


def test_official_base_checkpoint_gives_the_official_logits(checkpoints, base):
    assert base.output_shape == (None, 16)
    assert_golden(base, "a0_base", "odd")
    folder = checkpoints["a0_base"].rsplit("/", 1)[0]
    assert_same_weights(MoViNetA0(weights=folder), base)


def test_official_stream_checkpoint_gives_the_official_logits(checkpoints):
    """`test_movinet.py` compares streams and the other gate with their logits."""
    model = MoViNetA0(weights=checkpoints["a0_stream"], causal=True)
    assert_golden(model, "a0_stream_keras2gate")
    assert_same_weights(MoViNetA0(weights=checkpoints["a0_stream"], streaming=True), model)


def test_wrong_variant_is_named(checkpoints):
    with pytest.raises(ValueError, match="got MoViNet-A0 base .* causal=False, streaming=False"):
        MoViNetA0(weights=checkpoints["a0_base"], streaming=True)
    with pytest.raises(ValueError, match="got MoViNet-A0 stream .*causal=True"):
        MoViNetA0(weights=checkpoints["a0_stream"])


def test_wrong_size_is_named(checkpoints):
    with pytest.raises(ValueError, match="expected MoViNet-A1 base .*got MoViNet-A0 base"):
        MoViNetA1(weights=checkpoints["a0_base"])


def test_other_class_count_loads_all_but_the_last_layer(checkpoints, base, capsys):
    model = MoViNetA0(weights=checkpoints["a0_base"], classes=7)
    said = capsys.readouterr().out
    assert "has 16 classes, the model 7" in said and "last layer" in said
    assert model.output_shape == (None, 7)
    ours, theirs = weight_map.export(model), weight_map.export(base)
    different = [name for name in theirs if not np.array_equal(ours[name], theirs[name])]
    assert set(different) <= {"classifier/kernel", "classifier/bias"} and different


def test_without_top(checkpoints, base):
    features = MoViNetA0(weights=checkpoints["a0_base"], include_top=False, pooling="avg")
    assert features.output_shape == (None, 480)
    ours, theirs = weight_map.export(features), weight_map.export(base)
    assert set(theirs) - set(ours) == {name for name in theirs if name.startswith("classifier")}
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
    names = [layer.name for layer in base.layers]  # the rest are the same layers in the same order
    assert [layer.name for layer in features.layers] == names[: names.index("head_pool") + 1]


def test_truncated_file(checkpoints, tmp_path):
    weights = official_weights("a0_base")
    prefix = tmp_path / "cut" / "ckpt-1"
    write_checkpoint(prefix, weights)
    data = next(prefix.parent.glob("*.data-*"))
    data.write_bytes(data.read_bytes()[: data.stat().st_size // 2])
    with pytest.raises(ValueError, match=r"expected at least .* bytes in .*data-00000-of-00001"):
        MoViNetA0(weights=str(prefix))


def test_renamed_variable(tmp_path):
    weights = official_weights("a0_base")
    key = next(key for key in weights if "_stem" in key and "gamma" in key)
    weights[key.replace("gamma", "gama")] = weights.pop(key)
    write_checkpoint(tmp_path / "ckpt-1", weights)
    with pytest.raises(ValueError, match=r"weights: .*gam"):
        MoViNetA0(weights=str(tmp_path / "ckpt-1"))


def test_unknown_names_and_paths():
    with pytest.raises(
        ValueError,
        match="expected .*'kinetics600', 'kinetics400' for movinet_a1, got 'moving_digits'",
    ):
        MoViNetA1(weights="moving_digits")
    with pytest.raises(
        ValueError, match="weights: expected an existing path or one of .* got '/nowhere/at/all'"
    ):
        MoViNetA0(weights="/nowhere/at/all")


def test_named_weights_are_converted_once(checkpoints, base, tmp_path, monkeypatch):
    """An archive in the cache is unpacked and converted once; then the result is used."""
    import tarfile

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    archive = tmp_path / "models" / "keras_video" / "movinet_a0_base.tar.gz"
    archive.parent.mkdir(parents=True)
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(checkpoints["a0_base"].rsplit("/", 1)[0], arcname="movinet_a0_base")
    assert_same_weights(MoViNetA0(weights="kinetics600"), base)
    archive.unlink()
    monkeypatch.setattr(pretrained, "fetch", lambda record: pytest.fail("fetched again"))
    assert_same_weights(MoViNetA0(weights="kinetics600"), base)
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.parametrize("extension", ["npz", "weights.h5", "keras"])
def test_own_files(tmp_path, extension):
    path = str(tmp_path / f"mine.{extension}")
    model = tiny_model()
    if extension == "npz":
        weight_map.save(path, weight_map.export(model), half=False)
    elif extension == "keras":
        model.save(path)
    else:
        model.save_weights(path)
    again = MoViNet(tiny_config(), weights=path)
    assert again.output_shape == (None, 5)
    assert_same_weights(again, model)
    assert MoViNet(tiny_config(), weights=path, classes=3).output_shape == (None, 3)
    with pytest.raises(ValueError, match="weights: "):
        MoViNet(tiny_config(**STREAM), weights=path, streaming=True)


@pytest.mark.parametrize("name", ["bad.npz", "bad.weights.h5", "bad.keras", "bad.pt"])
def test_damaged_files(tmp_path, name):
    (tmp_path / name).write_bytes(b"this is not a file of weights" * 40)
    with pytest.raises(ValueError, match="weights: "):
        MoViNetA0(weights=str(tmp_path / name))


def test_clip_and_stream_share_a_weights_file(tmp_path):
    clips = tiny_model(**STREAM)
    path = tmp_path / "mine.weights.h5"
    clips.save_weights(path)
    stream = MoViNet(tiny_config(**STREAM), streaming=True, weights=path)
    assert_same_weights(stream, clips)


def test_decode_predictions():
    labels = ["a", "b", "c"]
    probabilities = np.array([[0.2, 0.5, 0.3]])
    best = movinet.decode_predictions(probabilities, top=2, labels=labels)
    assert [name for name, _ in best[0]] == ["b", "c"] and np.isclose(best[0][0][1], 0.5)
    from_logits = movinet.decode_predictions(np.log(probabilities) + 3.0, top=1, labels=labels)
    assert from_logits[0][0][0] == "b" and np.isclose(from_logits[0][0][1], 0.5)
    with pytest.raises(ValueError, match=r"with 600, 400, 16 classes .*got \(1, 3\)"):
        movinet.decode_predictions(probabilities)
    with pytest.raises(ValueError, match=r"preds: expected shape \(batch, 600\), got \(1, 3\)"):
        movinet.decode_predictions(probabilities, labels="kinetics600")
    assert movinet.decode_predictions(np.eye(16)[[2]], top=1) == [
        [(movinet.labels("moving_digits")[2], 1.0)]
    ]
    names = movinet.labels("kinetics600")
    assert len(names) == 600 and (names[0], names[464], names[599]) == (
        "abseiling", "ski jumping", "zumba",
    )  # fmt: skip
    best = movinet.decode_predictions(np.eye(400)[[358]], top=1, labels="kinetics400")
    assert best[0][0][0] == "throwing discus"
    for records in RECORDS.values():
        for record in records.values():
            assert len(movinet.labels(record)) == record.classes
