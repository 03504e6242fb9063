"""The checksum of TensorFlow checkpoints: CRC-32C in NumPy, some 100 MB per second."""

from functools import cache

import numpy as np

LANE = 256  # bytes that one lane folds one after the other
SHORT = 16384  # bytes below which the plain loop is faster


def _make_table():
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(0x82F63B78), table >> 1)
    return table


TABLE = _make_table()
TABLE_LIST = TABLE.tolist()


def crc32c(data):
    """CRC-32C (Castagnoli) of a bytes-like object, as an int.

    A CRC is linear over GF(2). Long data is cut into lanes of `LANE` bytes that are folded side by
    side; neighbours are then joined pairwise by the matrix that appends zero bytes. Zeros in front
    of the message do not change the result, so odd lengths need no special case.
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
    padded[start : start + 4] ^= 255  # the initial state, all ones
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
    """The form in which checkpoints store it: rotated and shifted by a constant."""
    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _apply(matrix, states):
    result = np.zeros_like(states)
    for i, row in enumerate(matrix):
        result ^= row * ((states >> np.uint32(i)) & np.uint32(1))
    return result


@cache
def _append_zeros(level):
    """What each of the 32 state bits becomes after `LANE * 2**level` zero bytes."""
    if level:
        half = _append_zeros(level - 1)
        return _apply(half, half)
    states = np.uint32(1) << np.arange(32, dtype=np.uint32)
    for _ in range(LANE):
        states = TABLE[states & 255] ^ (states >> 8)
    return states
