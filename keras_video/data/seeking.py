"""Exact frames by their numbers: which packets must be decoded, and decoding no others."""

import bisect
from itertools import chain, islice
from typing import NamedTuple

import numpy as np

# Codecs whose key frames are entry points and whose frames keep the time stamps of their packets.
SEEKABLE = {"h264", "hevc", "vp9", "av1", "mpeg4", "mjpeg"}
READ_ON = 100  # packets; a key frame that is no further ahead is reached without a seek


class Packet(NamedTuple):
    """What a container tells of a frame. Times are in ticks of the stream."""

    pts: int  # when it is shown
    dts: int  # when it is decoded
    duration: float  # in seconds
    is_key: bool
    is_shown: bool


class Run(NamedTuple):
    """Packets `start` to `stop` in decoding order, from a key frame to the last wanted frame."""

    start: int
    stop: int
    key: Packet
    wanted: dict  # the wanted frames' numbers by their pts


class PacketIndex:
    """The frames of a video in display order, as its packets tell.

    Args:
        packets: list of `Packet`, in decoding order.
        tick: seconds of a tick.
        codec: canonical name of the codec.

    Attributes:
        times: when each frame appears, in seconds, in display order.
        end: when the last one ends, in seconds.
        seekable: bool, whether frames can be told by their pts and reached from key frames.
    """

    def __init__(self, packets, tick, codec):
        shown = [k for k, packet in enumerate(packets) if packet.is_shown]
        shown.sort(key=lambda k: packets[k].pts)
        self.stamps = np.array([packets[k].pts for k in shown], "int64")
        self.positions = np.array(shown, "int64")  # in decoding order
        self.keys = [k for k, packet in enumerate(packets) if packet.is_key]
        self.entries = [packets[k] for k in self.keys]
        self.times = [packets[k].pts * tick for k in shown]
        self.end = self.times[-1] + packets[shown[-1]].duration if shown else 0.0
        self.seekable = codec in SEEKABLE and bool(np.all(np.diff(self.stamps) > 0))

    def __len__(self):
        return len(self.stamps)

    def runs(self, numbers):
        """The `Run`s that reach the frames with these numbers, sorted."""
        found = {}
        for number in numbers:
            position, stamp = int(self.positions[number]), int(self.stamps[number])
            at = bisect.bisect_right(self.keys, position) - 1
            # What is decoded after a key frame but shown before it needs the key frame before.
            while at and self.entries[at].pts > stamp:
                at -= 1
            stop, wanted = found.get(at, (0, {}))
            found[at] = max(stop, position + 1), wanted | {stamp: number}
        runs = []
        for at in sorted(found):
            run = Run(self.keys[at], found[at][0], self.entries[at], found[at][1])
            if runs and run.start <= runs[-1].stop:
                last = runs.pop()
                stop = max(last.stop, run.stop)
                run = Run(last.start, stop, last.key, last.wanted | run.wanted)
            runs.append(run)
        return runs


def decode_runs(video, runs):
    """Decodes the runs and nothing else.

    Yields `(number, frame)` for every frame that the decoder gives; the number is `None` if
    the frame is not wanted. What cannot be reached is missing: let the caller count.

    Args:
        video: `OpenVideo`, fresh.
        runs: list of `Run`, in order.
    """
    import av

    context = video.stream.codec_context
    # In H.264 frames say whether others refer to them; those that are neither wanted nor
    # referred to can be left out.
    selective = context.codec.canonical_name == "h264"
    packets, position = _filled(video), 0
    for run in runs:
        try:
            if not 0 <= run.start - position <= READ_ON:
                video.seek(run.key.dts)
                packets = _filled(video)
            key = _find(run.key, packets)
            if key is None:
                return
            for packet in chain([key], islice(packets, run.stop - run.start - 1), [None]):
                if selective and packet is not None:
                    context.skip_frame = "DEFAULT" if packet.pts in run.wanted else "NONREF"
                for frame in context.decode(packet):
                    yield run.wanted.get(frame.pts), frame
        except av.FFmpegError:
            return
        context.flush_buffers()
        position = run.stop


def _filled(video):
    return (packet for packet in video.packets() if packet.size)


def _find(key, packets):
    """Goes on to the packet of a key frame, or to the next one if that is behind us."""
    for packet in packets:
        if packet.is_keyframe and packet.pts is not None and packet.pts >= key.pts:
            return packet
    return None


def check_indices(indices):
    """`indices` as a list of ints that are not negative."""
    numbers = np.asarray(indices)
    if numbers.ndim != 1 or (numbers.size and numbers.dtype.kind not in "iu"):
        raise ValueError(f"`indices` must be a sequence of ints. Received: {indices!r}")
    if numbers.size and numbers.min() < 0:
        raise ValueError(
            f"`indices` must count from the first frame, 0. Received: {int(numbers.min())}"
        )
    return numbers.tolist()


def check_range(numbers, count, path):
    """Raises unless all numbers are below the number of frames."""
    if numbers and max(numbers) >= count:
        raise ValueError(
            f"`indices` must be below {count}, the number of frames of {path}. "
            f"Received: {max(numbers)}"
        )
