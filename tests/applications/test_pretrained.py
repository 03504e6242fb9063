import dataclasses
import gzip
import hashlib
import io
import tarfile

import numpy as np
import pytest

from keras_video.applications import pretrained
from keras_video.applications.pretrained import WeightsRecord, fetch, resolve_checkpoint
from keras_video.checkpoints.tensorflow import Checkpoint
from tests.tf_checkpoint_writer import ATTRIBUTE, write_checkpoint

NAME = "movinet_a0_base"
KEY = "x" + ATTRIBUTE


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "models" / "keras_video"


@pytest.fixture
def online(tmp_path):
    """An archive in the official form at a `file://` url: (record, path of the archive)."""
    folder = tmp_path / "online" / NAME
    write_checkpoint(folder / "ckpt-7", {KEY: np.arange(5000, dtype="float32")})
    (folder / "checkpoint").write_text('model_checkpoint_path: "ckpt-7"\n')
    path = tmp_path / "online" / f"{NAME}.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.add(folder, NAME)
    return WeightsRecord("kinetics600", "base", url=path.as_uri()), path


def left_behind(folder):
    return [p.name for p in folder.rglob(".unpacking-*")] if folder.exists() else []


def test_records_are_values_and_the_module_imports_no_keras():
    record = WeightsRecord("kinetics600", "base", url="https://example.com/a.tar.gz")
    with pytest.raises(dataclasses.FrozenInstanceError):
        record.url = "other"
    with pytest.raises(ValueError, match="url: expected one of url, file and page"):
        WeightsRecord("kinetics600", "base")
    assert "keras" not in vars(pretrained)


def test_fetch_unpacks_once(home, online, monkeypatch):
    record, path = online
    folder = fetch(record)
    assert (home / path.name).is_file() and folder.startswith(str(home))
    prefix = resolve_checkpoint(folder)
    np.testing.assert_array_equal(Checkpoint(prefix).read(KEY), np.arange(5000))
    assert not left_behind(home)
    path.unlink()
    monkeypatch.setattr(pretrained, "_unpack", None)  # would be an error if it was called
    assert fetch(record) == folder


def test_known_hashes_are_checked(home, online):
    record, path = online
    right = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(RuntimeError, match="hash"):
        fetch(dataclasses.replace(record, sha256="0" * 64))
    assert not (home / path.name).exists()
    assert fetch(dataclasses.replace(record, sha256=right))


def test_without_network_one_error_says_where_to_put_the_file(home, online):
    record, path = online
    data = path.read_bytes()
    path.unlink()
    with pytest.raises(RuntimeError) as error:
        fetch(record)
    assert record.url in str(error.value)
    place = str(error.value).rsplit("save the file as ")[1].removesuffix(".")
    assert place == str(home / path.name)
    assert not (home / path.name).exists()

    (home / path.name).write_bytes(data)
    assert Checkpoint(resolve_checkpoint(fetch(record))).keys() == [KEY]


def test_truncated_download_is_removed_and_tried_again(home, online):
    record, path = online
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="weights: .*is damaged .*download .*was removed"):
        fetch(record)
    assert not (home / path.name).exists() and not left_behind(home)
    path.write_bytes(whole)
    assert fetch(record)


@pytest.mark.parametrize("change", ["middle", "end"])
def test_damaged_archives(tmp_path, online, change):
    """Damage is found everywhere, also in the checksum at the end."""
    data = bytearray(online[1].read_bytes())
    data = data[:-3] if change == "end" else data
    data[len(data) // 2] ^= change == "middle"
    (tmp_path / "a.tar.gz").write_bytes(data)
    with pytest.raises(ValueError, match="expected a complete archive, got .*is damaged"):
        pretrained.unpack_once(tmp_path / "a.tar.gz", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_truncated_file_placed_by_hand_is_kept_and_named(home, online):
    record, path = online
    home.mkdir(parents=True)
    (home / path.name).write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="Replace it by a complete copy of file:"):
        fetch(record)
    assert (home / path.name).is_file() and not left_behind(home)


def test_plain_and_shipped_files(home, tmp_path):
    (tmp_path / "model.weights.h5").write_bytes(b"h5")
    record = WeightsRecord("x", "base", url=(tmp_path / "model.weights.h5").as_uri())
    assert fetch(record) == str(home / "model.weights.h5")
    (home / "modelA0").write_bytes(b"placed by hand")
    record = WeightsRecord("x", "base", url="https://example.invalid/weights/modelA0?raw=true")
    assert fetch(record) == str(home / "modelA0")
    shipped = WeightsRecord("x", "base", file="applications/pretrained.py")
    assert fetch(shipped) == pretrained.__file__
    with pytest.raises(ValueError, match="nothing.h5 of the package"):
        fetch(WeightsRecord("x", "base", file="nothing.h5"))


def member(name, kind=tarfile.REGTYPE, data=b"data", link="", **options):
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, len(data), link
    for option, value in options.items():
        setattr(info, option, value)
    return info, data


def make_archive(path, *members):
    with tarfile.open(path, "w:gz") as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))


