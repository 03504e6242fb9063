"""`keras_video.hub` and `weights="hf://..."`, with a server on the loopback address."""

import io
import sys
import types
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_video
from keras_video import hub
from keras_video.applications import pretrained
from keras_video.checkpoints import weight_map
from tests import hub_server, tiny_families
from tests.helpers import randomize_weights

ADDRESS = "hf://owner/name"
NAMES = ["up", "down", "left", "right", "still"]


@pytest.fixture
def server(tmp_path, monkeypatch):
    """The server; huggingface_hub knows only it, has an empty cache and no token."""
    package = pytest.importorskip("huggingface_hub", reason="needs keras-video[hub]")
    from huggingface_hub import constants, file_download

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # its server is another one
    monkeypatch.setattr(file_download, "time", types.SimpleNamespace(sleep=lambda _: None))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    package.close_session()
    with hub_server.HubServer() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
        yield server
    package.close_session()


@pytest.fixture(scope="module")
def model():
    model = randomize_weights(tiny_families.x3d())
    model.class_names = NAMES
    return model


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    """The model as a `.keras`, a `.weights.h5` and an `.npz` file: `{name: bytes}`."""
    folder = tmp_path_factory.mktemp("saved")
    model.save(folder / "model.keras")
    model.save_weights(folder / "model.weights.h5")
    weight_map.save(folder / "model.npz", weight_map.export(model), half=False)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def complete(folder):
    """Names of all files below a folder that are not locks or marks of the cache."""
    ignored = ("CACHEDIR.TAG", ".lock")
    return [
        p.name
        for p in Path(folder).rglob("*")
        if p.is_file()
        and p.suffix not in ignored
        and p.name not in ignored
        and "refs" not in p.parts
        and ".no_exist" not in p.parts
    ]


def same_weights(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a.get_weights(), b.get_weights(), strict=True))


def test_push_and_load(server, model):
    page = hub.push(model, ADDRESS, token=hub_server.WRITE)
    assert page == f"{server.endpoint}/owner/name"
    files = server.repositories["owner/name"]["main"]
    assert sorted(files) == ["README.md", "model.keras"]
    assert len(server.large) == 1  # the model went through Git LFS
    loaded = hub.load(ADDRESS)
    assert type(loaded) is type(model) and loaded.info == model.info
    assert same_weights(loaded, model) and not loaded.compiled
    assert loaded.class_names == NAMES
    clip = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), "uint8")
    assert loaded.classify(clip) == model.classify(clip)
    built = tiny_families.x3d(weights=ADDRESS)
    assert built.class_names == NAMES and built.classify(clip) == model.classify(clip)
    # The second time, the file comes from the cache, also if the server is down.
    server.requests.clear()
    assert same_weights(hub.load(f"{ADDRESS}/model.keras"), model)
    assert not any(request.startswith("GET") for request in server.requests)


def test_loads_from_the_cache_without_a_connection(server, model, saved):
    server.add("owner/name", {"only.keras": saved["model.keras"]})
    assert same_weights(hub.load(ADDRESS), model)
    server.__exit__()
    sys.modules["huggingface_hub"].close_session()  # and its open connections
    server.requests.clear()
    assert same_weights(hub.load(ADDRESS), model)
    with pytest.raises(RuntimeError, match="^address: no complete answer from .* owner/other"):
        hub.load("hf://owner/other")
    assert server.requests == []


@pytest.mark.parametrize("file", ["model.keras", "model.weights.h5", "model.npz"])
def test_builders_take_addresses(server, model, saved, file, capsys):
    server.add("owner/name", {file: saved[file], "README.md": b"text", "unsafe.pth": b"pickle"})
    built = tiny_families.x3d(weights=ADDRESS)
    assert built.info["weights"] == ADDRESS
    assert same_weights(built, model)
    other = keras_video.applications.X3DXS(
        input_shape=(4, 32, 32, 3), hidden=16, width=0.7, depth=0.5, classes=3, weights=ADDRESS
    )
    assert "hf://owner/name has 5 classes, the model 3 classes" in capsys.readouterr().out
    assert np.array_equal(other.get_weights()[0], model.get_weights()[0])


