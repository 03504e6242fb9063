import json
import zlib
from pathlib import Path

import numpy as np
import pytest

from keras_video.checkpoints import tensorflow as checksum
from keras_video.checkpoints.tensorflow import Checkpoint, ObjectGraph, read_table
from tests import tf_checkpoint_writer as writer

SHARED = Path(__file__).parents[2].parent / "shared"
END = writer.ATTRIBUTE


def arrays():
    r = np.random.default_rng(0)
    return {
        f"model/a/kernel{END}": r.standard_normal((3, 5, 7)).astype("float32"),
        f"model/a/bias{END}": r.standard_normal(7).astype("float32"),
        f"model/b/_conv/kernel{END}": r.standard_normal((64, 128)).astype("float32"),
        f"model/b/scale{END}": np.float32(0.25),
        f"model/empty{END}": np.zeros((0, 3), "float32"),
        f"save_counter{END}": np.int64(7),
        f"half{END}": r.standard_normal(4).astype("float16"),
    }


@pytest.fixture
def prefix(tmp_path):
    writer.write_checkpoint(tmp_path / "ckpt-1", arrays(), block_size=60)
    return tmp_path / "ckpt-1"


def data_file(prefix):
    return Path(f"{prefix}.data-00000-of-00001")


def index_file(prefix):
    return Path(f"{prefix}.index")


@pytest.mark.parametrize("size", [1, 255, 16384, 16385, 20001, 65536 + 17])
def test_checksum_of_long_data_equals_the_byte_loop(size, monkeypatch):
    data = np.random.default_rng(size).integers(0, 256, size, dtype=np.uint8).tobytes()
    fast = checksum.crc32c(data)
    monkeypatch.setattr(checksum, "SHORT", size + 1)
    assert fast == checksum.crc32c(data)


def test_checksum_has_the_published_values():
    assert checksum.crc32c(b"123456789") == 0xE3069283
    assert checksum.crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720


@pytest.mark.parametrize("shards", [1, 3])
def test_reads_what_was_written(tmp_path, shards):
    expected = arrays()
    writer.write_checkpoint(tmp_path / "c", expected, shards=shards, block_size=100)
    checkpoint = Checkpoint(tmp_path / "c")
    assert checkpoint.keys() == sorted(expected)
    for key, value in expected.items():
        got = checkpoint.read(key)
        assert got.dtype == value.dtype and checkpoint.shape(key) == value.shape
        np.testing.assert_array_equal(got, value)


def test_bfloat16_becomes_float32(tmp_path, monkeypatch):
    monkeypatch.setitem(writer.TYPES, "uint16", 14)
    writer.write_checkpoint(tmp_path / "c", {"x" + END: np.array([0x3F80, 0xC000], "uint16")})
    np.testing.assert_array_equal(Checkpoint(tmp_path / "c").read("x" + END), [1.0, -2.0])


def test_graph_is_walked_by_child_names(tmp_path):
    links = {"again": "model/b", "model/b/parent": "", "model/a/b": "model/b"}
    writer.write_checkpoint(tmp_path / "c", arrays(), links=links)
    graph = Checkpoint(tmp_path / "c").graph
    key = f"model/b/_conv/kernel{END}"
    assert graph.find("model", "b", "_conv", "kernel") == key
    assert graph.find("again", "_conv", "kernel") == key
    assert graph.find("model", "a", "b", "parent", "again", "_conv", "kernel") == key
    assert graph.find("model", "c", "kernel") is None
    assert graph.find("model", "b") is None  # no variable
    assert graph.variables(graph.node("model")) == {
        "a/kernel": f"model/a/kernel{END}",
        "a/bias": f"model/a/bias{END}",
        "b/_conv/kernel": key,
        "b/scale": f"model/b/scale{END}",
        "b/parent/half": f"half{END}",
        "b/parent/save_counter": f"save_counter{END}",
        "empty": f"model/empty{END}",
    }


def test_optimizer_slots_are_no_children(tmp_path):
    slot = f"model/a/kernel/.OPTIMIZER_SLOT/optimizer/average{END}"
    writer.write_checkpoint(tmp_path / "c", {**arrays(), slot: np.zeros((3, 5, 7), "float32")})
    checkpoint = Checkpoint(tmp_path / "c")
    assert slot in checkpoint.keys()
    assert slot not in checkpoint.graph.variables().values()


def test_without_graph_the_keys_are_names(tmp_path):
    writer.write_checkpoint(tmp_path / "c", {"Block-0-0/Expand/kernel": np.ones(3)}, graph=False)
    checkpoint = Checkpoint(tmp_path / "c")
    assert checkpoint.graph is None
    assert checkpoint.keys() == ["Block-0-0/Expand/kernel"]


