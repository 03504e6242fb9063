"""TensorFlow checkpoints, read without TensorFlow.

A checkpoint `prefix` consists of an index file `prefix.index` and data files such as
`prefix.data-00000-of-00001`. The index is a sorted string table that says for every tensor where
its bytes are in the data files. Checkpoints of TensorFlow 2, and `variables/variables` of a
SavedModel, also contain the graph of Python objects that own the variables; those of TensorFlow 1
contain variable names only.

The file is ordered bottom-up: protocol buffer fields, checksums, sorted string tables, the object
graph, and `Checkpoint`, which uses them all.

All loops and allocations are bounded by the sizes of the files or by constants. A damaged or
hostile file raises one `ValueError`.
"""

import math
from collections import deque
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np

# Protocol buffers: just enough of the wire format for checkpoint metadata.

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def read_varint(buffer, position):
    """Return `(value, next position)` of the base-128 number that starts at `position`."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(buffer):
            raise ValueError("a number is cut off")
        byte = buffer[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
    raise ValueError("a number is longer than 10 bytes")


def read_fields(message):
    """Yield `(field number, value)`; strings and messages are memoryviews, all others ints."""
    if isinstance(message, int):
        raise ValueError("a message is stored as a number")
    message = memoryview(message)
    position = 0
    while position < len(message):
        tag, position = read_varint(message, position)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            value, position = read_varint(message, position)
            yield number, value
            continue
        if kind == BYTES:
            size, position = read_varint(message, position)
        elif kind in (FIXED64, FIXED32):
            size = 8 if kind == FIXED64 else 4
        else:
            raise ValueError(f"unknown wire type {kind}")
        if size > len(message) - position:
            raise ValueError(f"a field of {size} bytes where {len(message) - position} are left")
        value = message[position : position + size]
        position += size
        yield number, value if kind == BYTES else int.from_bytes(value, "little")


def text(value):
    """Return a string field as `str`."""
    if not isinstance(value, memoryview):
        raise ValueError("a string is stored as a number")
    return bytes(value).decode("utf-8", "replace")


# Checksums.

LANE = 256  # bytes per lane
SHORT = 16384  # bytes; below that a plain loop is faster


def _make_table():
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(0x82F63B78), table >> 1)
    return table


TABLE = _make_table()
TABLE_LIST = TABLE.tolist()


def crc32c(data):
    """Return the CRC-32C (Castagnoli) of a bytes-like object as an int.

    A CRC is linear over GF(2). Long data is divided into lanes of `LANE` bytes, whose CRCs are
    computed in parallel and then combined pairwise with the matrix that appends zero bytes. Leading
    zeros do not change a CRC, so the data is padded at the front. About 100 MB per second.
    """
    data = np.frombuffer(data, np.uint8)
    if data.size < SHORT:
        state = 0xFFFFFFFF
        for byte in data.tolist():
            state = TABLE_LIST[(state ^ byte) & 255] ^ (state >> 8)
        return state ^ 0xFFFFFFFF

    lanes = -(-data.size // LANE)
    padded = np.zeros(lanes * LANE, np.uint8)
    start = padded.size - data.size
    padded[start:] = data
    padded[start : start + 4] ^= 255  # the initial state of a CRC is all ones
    state = np.zeros(lanes, np.uint32)
    for column in np.ascontiguousarray(padded.reshape(lanes, LANE).T):
        state = TABLE[(state ^ column) & 255] ^ (state >> 8)
    level = 0
    while state.size > 1:
        if state.size % 2:
            state = np.concatenate([np.zeros(1, np.uint32), state])
        state = _apply(_append_zeros(level), state[0::2]) ^ state[1::2]
        level += 1
    return int(state[0]) ^ 0xFFFFFFFF


def masked_crc32c(data):
    """Return the CRC in the form that checkpoints store: rotated, plus a constant."""
    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _apply(matrix, states):
    result = np.zeros_like(states)
    for i, row in enumerate(matrix):
        result ^= row * ((states >> np.uint32(i)) & np.uint32(1))
    return result


@cache
def _append_zeros(level):
    """Return what each of the 32 state bits becomes after `LANE * 2**level` zero bytes."""
    if level:
        half = _append_zeros(level - 1)
        return _apply(half, half)
    states = np.uint32(1) << np.arange(32, dtype=np.uint32)
    for _ in range(LANE):
        states = TABLE[states & 255] ^ (states >> 8)
    return states


# Sorted string tables.

MAGIC = bytes.fromhex("57fb808b247547db")
FOOTER = 48
TRAILER = 5  # bytes after a block: one for the compression, four for the checksum
MAX_RECORDS = 200_000
MAX_KEY = 4096
MAX_KEYS = 64 << 20  # bytes of all keys; prefixes are shared, so a small file can have many


def read_table(data):
    """Return all records of a sorted string table (the LevelDB format) as `{key: bytes}`."""
    if len(data) < FOOTER or data[-8:] != MAGIC:
        raise ValueError(
            f"expected the magic number {MAGIC.hex()} at the end, "
            f"got {data[-8:].hex() or 'an empty file'}"
        )
    footer = data[-FOOTER:-8]
    _, position = _read_handle(footer, 0)
    index, _ = _read_handle(footer, position)
    records, total, previous = {}, 0, None
    for _, handle in _read_block(data, index):
        for key, value in _read_block(data, _read_handle(handle, 0)[0]):
            if previous is not None and key <= previous:
                raise ValueError("its keys are not in order")
            previous = key
            total += len(key)
            if total > MAX_KEYS or len(records) >= MAX_RECORDS:
                raise ValueError(f"it has more than {MAX_RECORDS} tensors or {MAX_KEYS} key bytes")
            records[key.decode("utf-8", "replace")] = value
    return records


def _read_handle(buffer, position):
    offset, position = read_varint(buffer, position)
    size, position = read_varint(buffer, position)
    return (offset, size), position


def _read_block(data, handle):
    """Yield the `(key, value)` pairs of one block. Keys share a prefix with the previous key."""
    offset, size = handle
    if offset + size + TRAILER > len(data) - FOOTER:
        raise ValueError(
            f"expected a block of {size} bytes at {offset}, got a file of {len(data)} bytes"
        )
    block = memoryview(data)[offset : offset + size + TRAILER]
    kind, crc = block[size], int.from_bytes(block[size + 1 :], "little")
    if masked_crc32c(block[: size + 1]) != crc:
        raise ValueError(f"the checksum of the block at {offset} is wrong")
    if kind:
        name = "Snappy" if kind == 1 else f"compression {kind}"
        raise ValueError(f"the block at {offset} is compressed ({name}), which is not supported")
    restarts = int.from_bytes(block[max(size - 4, 0) : size], "little")
    end = size - 4 * (restarts + 1)
    if end < 0:
        raise ValueError(f"the block at {offset} has no room for {restarts} restart points")
    key, position = b"", 0
    while position < end:
        shared, position = read_varint(block, position)
        unshared, position = read_varint(block, position)
        length, position = read_varint(block, position)
        stop = position + unshared + length
        if shared > len(key) or shared + unshared > MAX_KEY or stop > end:
            raise ValueError(f"the block at {offset} has a record that does not fit")
        key = key[:shared] + bytes(block[position : position + unshared])
        yield key, bytes(block[position + unshared : stop])
        position = stop


# The object graph.

MAX_NODES = 500_000
MAX_PATH = 4096
VARIABLE = "VARIABLE_VALUE"


class ObjectGraph:
    """The graph of Python objects in a TensorFlow 2 checkpoint. Node 0 is the root.

    Objects have named children; some objects are variables. An object can have several parents,
    and the graph can have cycles.

    Args:
        data: bytes of a `TrackableObjectGraph` message.
        keys: keys of the checkpoint. Variables with other keys are ignored.
    """

    def __init__(self, data, keys):
        self.nodes = [node for number, node in read_fields(data) if number == 1]
        if not self.nodes or len(self.nodes) > MAX_NODES:
            raise ValueError(f"expected 1 to {MAX_NODES} objects, got {len(self.nodes)}")
        self.keys = keys
        self.children = lru_cache(4096)(self._children)
        for node in range(len(self.nodes)):  # raises if the graph is damaged
            self._children(node), self.variable(node)

    def _children(self, node):
        """Return `{name: node}` of the children of a node."""
        result = {}
        for number, child in read_fields(self.nodes[node]):
            if number == 1:
                fields = dict(read_fields(child))
                target = fields.get(1, 0)
                if not isinstance(target, int) or target >= len(self.nodes):
                    raise ValueError(f"object {node} has a child {target!r} that does not exist")
                result[text(fields.get(2, memoryview(b"")))] = target
        return result

    def variable(self, node):
        """Return `(checkpoint key, variable name)` of a node, or `(None, None)`."""
        for number, attribute in read_fields(self.nodes[node]):
            if number == 2:
                fields = dict(read_fields(attribute))
                name, full_name, key = (text(fields.get(i, memoryview(b""))) for i in (1, 2, 3))
                if name == VARIABLE and key in self.keys:
                    return key, full_name
        return None, None

    def node(self, *path, root=0):
        """Return the node at the end of a path of child names, or `None`."""
        for name in path:
            root = self.children(root).get(name)
            if root is None:
                return None
        return root

    def find(self, *path, root=0):
        """Return the checkpoint key of the variable at the end of a path of names, or `None`."""
        node = self.node(*path, root=root)
        return None if node is None else self.variable(node)[0]

    def walk(self, root=0):
        """Yield `(path, node)` of all nodes below `root`, each once, breadth first."""
        queue, seen = deque([("", root)]), {root}
        while queue:
            path, node = queue.popleft()
            if len(path) > MAX_PATH:
                raise ValueError(
                    f"weights: expected paths of at most {MAX_PATH} characters in the object graph."
                )
            yield path, node
            for name, child in self.children(node).items():
                if child not in seen:
                    seen.add(child)
                    queue.append((f"{path}/{name}" if path else name, child))

    def variables(self, root=0):
        """Return `{path of child names: checkpoint key}` below `root`, one path per variable."""
        found = {path: self.variable(node)[0] for path, node in self.walk(root)}
        return {path: key for path, key in found.items() if key is not None}

    def names(self):
        """Return `{variable name: checkpoint key}` with the names in TensorFlow."""
        found = (self.variable(node) for node in range(len(self.nodes)))
        return {name: key for key, name in found if key is not None}


# Checkpoints.

MAX_INDEX = 16 << 20
MAX_GRAPH = 16 << 20
MAX_RANK = 32
GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
STRING, BFLOAT16 = 7, 14
DTYPES = {
    1: "<f4", 2: "<f8", 3: "<i4", 4: "u1", 5: "<i2", 6: "i1", 9: "<i8", 10: "?", 14: "<u2",
    17: "<u2", 19: "<f2", 22: "<u4", 23: "<u8",
}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """Type, shape and place of one tensor."""

    dtype: int
    shape: tuple
    shard: int
    offset: int
    size: int
    crc: int | None
    sliced: bool


def _read_header(header):
    if header is None:
        raise ValueError("it has no header")
    fields = dict(read_fields(header))
    if fields.get(2, 0) != 0:
        raise ValueError("it was written on a big-endian machine, which is not supported")
    shards = fields.get(1, 1)
    if not isinstance(shards, int) or not 1 <= shards <= 99999:
        raise ValueError(f"expected 1 to 99999 data files, got {shards!r}")
    return shards


def _read_entry(value):
    fields = dict(read_fields(value))
    shape = []
    for number, dim in read_fields(fields.get(2, b"")):
        if number == 2:
            shape.append(dict(read_fields(dim)).get(1, 0))
    numbers = [fields.get(i, 0) for i in (1, 3, 4, 5)]
    if not all(isinstance(n, int) and n < 2**63 for n in [*numbers, *shape]):
        raise ValueError("a tensor has a size that is negative or no number")
    dtype, shard, offset, size = numbers
    if len(shape) > MAX_RANK:
        raise ValueError(f"a tensor has {len(shape)} dimensions, expected at most {MAX_RANK}")
    sliced = 7 in fields
    if dtype != STRING and not sliced:
        if dtype not in DTYPES:
            raise ValueError(f"a tensor has the unknown type number {dtype}")
        expected = math.prod(shape) * np.dtype(DTYPES[dtype]).itemsize
        if expected != size or math.prod(dim or 1 for dim in shape) >= 2**59:
            raise ValueError(f"a tensor of shape {tuple(shape)} has {size} bytes, not {expected}")
    return Entry(dtype, tuple(shape), shard, offset, size, fields.get(6), sliced)


class Checkpoint:
    """A checkpoint on disk. Tensors are read one by one.

    Args:
        prefix: path without `.index`, for example `movinet_a0_base/ckpt-1` or
            `saved_model/variables/variables`.

    Attributes:
        graph: `ObjectGraph`, or `None` in a checkpoint of TensorFlow 1.

    Example:
    >>> checkpoint = Checkpoint("movinet_a0_base/ckpt-1")
    >>> checkpoint.read(checkpoint.graph.find("model", "layer_with_weights-0", ...))
    """

    def __init__(self, prefix):
        self.prefix = str(prefix)
        index = Path(self.prefix + ".index")
        if not index.is_file():
            raise ValueError(f"weights: expected the file {index}, got none.")
        if index.stat().st_size > MAX_INDEX:
            raise ValueError(
                f"weights: expected an index of at most {MAX_INDEX} bytes, got {index}."
            )
        try:
            records = read_table(index.read_bytes())
            self.shards = _read_header(records.pop("", None))
            self.entries = {key: _read_entry(value) for key, value in records.items()}
        except ValueError as error:
            raise ValueError(
                f"weights: expected a TensorFlow checkpoint index, got {index}: {error}."
            ) from None
        self._check_places()
        graph = self.entries.pop(GRAPH_KEY, None)
        self.graph = None if graph is None else self._read_graph(graph)

    def keys(self):
        """Return the keys of all tensors, sorted."""
        return sorted(self.entries)

    def shape(self, key):
        """Return the shape of a tensor."""
        return self._entry(key).shape

    def read(self, key):
        """Return a tensor as an array (float32 for bfloat16), or as bytes if it is a string."""
        entry = self._entry(key)
        if entry.sliced:
            raise ValueError(
                f"weights: expected whole tensors in {self.prefix}, got {key} in several parts."
            )
        if entry.dtype == STRING:
            return self._read_string(key, entry)
        data = self._read_bytes(entry)
        self._check_crc(key, entry, data)
        array = np.frombuffer(data, DTYPES[entry.dtype])
        if entry.dtype == BFLOAT16:
            array = (array.astype(np.uint32) << 16).view(np.float32)
        return array.reshape(entry.shape)

    def _entry(self, key):
        if key not in self.entries:
            raise ValueError(
                f"weights: expected a tensor in {self.prefix}, got the unknown key {key!r}."
            )
        return self.entries[key]

    def _shard(self, number):
        return Path(f"{self.prefix}.data-{number:05d}-of-{self.shards:05d}")

    def _check_places(self):
        """Check that all tensors are inside their files and do not overlap."""
        ends = {}
        for key, entry in sorted(self.entries.items(), key=lambda kv: (kv[1].shard, kv[1].offset)):
            if not entry.size:
                continue
            if not entry.shard < self.shards:
                raise ValueError(
                    f"weights: expected shards below {self.shards} in {self.prefix}.index, got "
                    f"{entry.shard} for {key}."
                )
            if entry.offset < ends.get(entry.shard, 0):
                raise ValueError(
                    f"weights: expected separate tensors in {self.prefix}.index, got an overlap "
                    f"at {key}."
                )
            ends[entry.shard] = entry.offset + entry.size
        for shard, end in ends.items():
            path = self._shard(shard)
            if not path.is_file():
                raise ValueError(
                    f"weights: expected the file {path}, a part of the checkpoint, got none."
                )
            size = path.stat().st_size
            if size < end:
                raise ValueError(
                    f"weights: expected at least {end} bytes in {path}, got {size}: it is cut off."
                )

    def _read_bytes(self, entry):
        if not entry.size:
            return b""
        path = self._shard(entry.shard)
        with open(path, "rb") as file:
            file.seek(entry.offset)
            data = file.read(entry.size)
        if len(data) != entry.size:
            raise ValueError(
                f"weights: expected {entry.size} bytes at {entry.offset} in {path}, got "
                f"{len(data)}: it is cut off."
            )
        return data

    def _check_crc(self, key, entry, data):
        if entry.crc is not None and masked_crc32c(data) != entry.crc:
            raise ValueError(
                f"weights: expected the checksum of the index for {key}, got another one: "
                f"{self._shard(entry.shard)} is damaged."
            )

    def _read_string(self, key, entry):
        """Read a string: its length, a checksum of the length, its bytes."""
        if math.prod(entry.shape) != 1:
            raise ValueError(
                f"weights: expected a single string for {key} in {self.prefix}, got an array."
            )
        data = self._read_bytes(entry)
        try:
            length, start = read_varint(data, 0)
        except ValueError as error:
            raise ValueError(f"weights: {key} in {self.prefix}: {error}.") from None
        if start + 4 + length != len(data):
            raise ValueError(
                f"weights: expected a string of {length} bytes for {key} in {self.prefix}, got "
                f"{len(data) - start - 4}."
            )
        counted = length.to_bytes(4 if length < 2**32 else 8, "little")
        self._check_crc(key, entry, counted + data[start:])
        return data[start + 4 :]

    def _read_graph(self, entry):
        if entry.size > MAX_GRAPH:
            raise ValueError(
                f"weights: expected an object graph of at most {MAX_GRAPH} bytes in "
                f"{self.prefix}, got {entry.size}."
            )
        try:
            return ObjectGraph(self._read_string(GRAPH_KEY, entry), self.entries)
        except ValueError as error:
            if str(error).startswith("weights:"):
                raise
            raise ValueError(f"weights: the object graph of {self.prefix}: {error}.") from None