def test_revisions_and_files(server, model, saved):
    other = randomize_weights(tiny_families.x3d(), seed=1)
    named = io.BytesIO()
    np.savez(named, **weight_map.export(other))
    server.add("owner/name", {"folder/a.npz": saved["model.npz"], "b.npz": named.getvalue()})
    server.add("owner/name", {"b.npz": saved["model.npz"]}, "v1.0")
    server.add("owner/name", {"b.npz": saved["model.npz"]}, "refs/pr/2")
    for address, expected in (
        (f"{ADDRESS}/folder/a.npz", model),
        (f"{ADDRESS}/b.npz", other),
        (f"{ADDRESS}@v1.0", model),
        (f"{ADDRESS}@v1.0/b.npz", model),
        (f"{ADDRESS}@refs/pr/2", model),
    ):
        assert same_weights(tiny_families.x3d(weights=address), expected), address
    with pytest.raises(ValueError, match="one file .* got b.npz, folder/a.npz. Add /FILE"):
        tiny_families.x3d(weights=ADDRESS)


@pytest.mark.parametrize(
    "address, message",
    [
        ("hf://owner/other", "weights: expected a repository of http.*, got 'owner/other'"),
        (f"{ADDRESS}/b.npz", "weights: expected a file of owner/name, got 'b.npz'"),
        (f"{ADDRESS}@v9", "weights: expected a revision of owner/name, got 'v9'"),
        (f"{ADDRESS}@v9/a.npz", "weights: expected a revision of owner/name, got 'v9'"),
        (ADDRESS, "one file .*keras or .*h5 or .*npz in the repository, got none in hf://owner"),
        (f"{ADDRESS}/a.pth", r"expected a file \*.keras .* because some kinds can execute code"),
        ("hf://name", "weights: expected hf://owner/name, .*, got 'hf://name'"),
        ("hf://owner/name/", "weights: expected hf://owner/name, "),
        ("hf://owner/name/../a.npz", "weights: expected hf://owner/name, "),
        ("hf://owner/name/a\\b.npz", "weights: expected hf://owner/name, "),
        ("hf://owner/name@", "weights: expected hf://owner/name, "),
        ("hf://../name", "weights: expected hf://owner/name, "),
    ],
)
def test_wrong_addresses(server, tmp_path, address, message):
    server.add("owner/name", {"a.pth": b"pickle", "README.md": b"text"})
    with pytest.raises(ValueError, match=message):
        tiny_families.x3d(weights=address)
    assert not complete(tmp_path)


def test_weights_are_no_model(server, saved):
    server.add("owner/name", {"model.npz": saved["model.npz"]})
    with pytest.raises(ValueError, match=r"address: expected one file \*.keras in the repository"):
        hub.load(ADDRESS)
    with pytest.raises(ValueError, match="address: expected a file .*keras, got .*model.npz"):
        hub.load(f"{ADDRESS}/model.npz")


def test_tokens(server, model, saved, monkeypatch):
    server.add("owner/name", {"model.keras": saved["model.keras"]})
    server.private.add("owner/name")
    with pytest.raises(RuntimeError, match="needs a token for owner/name, .*set HF_TOKEN"):
        hub.load(ADDRESS)
    with pytest.raises(RuntimeError, match="^address: http.* refused the token, or has no"):
        hub.load(ADDRESS, token="hf_wrong")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(RuntimeError, match="^weights: http.* refused the token, or has no"):
        tiny_families.x3d(weights=ADDRESS)
    assert same_weights(hub.load(ADDRESS, token=hub_server.READ), model)
    monkeypatch.setenv("HF_TOKEN", hub_server.READ)
    assert same_weights(tiny_families.x3d(weights=ADDRESS), model)


@pytest.mark.parametrize(
    "token, message",
    [
        (None, "^address: http.* needs a token for owner/new"),
        ("hf_wrong", "^address: http.* refused the token"),
        (hub_server.READ, "^address: the token does not permit this in owner/new.$"),
    ],
)
def test_push_without_the_right_token(server, model, token, message):
    with pytest.raises(RuntimeError, match=message):
        hub.push(model, "hf://owner/new", token=token)
    assert server.repositories == {} and server.large == {}


def test_a_hash_that_does_not_fit(server, model, saved, tmp_path):
    """Of large and of small files; nothing is left, and the next attempt is a new download."""
    small = io.BytesIO()
    np.savez(small, **{"classifier/bias": np.zeros(5, "float32")})
    assert len(small.getvalue()) < hub_server.LARGE < len(saved["model.keras"])
    server.add("owner/name", {"model.keras": saved["model.keras"], "small.npz": small.getvalue()})
    server.falsify = True
    for file in ("model.keras", "small.npz"):
        with pytest.raises(RuntimeError, match="^weights: expected a file with the hash .*removed"):
            tiny_families.x3d(weights=f"{ADDRESS}/{file}")
        assert not complete(tmp_path)
    server.falsify = False
    path = pretrained.fetch_from_hub("weights", f"{ADDRESS}/small.npz")
    assert Path(path).read_bytes() == small.getvalue()
    assert same_weights(hub.load(ADDRESS), model)


