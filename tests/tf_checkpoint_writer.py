"""Write TensorFlow checkpoints without TensorFlow, for tests on any backend."""

from pathlib import Path

import numpy as np

from keras_video.checkpoints.tensorflow import masked_crc32c

MAGIC = bytes.fromhex("57fb808b247547db")
ATTRIBUTE = "/.ATTRIBUTES/VARIABLE_VALUE"
GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
TYPES = {"float32": 1, "float64": 2, "int32": 3, "uint8": 4, "int64": 9, "bool": 10, "float16": 19}
RESTART_INTERVAL = 16


def write_checkpoint(prefix, arrays, graph=True, names=None, links=None, shards=1, block_size=4096):
    """Write `prefix.index` and `prefix.data-...`.

    Args:
        prefix: path without extension; its folder is made.
        arrays: dict, checkpoint key to array.
        graph: bool, writes the object graph that the keys describe. Without it the file looks like
            one of TensorFlow 1.
        names: dict, checkpoint key to variable name, for the object graph.
        links: dict, path of child names to another such path: a second way to the same object.
        shards: int, number of data files.
        block_size: int, bytes after which a new block of the index begins.
    """
    Path(prefix).parent.mkdir(parents=True, exist_ok=True)
    arrays = {key: np.asarray(value) for key, value in arrays.items()}
    tensors = {
        key: (TYPES[a.dtype.name], a.shape, a.tobytes(), masked_crc32c(a.tobytes()))
        for key, a in arrays.items()
    }
    if graph:
        text = encode_graph(arrays, names or {}, links or {})
        length = len(text).to_bytes(4, "little")
        tail = masked_crc32c(length).to_bytes(4, "little") + text
        tensors[GRAPH_KEY] = (7, (), varint(len(text)) + tail, masked_crc32c(length + tail))

    files = [bytearray() for _ in range(shards)]
    records = {"": integer(1, shards) + message(3, integer(1, 1))}
    for i, (key, (dtype, shape, data, crc)) in enumerate(sorted(tensors.items())):
        shard = i % shards
        dims = b"".join(message(2, integer(1, n)) for n in shape)
        records[key] = (
            integer(1, dtype) + message(2, dims) + integer(3, shard)
            + integer(4, len(files[shard])) + integer(5, len(data))
            + varint(6 << 3 | 5) + crc.to_bytes(4, "little")
        )  # fmt: skip
        files[shard] += data
    for shard, data in enumerate(files):
        Path(f"{prefix}.data-{shard:05d}-of-{shards:05d}").write_bytes(data)
    Path(f"{prefix}.index").write_bytes(encode_table(records, block_size))


def encode_table(records, block_size=4096):
    """Return a sorted string table."""
    file, index, block = b"", {}, {}

    def close_block():
        nonlocal file, block
        if block:
            last = max(block)
            index[last], file = append_block(file, block)
            block = {}

    for key in sorted(records):
        block[key.encode()] = records[key]
        if sum(map(len, block.values())) >= block_size:
            close_block()
    close_block()
    meta, file = append_block(file, {})
    handle, file = append_block(file, index)
    return file + (meta + handle).ljust(40, b"\0") + MAGIC


def append_block(file, records, kind=0):
    """Append a block to a file, and return its handle and the file."""
    block, restarts, previous = b"", [], b""
    for i, (key, value) in enumerate(sorted(records.items())):
        shared = 0
        if i % RESTART_INTERVAL == 0:
            restarts.append(len(block))
        else:
            while shared < min(len(key), len(previous)) and key[shared] == previous[shared]:
                shared += 1
        block += varint(shared) + varint(len(key) - shared) + varint(len(value))
        block += key[shared:] + value
        previous = key
    restarts = restarts or [0]
    block += b"".join(n.to_bytes(4, "little") for n in [*restarts, len(restarts)])
    handle = varint(len(file)) + varint(len(block))
    block += bytes([kind])
    return handle, file + block + masked_crc32c(block).to_bytes(4, "little")


def encode_graph(arrays, names, links):
    """Return the object graph whose child names form the checkpoint keys; node 0 has the slots."""
    children, variables, slots = [{}], {}, []

    def node_at(path):
        node = 0
        for part in path.split("/"):
            if part not in children[node]:
                children[node][part] = len(children)
                children.append({})
            node = children[node][part]
        return node

    for key in sorted(arrays):
        path = key.removesuffix(ATTRIBUTE)
        if "/.OPTIMIZER_SLOT/" in path:
            owner, slot = path.split("/.OPTIMIZER_SLOT/")
            node = len(children)
            children.append({})
            slots.append((node_at(owner), slot.split("/")[-1], node))
        else:
            node = node_at(path)
        variables[node] = key
    for path, target in links.items():
        parent, _, name = path.rpartition("/")
        children[node_at(parent) if parent else 0][name] = node_at(target) if target else 0

    graph = b""
    for node, names_below in enumerate(children):
        body = b""
        for name, child in names_below.items():
            body += message(1, integer(1, child) + message(2, name.encode()))
        if node in variables:
            key = variables[node]
            texts = "VARIABLE_VALUE", names.get(key, key), key
            body += message(2, b"".join(message(i + 1, t.encode()) for i, t in enumerate(texts)))
        if node == 0:
            for owner, name, slot in slots:
                fields = integer(1, owner) + message(2, name.encode()) + integer(3, slot)
                body += message(3, fields)
        graph += message(1, body)
    return graph


def varint(value):
    data = b""
    while value > 127:
        data += bytes([value & 127 | 128])
        value >>= 7
    return data + bytes([value])


def integer(number, value):
    return varint(number << 3) + varint(value)


def message(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data