def test_reads_a_name_based_bundle_of_tensorflow():
    folder = SHARED / "reference" / "tvn" / "tvn1_thin"
    if not folder.is_dir():
        pytest.skip("reference data is not here")
    manifest = json.loads((folder / "manifest.json").read_text())
    gain = json.loads((folder / "cases.json").read_text())["cases"][0]["kernel_gain"]
    checkpoint = Checkpoint(folder / "variables" / "variables")
    assert checkpoint.graph is None
    assert checkpoint.keys() == sorted(manifest)
    for name, shape in manifest.items():
        value = checkpoint.read(name)
        assert list(value.shape) == list(shape)
        if name.endswith("/kernel"):
            noise = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)
            expected = noise * np.sqrt(gain / np.prod(shape[:-1]))
            np.testing.assert_array_equal(value, expected.astype("float32"))


def test_truncated_data_names_file_and_sizes(prefix):
    data = data_file(prefix).read_bytes()
    data_file(prefix).write_bytes(data[:-1])
    with pytest.raises(ValueError, match="weights: .*data-00000") as error:
        Checkpoint(prefix)
    assert f"at least {len(data)} bytes" in str(error.value)
    assert f"got {len(data) - 1}: it is cut off" in str(error.value)


@pytest.mark.parametrize("size", [0, 7, 47, -1, -20])
def test_truncated_index_is_one_error(prefix, size):
    index_file(prefix).write_bytes(index_file(prefix).read_bytes()[:size])
    with pytest.raises(
        ValueError, match=r"weights: expected a TensorFlow checkpoint index, got .*ckpt-1\.index"
    ):
        Checkpoint(prefix)


def test_missing_files(prefix):
    with pytest.raises(ValueError, match=r"weights: expected the file .*nothing\.index"):
        Checkpoint(prefix.parent / "nothing")
    data_file(prefix).unlink()
    with pytest.raises(ValueError, match="expected the file .*data-00000-of-00001.*, got none"):
        Checkpoint(prefix)


def test_changed_bytes_are_found(prefix):
    data = bytearray(data_file(prefix).read_bytes())
    checkpoint = Checkpoint(prefix)
    key = f"model/b/_conv/kernel{END}"
    data[checkpoint.entries[key].offset + 1000] ^= 1
    data_file(prefix).write_bytes(data)
    Checkpoint(prefix).read(f"model/a/kernel{END}")
    with pytest.raises(
        ValueError, match="expected the checksum of the index for model/b/_conv/kernel.* is damaged"
    ):
        Checkpoint(prefix).read(key)


def test_every_changed_index_byte_is_an_error_or_harmless(prefix):
    """Fuzz the whole index: no other exception, no wrong value."""
    index = index_file(prefix).read_bytes()
    expected = arrays()
    for position in range(0, len(index), 3):
        index_file(prefix).write_bytes(
            index[:position] + bytes([index[position] ^ 0x55]) + index[position + 1 :]
        )
        try:
            checkpoint = Checkpoint(prefix)
        except ValueError as error:
            assert str(error).startswith("weights: ")
            continue
        for key in checkpoint.keys():
            np.testing.assert_array_equal(checkpoint.read(key), expected[key])


def test_compressed_blocks_are_refused():
    handle, file = writer.append_block(b"", {b"": b"x"}, kind=1)
    index, file = writer.append_block(file, {b"": handle})
    with pytest.raises(ValueError, match="Snappy"):
        read_table(file + (index + index).ljust(40, b"\0") + writer.MAGIC)


def test_one_block_cannot_be_listed_twice():
    handle, file = writer.append_block(b"", {b"a": b"x", b"b": b"x"})
    index, file = writer.append_block(file, {b"b": handle, b"c": handle})
    with pytest.raises(ValueError, match="not in order"):
        read_table(file + (index + index).ljust(40, b"\0") + writer.MAGIC)


def entry(dtype=1, shape=(), shard=0, offset=0, size=4):
    dims = b"".join(writer.message(2, writer.integer(1, n)) for n in shape)
    fields = [(3, shard), (4, offset), (5, size)]
    return (
        writer.integer(1, dtype)
        + writer.message(2, dims)
        + b"".join(writer.integer(n, value) for n, value in fields)
    )


@pytest.mark.parametrize(
    "records, message",
    [
        ({}, "no header"),
        ({"": writer.integer(1, 10**9)}, "1 to 99999 data files"),
        ({"": writer.integer(2, 1)}, "big-endian"),
        ({"x": entry(dtype=99)}, "unknown type"),
        ({"x": entry(size=2**62)}, "bytes, not 4"),
        ({"x": entry(shape=(2**62,), size=2**64 - 1)}, "negative"),
        ({"x": entry(shape=(0, 2**62, 2**62), size=0)}, "of shape"),
        ({"x": entry(shape=(1,) * 40)}, "40 dimensions"),
        ({"x": entry(shard=5)}, "shards below 1 .* got 5 for x"),
        ({"x": entry(offset=2**40)}, "cut off"),
        ({"x": entry(), "y": entry(offset=2)}, "overlap"),
        ({"x": b"\xff" * 20}, "longer than 10 bytes"),
    ],
)
def test_hostile_records(tmp_path, records, message):
    if records and "" not in records:
        records = {"": writer.integer(1, 1), **records}
    (tmp_path / "c.index").write_bytes(writer.encode_table(records))
    (tmp_path / "c.data-00000-of-00001").write_bytes(bytes(8))
    with pytest.raises(ValueError, match=message) as error:
        Checkpoint(tmp_path / "c")
    assert str(error.value).startswith("weights: ")