def test_a_damaged_file_in_the_cache_is_replaced(server, model, saved):
    server.add("owner/name", {"model.keras": saved["model.keras"]})
    path = pretrained.fetch_from_hub("address", ADDRESS)
    blob = Path(path).resolve()
    blob.write_bytes(blob.read_bytes()[:-100])
    with pytest.raises(RuntimeError, match="^address: expected a file with the hash"):
        hub.load(ADDRESS)
    assert same_weights(hub.load(ADDRESS), model)


def test_a_download_that_breaks_off_continues(server, model, saved):
    server.add("owner/name", {"model.keras": saved["model.keras"]})
    server.break_at, server.breaks = 1000, 2
    assert same_weights(hub.load(ADDRESS), model)
    assert server.breaks == 0


def test_a_download_that_stays_broken(server, model, saved, tmp_path):
    """One error; nothing is left under the final name, and nothing half-written elsewhere."""
    server.add("owner/name", {"model.keras": saved["model.keras"]})
    pretrained.fetch_from_hub("weights", ADDRESS)  # the list of files is not what breaks
    for path in (tmp_path / "cache").rglob("*"):
        if path.is_file() and "refs" not in path.parts:
            path.unlink()
    server.break_at, server.breaks = 0, 100
    with pytest.raises(RuntimeError, match="^weights: no complete answer from http.* owner/name"):
        tiny_families.x3d(weights=ADDRESS)
    assert server.breaks < 100
    assert not complete(tmp_path)
    server.breaks = 0
    assert same_weights(hub.load(ADDRESS), model)


def test_a_server_that_is_down(server, model):
    server.down = True
    with pytest.raises(RuntimeError, match=r"^address: no complete answer .*\(.*503"):
        hub.load(ADDRESS)
    with pytest.raises(RuntimeError, match=r"^address: no complete answer .*\(.*503"):
        hub.push(model, ADDRESS, token=hub_server.WRITE)


