"""Reads sorted string tables, the LevelDB format of TensorFlow's checkpoint indices."""

from keras_video.converters.crc32c import masked_crc32c
from keras_video.converters.protobuf import read_varint

MAGIC = bytes.fromhex("57fb808b247547db")
FOOTER = 48
TRAILER = 5  # one byte for the compression, four for the checksum
MAX_RECORDS = 200_000
MAX_KEY = 4096
MAX_KEYS = 64 << 20  # bytes of all keys together: they share prefixes, so a small file holds many


def read_table(data):
    """All records of a sorted string table, as `{key: bytes}`."""
    if len(data) < FOOTER or data[-8:] != MAGIC:
        raise ValueError(
            f"expected it to end with the magic number {MAGIC.hex()}, "
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
    """Yields the `(key, value)` pairs of one block; a key repeats the start of the one before."""
    offset, size = handle
    if offset + size + TRAILER > len(data) - FOOTER:
        raise ValueError(f"expected a block of {size} bytes at {offset}, got {len(data)} in all")
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