@pytest.mark.parametrize(
    "info",
    [
        member("/etc/evil"),
        member("../evil"),
        member("a/../../evil"),
        member("a\\..\\evil"),
        member("c:evil"),
        member("link", tarfile.SYMTYPE, b"", link="/etc/passwd"),
        member("link", tarfile.LNKTYPE, b"", link="good"),
        member("device", tarfile.CHRTYPE, b""),
        member("pipe", tarfile.FIFOTYPE, b""),
        member("good"),  # twice
        member("good/below"),
    ],
    ids=lambda m: m[0].name,
)
def test_malicious_members_leave_nothing(tmp_path, info):
    make_archive(tmp_path / "a.tar.gz", member("good"), info)
    with pytest.raises(
        ValueError, match=r"weights: expected a (safe|complete) archive, got .*a\.tar\.gz"
    ):
        pretrained.unpack_once(tmp_path / "a.tar.gz", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    assert not (tmp_path / "evil").exists() and not (tmp_path.parent / "evil").exists()


def test_bombs_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "LIMIT", 100_000)
    make_archive(tmp_path / "big.tar.gz", member("a", data=bytes(200_000)))
    make_archive(tmp_path / "sum.tar.gz", *[member(f"{i}", data=bytes(30_000)) for i in range(5)])
    huge, _ = member("claims", data=b"")
    huge.size = 1 << 50
    (tmp_path / "claims.tar.gz").write_bytes(gzip.compress(huge.tobuf(tarfile.GNU_FORMAT)))
    header, _ = member("x", tarfile.XHDTYPE, b"")
    header.size = 1 << 40
    (tmp_path / "header.tar.gz").write_bytes(gzip.compress(header.tobuf(tarfile.GNU_FORMAT)))
    monkeypatch.setattr(pretrained, "MEMBERS", 6)
    make_archive(tmp_path / "many.tar.gz", *[member(f"{i}") for i in range(7)])
    for name in ("big", "sum", "claims", "header", "many"):
        with pytest.raises(
            ValueError, match=f"weights: expected a safe archive, got .*{name}.tar.gz"
        ):
            pretrained.unpack_once(tmp_path / f"{name}.tar.gz", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_resolve_checkpoint_accepts_all_forms(home, online, tmp_path):
    folder = tmp_path / "online" / NAME
    prefix = str(folder / "ckpt-7")
    assert resolve_checkpoint(folder / "ckpt-7") == prefix
    assert resolve_checkpoint(folder / "ckpt-7.index") == prefix
    assert resolve_checkpoint(folder / "ckpt-7.data-00000-of-00001") == prefix
    assert resolve_checkpoint(str(folder)) == prefix
    unpacked = resolve_checkpoint(online[1])
    assert unpacked.endswith("ckpt-7") and unpacked.startswith(str(home))
    assert Checkpoint(unpacked).keys() == [KEY]

    (folder / "checkpoint").unlink()
    assert resolve_checkpoint(folder) == prefix
    write_checkpoint(folder / "ckpt-8", {KEY: np.float32(1)})
    with pytest.raises(ValueError, match=r"expected one checkpoint .*ckpt-7.index.*ckpt-8.index"):
        resolve_checkpoint(folder)

    write_checkpoint(tmp_path / "saved" / "variables" / "variables", {KEY: np.float32(1)})
    (tmp_path / "saved" / "saved_model.pb").write_bytes(b"")
    expected = str(tmp_path / "saved" / "variables" / "variables")
    assert resolve_checkpoint(tmp_path / "saved") == expected

    (tmp_path / "model.pt").write_bytes(b"x")
    assert resolve_checkpoint(tmp_path / "model.pt") == str(tmp_path / "model.pt")


def test_resolve_checkpoint_says_what_is_wrong(tmp_path):
    with pytest.raises(ValueError, match="weights: .*which does not exist"):
        resolve_checkpoint(tmp_path / "nothing")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "notes.txt").write_text("x")
    with pytest.raises(ValueError, match=r"expected a checkpoint .*notes\.txt"):
        resolve_checkpoint(folder)
    write_checkpoint(tmp_path / "ckpt-1", {KEY: np.float32(1)})
    for name in ("../ckpt-1", str(tmp_path / "ckpt-1")):
        (folder / "checkpoint").write_text(f'model_checkpoint_path: "{name}"\n')
        with pytest.raises(ValueError, match="to name a checkpoint in its folder"):
            resolve_checkpoint(folder)
    (folder / "checkpoint").write_text('model_checkpoint_path: "ckpt-9"\n')
    with pytest.raises(ValueError, match="expected the checkpoint 'ckpt-9'"):
        resolve_checkpoint(folder)
    (folder / "checkpoint").write_text("garbage")
    with pytest.raises(ValueError, match="expected one line model_checkpoint_path"):
        resolve_checkpoint(folder)
