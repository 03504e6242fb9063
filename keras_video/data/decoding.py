"""Decoding a video file with PyAV: all frames in order, or only what some frames need.

`OpenVideo` opens a file and goes through it once: it decodes the frames with their times and
complains about what is missing, or reads the packets without decoding them. The packets give a
`PacketIndex`, from which `decode_runs` knows which packets must be decoded for given frames.
"""

import bisect
import itertools
import os
import re
from typing import NamedTuple

import numpy as np

from keras_video.checks import missing_extra

# Codecs whose key frames are entry points and whose frames keep the time stamps of their packets.
SEEKABLE = {"h264", "hevc", "vp9", "av1", "mpeg4", "mjpeg"}
READ_ON = 100  # packets; a key frame that is no further ahead is reached without a seek


class VideoError(ValueError):
    """A file is not a video that can be read; the message says why."""


class OpenVideo:
    """An open video file, for one call of `decode`, `decode_from` or `scan`.

    Args:
        path: path of the file.
        complain: function, called with a message if the video is damaged or cut short.
        threads: int, threads of the decoder; 0 for one per core.

    Attributes:
        end: float, second at which the last frame decoded so far disappears.
        period: float, average seconds per frame.
        tick: float, seconds per unit of the time stamps.
        tolerance: float, seconds by which rounding may delay a frame.

    Raises:
        FileNotFoundError: if there is no such file.
        VideoError: if the file is not a video that FFmpeg can decode.
    """

    def __init__(self, path, complain, threads=0):
        self.path = path
        self.complain = complain
        self.container = open_container(path)
        try:
            self.stream = find_video_stream(path, self.container)
        except VideoError:
            self.container.close()
            raise
        self.stream.codec_context.thread_count = threads
        self.period = 1 / float(self.stream.average_rate or self.stream.guessed_rate or 25)
        self.tick = float(self.stream.time_base or self.period)
        # Containers round times to their ticks, so a frame may appear up to one tick late.
        self.tolerance = min(self.tick, self.period / 4) + 1e-9
        self.end = 0.0
        self._begin = None
        self._count = 0
        self._broken = 0
        self._ends_corrupt = False

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.container.close()

    def decode(self):
        """Yield `(time, frame)` for all frames; complain at the end if some are missing."""
        import av

        shift = 0.0
        for packet in self.packets():
            try:
                frames = packet.decode()
            except av.FFmpegError:
                # Errors before the first frame are normal in recordings of broadcasts.
                self._broken += self._count > 0
                continue
            for frame in frames:
                time = self.end if frame.pts is None else frame.pts * self.tick + shift
                if self._begin is None:
                    self._begin = self.end = time
                if time < self.end - 1:  # the clock was set back: continue from here
                    time, shift = self.end, shift + self.end - time
                self._count += 1
                self._ends_corrupt = frame.is_corrupt
                self.end = time + self._duration(frame)
                yield time, frame
        self.check_damage(is_over=True)

    def check_damage(self, is_over=False):
        """Complain if decoded frames were damaged; with `is_over`, also if the end is missing."""
        is_short = is_over and self._is_short(self._count)
        if self._count and (self._broken or self._ends_corrupt or is_short):
            self.complain(
                f"the video is damaged or cut short: {self._count} frames "
                f"({self.end - self._begin:.1f} s) can be read{self._promise()}."
            )

    def decode_from(self, moment):
        """Decode from the last key frame before a moment on; return `None` if that fails."""
        self.seek(round(moment / self.tick))
        frames = self.decode()
        time, frame = next(frames, (float("inf"), None))
        if time > moment + self.tolerance or not frame.key_frame:
            return None
        return itertools.chain([(time, frame)], frames)

    def on_screen(self, frames, moments):
        """Yield, for each moment in seconds, the frame that is on the screen at that time.

        Args:
            frames: iterable of `(time, frame)`.
            moments: iterable of floats, ascending.
        """
        moments = iter(moments)
        moment = next(moments, None)
        held = None
        for time, frame in frames:
            while held is not None and moment is not None and moment < time - self.tolerance:
                yield held
                moment = next(moments, None)
            if moment is None:
                return
            held = frame
        while held is not None and moment is not None and moment < self.end - self.tolerance:
            yield held
            moment = next(moments, None)

    def scan(self):
        """Return the `PacketIndex` of the video, or `None` if the packets are not reliable."""
        codec = self.stream.codec_context.codec.canonical_name
        if codec == "vp8":  # some of its packets are never shown
            return None
        packets, started = [], False
        for packet in self.packets():
            if not packet.size:
                continue
            begin = packets[0].pts if packets else packet.pts
            if packet.pts is None or packet.is_corrupt:
                return None
            if packet.pts < begin or not (packets or packet.is_keyframe):  # begins in the middle
                return None
            # Matroska stores no dts. FFmpeg computes them, except for the first few packets.
            started = started or packet.dts is not None
            dts = packet.dts if started else begin
            if dts is None or (packets and dts < packets[-1].dts):  # the clock was set back
                return None
            shown = not packet.is_discard
            duration = self._duration(packet)
            packets.append(Packet(packet.pts, dts, duration, packet.is_keyframe, shown))
        index = PacketIndex(packets, self.tick, codec)
        self.end = index.end
        if not len(index) or self._broken or self._is_short(len(index)):
            return None
        return index

    def seek(self, ticks):
        """Move to the last key frame before a time in ticks, or near it."""
        self.container.seek(ticks, stream=self.stream)

    def check_index(self):
        """Complain at once if the index of an MP4 points beyond the end of the file."""
        entries = self.stream.index_entries
        if "mp4" not in self.container.format.name or not len(entries):
            return
        size = os.path.getsize(self.path)
        if entries[-1].pos + entries[-1].size > size:
            inside = sum(entry.pos + entry.size <= size for entry in entries)
            self.complain(
                f"the video is cut short: its index lists {len(entries)} frames, "
                f"the file contains {inside} of them."
            )

    def packets(self):
        """Yield the packets from the current position on; count those that cannot be read."""
        import av

        try:
            yield from self.container.demux(self.stream)
        except av.FFmpegError:
            self._broken += 1

    def _duration(self, timed):
        return timed.duration * self.tick if timed.duration else self.period

    def _is_short(self, count):
        if self.container.format.name == "avi":
            return count < 0.9 * self.stream.frames  # the header counts dropped frames, too
        seconds = self._promised_seconds()
        return seconds is not None and self.end < seconds - max(0.5, 3 * self.period)

    def _promise(self):
        if self.stream.frames:
            return f" of {self.stream.frames}"
        seconds = self._promised_seconds()
        return "" if seconds is None else f" of {seconds:.1f} s"

    def _promised_seconds(self):
        """Return the end of the video according to the header of a Matroska or WebM file."""
        if "matroska" not in self.container.format.name:
            return None
        tag = self.stream.metadata.get("DURATION", "")
        if re.fullmatch(r"\d+:\d\d:\d\d(\.\d+)?", tag):
            hours, minutes, seconds = tag.split(":")
            return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
        if self.container.duration and len(self.container.streams) == 1:
            return self.container.duration / 1e6
        return None