def with_config(data, change):
    """A `.keras` file with another config."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, change(content) if name == "config.json" else content)
    return out.getvalue()


def test_code_in_files_is_not_executed(server, tmp_path, monkeypatch):
    """Such a file does not even reach Keras, whose safe mode a program can switch off."""
    marker = tmp_path / "executed"
    name = str(marker)
    inputs = keras.Input((2,))
    layer = keras.layers.Lambda(lambda x: open(name, "w").close() or x)
    keras.Model(inputs, layer(inputs)).save(tmp_path / "lambda.keras")
    marker.unlink()
    keras.saving.load_model(tmp_path / "lambda.keras", safe_mode=False)
    assert marker.exists()  # the file is dangerous
    marker.unlink()
    monkeypatch.setattr(keras.saving, "load_model", None)
    data = (tmp_path / "lambda.keras").read_bytes()
    server.add("owner/name", {"model.keras": data})
    with pytest.raises(ValueError, match="address: expected a model without code in its file"):
        hub.load(ADDRESS)
    assert not marker.exists()
    for broken in (b"no zip", with_config(data, lambda _: b"{"), data[:100]):
        server.add("owner/name", {"model.keras": broken})
        with pytest.raises(ValueError, match="address: expected a .keras file, .*is damaged"):
            hub.load(ADDRESS)


def test_classes_that_are_not_known(server, saved):
    def rename(content):
        return content.replace(b"VideoClassifier", b"Unknown")

    server.add("owner/name", {"model.keras": with_config(saved["model.keras"], rename)})
    with pytest.raises(ValueError, match="^address: expected a model that Keras can load, got"):
        hub.load(ADDRESS)


def test_the_config_is_not_needed_for_weights(server, model, saved):
    """Builders read the weights in a `.keras` file, and its config only for what it knows."""
    for change in (lambda _: b"{", lambda _: b"[]", lambda _: b'{"config": 1}'):
        server.add("owner/name", {"model.keras": with_config(saved["model.keras"], change)})
        built = tiny_families.x3d(weights=ADDRESS)
        assert same_weights(built, model) and built.class_names is None


def test_arguments_of_push(server, model):
    for arguments, message in (
        ((model, "owner/name"), "address: expected hf://owner/name"),
        ((model, f"{ADDRESS}/model.keras"), "address: expected a repository, hf://owner/name, got"),
        (("model.keras", ADDRESS), "model: expected a Keras model, got str"),
        ((model, ADDRESS, None, None, " "), "message: expected a string that is not empty"),
        ((model, ADDRESS, None, "yes"), "private: expected one of True, False, None, got 'yes'"),
        ((model, ADDRESS, 5), "token: expected a string or None, got int"),
        ((model, ADDRESS, " "), "token: expected a string or None, got str"),
        ((model, ADDRESS, None, None, None, "host"), "endpoint: expected a url such as https://"),
    ):
        with pytest.raises(ValueError, match=message):
            hub.push(*arguments)
    assert server.requests == []


def test_push_again(server, saved, capsys):
    """A trained model is uploaded without its optimizer; a card written by hand is kept."""
    model = randomize_weights(tiny_families.x3d())
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    hub.push(model, ADDRESS, token=hub_server.WRITE, private=True, message="first")
    files = server.repositories["owner/name"]["main"]
    assert server.private == {"owner/name"}
    assert len(files["model.keras"]) < 1.5 * len(saved["model.keras"])
    assert model.optimizer.variables  # the model itself is as it was
    assert same_weights(hub.load(ADDRESS, token=hub_server.READ), model)
    text = files["README.md"]
    model.info["frame_rate"] = 7
    hub.push(model, ADDRESS, token=hub_server.WRITE)
    assert "7 frames per second" in files["README.md"].decode() and files["README.md"] != text
    files["README.md"] = "---\nlicense: mit\n---\nMy own text, größer.\n".encode()
    capsys.readouterr()
    hub.push(model, ADDRESS, token=hub_server.WRITE)
    assert (
        capsys.readouterr().out == "hub: README.md of owner/name was written by hand and is kept.\n"
    )
    assert "My own text" in files["README.md"].decode()
    assert server.messages[:2] == ["first", "Upload x3d_xs"]


def test_card_of_a_network_of_the_library():
    model = keras_video.applications.MoViNetA0(classes=4)
    model.info.update(
        labels=["left", "right", "up\n# down", "still"], measured={"top1": 81.5, "top5": None}
    )
    text = hub.card(model, ADDRESS)
    for line in (
        "# MoViNet-A0",
        "| family | MoViNet |",
        f"| parameters | {model.count_params():,} |",
        "| multiply-adds | 2.63 billion for one clip |",
        "| frames | 50 |",
        "| size | 172x172 pixels |",
        "| frame rate | 5 frames per second |",
        "| pixel values | 0 to 255 |",
        "| classes | 4 |",
        "- top-1 accuracy in percent: 81.5",
        "2. up # down",
        f'model = keras_video.hub.load("{ADDRESS}")',
        f'model = keras_video.applications.MoViNetA0(weights="{ADDRESS}", classes=10)',
    ):
        assert line in text.splitlines(), line
    stream = keras_video.applications.MoViNetA0(classes=4, streaming=True)
    text = hub.card(stream, ADDRESS)
    assert "| input | streams, frame by frame |" in text and "million for one frame |" in text
    assert "applications.MoViNetA0" not in text  # that would be another variant


@pytest.mark.parametrize("case", ["x3d", "blvnet_tam", "auto_tsnet", "x3d_max"])
def test_cards_of_other_families(case):
    model, _ = tiny_families.tiny_family(case)
    text = hub.card(model, ADDRESS)
    assert ("| multiply-adds |" in text) == (case != "x3d_max")
    assert "hub.load" in text and "None" not in text.split("## Use")[0]


def test_card_of_a_model_that_knows_nothing():
    inputs = keras.Input((4, 8, 8, 3))
    text = hub.card(keras.Model(inputs, inputs, name="plain"), ADDRESS)
    assert "# plain" in text and "| parameters | 0 |" in text and "| family |" not in text


def test_the_package_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for function in (hub.load, lambda address: tiny_families.x3d(weights=address)):
        with pytest.raises(ImportError, match=r"need huggingface_hub\. .* '\.\[hub\]'"):
            function(ADDRESS)


def test_metadata_is_yaml(model):
    text = hub.card(model, ADDRESS)
    yaml = pytest.importorskip("yaml", reason="needs keras-video[hub]")
    head = yaml.safe_load(text.split("---")[1])
    assert head["pipeline_tag"] == "video-classification" and "keras-video" in head["tags"]
