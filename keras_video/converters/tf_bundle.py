"""Reads TensorFlow checkpoints without TensorFlow.

A checkpoint `prefix` is a sorted string table `prefix.index`, which says for every tensor where its
bytes lie in `prefix.data-00000-of-00001` and its sister shards. Checkpoints of TensorFlow 2, and
the `variables/variables` of a SavedModel, also hold the graph of objects that own the variables
(`object_graph.py`); those of TensorFlow 1 hold variable names only.

Everything is bounded by the sizes of the files: a damaged or hostile file ends in one `ValueError`.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_video.converters.crc32c import masked_crc32c
from keras_video.converters.object_graph import ObjectGraph
from keras_video.converters.protobuf import read_fields, read_varint
from keras_video.converters.sorted_table import read_table

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
    """Where one tensor lies."""

    dtype: int
    shape: tuple
    shard: int
    offset: int
    size: int
    crc: int | None
    sliced: bool


class Checkpoint:
    """A checkpoint on disk, with the weights read one by one.

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
            raise ValueError(f"weights: expected the file {index}, which does not exist.")
        if index.stat().st_size > MAX_INDEX:
            raise ValueError(f"weights: {index} is larger than {MAX_INDEX} bytes: not an index.")
        try:
            records = read_table(index.read_bytes())
            self.shards = _read_header(records.pop("", None))
            self.entries = {key: _read_entry(value) for key, value in records.items()}
        except ValueError as error:
            raise ValueError(
                f"weights: {index} is not a whole TensorFlow checkpoint index: {error}."
            ) from None
        self._check_places()
        graph = self.entries.pop(GRAPH_KEY, None)
        self.graph = None if graph is None else self._read_graph(graph)

    def keys(self):
        """Checkpoint keys of all tensors, sorted."""
        return sorted(self.entries)

    def shape(self, key):
        return self._entry(key).shape

    def read(self, key):
        """The tensor as an array (bfloat16 becomes float32), or `bytes` for a single string."""
        entry = self._entry(key)
        if entry.sliced:
            raise ValueError(f"weights: {key} in {self.prefix} is partitioned; not supported.")
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
            raise ValueError(f"weights: {self.prefix} holds no tensor named {key!r}.")
        return self.entries[key]

    def _shard(self, number):
        return Path(f"{self.prefix}.data-{number:05d}-of-{self.shards:05d}")

    def _check_places(self):
        """Every tensor lies inside its file, and no two share bytes."""
        ends = {}
        for key, entry in sorted(self.entries.items(), key=lambda kv: (kv[1].shard, kv[1].offset)):
            if not entry.size:
                continue
            if not entry.shard < self.shards:
                raise ValueError(
                    f"weights: {self.prefix}.index puts {key} into shard {entry.shard} "
                    f"of {self.shards}."
                )
            if entry.offset < ends.get(entry.shard, 0):
                raise ValueError(f"weights: {self.prefix}.index has tensors overlap at {key}.")
            ends[entry.shard] = entry.offset + entry.size
        for shard, end in ends.items():
            path = self._shard(shard)
            if not path.is_file():
                raise ValueError(f"weights: {path}, a part of the checkpoint, does not exist.")
            size = path.stat().st_size
            if size < end:
                raise ValueError(
                    f"weights: {path} is cut off: expected at least {end} bytes, got {size}."
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
                f"weights: {path} is cut off: expected {entry.size} bytes at {entry.offset}, "
                f"got {len(data)}."
            )
        return data

    def _check_crc(self, key, entry, data):
        if entry.crc is not None and masked_crc32c(data) != entry.crc:
            raise ValueError(
                f"weights: {self._shard(entry.shard)} is damaged: the checksum of {key} "
                f"is not the one in the index."
            )

    def _read_string(self, key, entry):
        """One string: its length, a checksum of the length, its bytes."""
        if math.prod(entry.shape) != 1:
            raise ValueError(f"weights: {key} in {self.prefix} is an array of strings.")
        data = self._read_bytes(entry)
        try:
            length, start = read_varint(data, 0)
        except ValueError as error:
            raise ValueError(f"weights: {key} in {self.prefix}: {error}.") from None
        if start + 4 + length != len(data):
            raise ValueError(
                f"weights: {key} in {self.prefix}: expected a string of {length} bytes, "
                f"got {len(data) - start - 4}."
            )
        counted = length.to_bytes(4 if length < 2**32 else 8, "little")
        self._check_crc(key, entry, counted + data[start:])
        return data[start + 4 :]

    def _read_graph(self, entry):
        if entry.size > MAX_GRAPH:
            raise ValueError(
                f"weights: the object graph of {self.prefix} has {entry.size} bytes, "
                f"expected at most {MAX_GRAPH}."
            )
        try:
            return ObjectGraph(self._read_string(GRAPH_KEY, entry), self.entries)
        except ValueError as error:
            if str(error).startswith("weights:"):
                raise
            raise ValueError(f"weights: the object graph of {self.prefix}: {error}.") from None


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