class Packet(NamedTuple):
    """What the container says about a frame. Times are in ticks of the stream."""

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
    wanted: dict  # pts of the wanted frames -> their numbers


class PacketIndex:
    """The frames of a video in display order, according to its packets.

    Args:
        packets: list of `Packet`, in decoding order.
        tick: float, seconds per tick.
        codec: canonical name of the codec.

    Attributes:
        times: when each frame appears, in seconds, in display order.
        end: when the last one ends, in seconds.
        seekable: bool, whether the pts identify the frames and key frames are entry points.
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
        """Return the `Run`s that decode the frames with the given, ascending numbers."""
        found = {}
        for number in numbers:
            position, stamp = int(self.positions[number]), int(self.stamps[number])
            at = bisect.bisect_right(self.keys, position) - 1
            # A frame decoded after a key frame but shown before it needs the previous key frame.
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
    """Decode the packets of the runs and no others.

    Frames that cannot be reached are missing from the result; the caller must count.

    Args:
        video: `OpenVideo` that was not read from yet.
        runs: list of `Run`, in order.

    Yields:
        `(number, frame)` for every decoded frame; the number is `None` for frames that are not
        wanted.
    """
    import av

    context = video.stream.codec_context
    # H.264 frames say whether other frames refer to them. Frames that are neither wanted nor
    # referred to are not decoded.
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
            for packet in itertools.chain(
                [key], itertools.islice(packets, run.stop - run.start - 1), [None]
            ):
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
    """Return the packet of a key frame, or of the next one if that has passed already."""
    for packet in packets:
        if packet.is_keyframe and packet.pts is not None and packet.pts >= key.pts:
            return packet
    return None


def check_file(path):
    """Raise an error unless `path` is a file that is not empty."""
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path}: no such video file.")
    if not os.path.isfile(path):
        raise VideoError(f"{path}: expected a video file, got a path that is not a file.")
    if not os.path.getsize(path):
        raise VideoError(f"{path}: the file is empty (0 bytes).")


def open_container(path):
    """Open a file with PyAV; raise a `VideoError` that says what is wrong with it."""
    check_file(path)
    av = import_av()
    try:
        return av.open(path, metadata_errors="replace")
    except av.FFmpegError as error:
        with open(path, "rb") as file:
            is_mp4 = file.read(8)[4:] == b"ftyp"
        reason = (
            "the file starts as an MP4 video, but its index is missing: it was probably cut short"
            if is_mp4
            else f"not a video that FFmpeg can read ({error.strerror})"
        )
        raise VideoError(f"{path}: {reason}.") from error


def find_video_stream(path, container):
    """Return the stream of the video, ignoring cover pictures, or raise a `VideoError`."""
    from av.stream import Disposition

    name = container.format.name
    if name == "tty":  # FFmpeg renders text files as video
        raise VideoError(f"{path}: expected a video, got a text file.")
    if name == "image2" or name.endswith("_pipe"):
        raise VideoError(f"{path}: expected a video, got a single picture ({name}).")
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        kinds = sorted({stream.type for stream in container.streams})
        raise VideoError(f"{path}: no video in the file, only {' and '.join(kinds)}.")
    stream = container.streams.best("video")
    stream = stream if stream in streams else streams[0]
    if stream.codec_context is None:
        raise VideoError(f"{path}: the video has a codec that FFmpeg does not know.")
    return stream


def import_av():
    """Return the module `av`; raise an `ImportError` that says how to install PyAV."""
    try:
        import av
    except ImportError as error:
        raise missing_extra("Reading video needs PyAV.", "video") from error
    return av