def test_shared_prefixes_cannot_blow_up_the_memory():
    first = writer.varint(0) + writer.varint(4000) + writer.varint(0) + b"k" * 4000
    head = writer.varint(4000) + writer.varint(4) + writer.varint(0)
    block = first + b"".join(head + i.to_bytes(4, "big") for i in range(20_000))
    block += (0).to_bytes(4, "little") + (1).to_bytes(4, "little") + b"\0"
    file = block + writer.masked_crc32c(block).to_bytes(4, "little")
    handle = writer.varint(0) + writer.varint(len(block) - 1)
    index, file = writer.append_block(file, {b"l": handle})
    with pytest.raises(ValueError, match="key bytes"):
        read_table(file + (index + index).ljust(40, b"\0") + writer.MAGIC)


@pytest.mark.parametrize(
    "graph, message",
    [
        (b"", "expected 1 to"),
        (writer.message(1, writer.message(1, writer.integer(1, 3))), "does not exist"),
        (writer.message(1, b"\x0a\x7f"), "127 bytes where 0 are left"),
        (b"\x0b", "wire type"),
    ],
)
def test_hostile_graphs(graph, message):
    with pytest.raises(ValueError, match=message):
        ObjectGraph(graph, {})


def test_deep_graphs_need_no_recursion():
    nodes = [
        writer.message(1, writer.integer(1, i + 1) + writer.message(2, b"a")) for i in range(1500)
    ]
    graph = ObjectGraph(b"".join(writer.message(1, node) for node in [*nodes, b""]), {})
    assert len(list(graph.walk())) == 1501
    assert graph.node(*["a"] * 1500) == 1500


def test_tensorflow_reads_ours_and_we_read_tensorflow(tmp_path):
    tf = pytest.importorskip("tensorflow")
    expected = arrays()
    writer.write_checkpoint(tmp_path / "ours", expected, shards=2, block_size=100)
    reader = tf.train.load_checkpoint(str(tmp_path / "ours"))
    names = set(reader.get_variable_to_shape_map())
    assert names == {*expected, writer.GRAPH_KEY}
    for key, value in expected.items():
        np.testing.assert_array_equal(reader.get_tensor(key), value)

    class Part(tf.Module):
        pass

    root, part = Part(), Part()
    kernel = np.random.default_rng(1).random((300, 200), "float32")
    part.kernel = tf.Variable(kernel, name="b0/l0/bneck/kernel")
    part.flags = tf.Variable([True, False])
    part.steps = tf.Variable(3, dtype="int64")
    part.short = tf.Variable([0.5, -3.0], dtype="bfloat16")
    root.first = root.second = part
    part.parent = root
    restored = tf.Variable(tf.zeros((64, 128)))
    box = Part()
    box.kernel = restored
    holder = Part()
    holder._conv = box
    middle = Part()
    middle.b = holder
    tf.train.Checkpoint(model=middle).read(str(tmp_path / "ours")).expect_partial()
    np.testing.assert_array_equal(restored.numpy(), expected[f"model/b/_conv/kernel{END}"])

    saved = tf.train.Checkpoint(model=root).save(str(tmp_path / "theirs"))
    checkpoint = Checkpoint(saved)
    find = checkpoint.graph.find
    assert find("model", "second", "kernel") == find("model", "first", "kernel")
    for name in ("kernel", "flags", "steps", "short"):
        key = find("model", "first", "parent", "second", name)
        expected = np.asarray(tf.cast(getattr(part, name), getattr(part, name).dtype))
        np.testing.assert_array_equal(
            checkpoint.read(key), expected.astype(checkpoint.read(key).dtype)
        )
    assert checkpoint.read(find("save_counter")) == 1
    assert checkpoint.keys() == sorted(
        k
        for k in tf.train.load_checkpoint(saved).get_variable_to_shape_map()
        if k != writer.GRAPH_KEY
    )

    tf.saved_model.save(root, str(tmp_path / "saved"))
    saved = Checkpoint(tmp_path / "saved" / "variables" / "variables")
    key = saved.graph.find("first", "kernel")
    assert saved.graph.names()[part.kernel.name.removesuffix(":0")] in saved.keys()
    np.testing.assert_array_equal(saved.read(key), part.kernel.numpy())
