"""Just enough of the protocol buffer wire format to read checkpoint metadata."""

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def read_varint(buffer, position):
    """Returns `(value, next position)` of the base-128 number that starts at `position`."""
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
    """Yields `(field number, value)`: an int, or a memoryview for strings and messages."""
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
    """A string field as `str`."""
    if not isinstance(value, memoryview):
        raise ValueError("a string is stored as a number")
    return bytes(value).decode("utf-8", "replace")
