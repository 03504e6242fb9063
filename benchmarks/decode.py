"""Benchmark of reading video: all frames of a file, a sample of its frames, and two workers.

The script writes H.264 files of 320 x 240 pixels and 300 frames, with a key frame every 30 frames
or only at the start. The reference is the usual code with PyAV, `frame.to_ndarray(format="rgb24")`.
The measurements alternate and use one core, except for those of the two workers.

    python benchmarks/decode.py

The exit code is 1 if `VideoReader.get` reaches neither 3,000 frames per second nor 3 times the
speed of the reference.
"""

import concurrent.futures
import multiprocessing
import os
import statistics
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import harness
import numpy as np
from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_integer("length", 300, "Number of frames of a file.")
flags.DEFINE_integer("sample", 16, "Number of frames of a sample.")
SIDE = 172
REFERENCE = "to_ndarray, full size"
COLUMNS = (
    "contender",
    "median_ms",
    "min_ms",
    "cpu_ms",
    "frames_per_second",
    "ratio",
    "decoded",
    "difference",
)


def write_file(path, gop, length):
    """Write a drifting texture of changing brightness, two moving discs, and some noise."""
    import av

    rng = np.random.default_rng(0)
    coarse = rng.integers(60, 200, (40, 60, 3)).astype("uint8")
    canvas = av.VideoFrame.from_ndarray(coarse, "rgb24").reformat(width=960, height=480)
    canvas = canvas.to_ndarray(format="rgb24").astype("float32")
    rows, columns = np.mgrid[:240, :320]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"g": str(gop)})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for k in range(length):
            left, top = 2 * k % 600, 120 + round(100 * np.sin(k / 25))
            picture = canvas[top : top + 240, left : left + 320] + 20 * np.sin(k / 40)
            for phase, colour in ((0, (230, 40, 40)), (2, (40, 60, 230))):
                y, x = 120 + 80 * np.sin(k / 12 + phase), 160 + 110 * np.cos(k / 17 + phase)
                picture[(rows - y) ** 2 + (columns - x) ** 2 < 30**2] = colour
            picture += rng.normal(0, 2, picture.shape)
            frame = av.VideoFrame.from_ndarray(picture.clip(0, 255).astype("uint8"), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


# Contenders: functions of a path that return uint8 frames and the number of decoded frames.


def naive(path, numbers=None, **size):
    """Read frames with PyAV as its documentation shows."""
    import av

    with av.open(path) as container:
        frames = [
            frame.to_ndarray(format="rgb24", **size)
            for k, frame in enumerate(container.decode(video=0))
            if numbers is None or k in numbers
        ]
    return frames, FLAGS.length


def naive_resized(path):
    """Read frames as `naive` does, resize each and cut out the centre."""
    height, width = SIDE, round(320 * SIDE / 240)
    frames, decoded = naive(path, width=width, height=height)
    left = (width - SIDE) // 2
    return [frame[:, left : left + SIDE] for frame in frames], decoded


def decoding_alone(path):
    """Only decode, without conversion to RGB, resizing and arrays: the upper limit."""
    import av

    with av.open(path) as container:
        container.streams.video[0].codec_context.thread_count = 1
        return None, sum(1 for _ in container.decode(video=0))


def get(path, numbers=None, size=SIDE):
    """Open the file and call `VideoReader.get`."""
    from keras_video.data import VideoReader

    reader = VideoReader(path)
    frames = reader.get(range(len(reader)) if numbers is None else numbers, size=size)
    return frames, reader.decoded


def iterate(path):
    """Open the file and iterate over `VideoReader.frames`."""
    from keras_video.data import VideoReader

    return list(VideoReader(path).frames(size=SIDE)), FLAGS.length


def take_turns(contenders, rounds):
    """Return wall times, processor times and results of functions without arguments."""
    wall, processor = {name: [] for name in contenders}, {name: [] for name in contenders}
    results = {name: run() for name, run in contenders.items()}  # also warms up
    for _ in range(rounds):
        for name, run in contenders.items():
            start = time.perf_counter(), time.process_time()
            run()
            wall[name].append(time.perf_counter() - start[0])
            processor[name].append(time.process_time() - start[1])
    return wall, processor, results


def table(title, contenders, reference, alike, rounds):
    """Measure the contenders and print a table.

    Args:
        alike: dict, for some contenders the one that returns the same frames up to rounding.
    """
    print(f"\n{title}", flush=True)
    times, processor, results = take_turns(contenders, rounds)
    median = {name: statistics.median(values) for name, values in times.items()}
    rows = []
    for name in contenders:
        frames, decoded = results[name]
        delivered = decoded if frames is None else len(frames)
        row = {
            "case": title,
            "contender": name,
            "median_ms": round(1e3 * median[name], 2),
            "min_ms": round(1e3 * min(times[name]), 2),
            "cpu_ms": round(1e3 * statistics.median(processor[name]), 2),
            "frames_per_second": round(delivered / median[name]),
            "ratio": round(median[reference] / median[name], 2),
            "decoded": decoded,
            "difference": "",
        }
        if name in alike:
            theirs = np.stack(results[alike[name]][0]).astype("int16")
            row["difference"] = round(float(np.abs(np.stack(frames) - theirs).mean()), 2)
        rows.append(row)
    harness.print_table(rows, COLUMNS)
    print(f"  ratio: speed relative to {reference}; difference: mean in 0..255; cpu_ms: median")
    return rows


def whole_file(path, title, rounds):
    contenders = {
        REFERENCE: lambda: naive(path),
        "to_ndarray, resized": lambda: naive_resized(path),
        "VideoReader.get, full size": lambda: get(path, size=None),
        f"VideoReader.get, {SIDE}": lambda: get(path),
        f"VideoReader.frames, {SIDE}": lambda: iterate(path),
        "decoding alone": lambda: decoding_alone(path),
    }
    alike = {
        "VideoReader.get, full size": REFERENCE,
        f"VideoReader.get, {SIDE}": "to_ndarray, resized",
        f"VideoReader.frames, {SIDE}": "to_ndarray, resized",
    }
    return table(f"{title}, every frame", contenders, REFERENCE, alike, rounds)


def samples(path, title, rounds):
    from keras_video.data import VideoReader

    step = FLAGS.length / FLAGS.sample
    numbers = [int(step * k + step / 2) for k in range(FLAGS.sample)]
    clip = list(range(FLAGS.length // 2, FLAGS.length // 2 + FLAGS.sample))
    kept = VideoReader(path)
    len(kept)
    contenders = {
        "to_ndarray": lambda: naive(path, set(numbers)),
        "VideoReader.get": lambda: get(path, numbers, None),
        "the same reader again": lambda: (kept.get(numbers), kept.decoded),
        f"the same reader, {SIDE}": lambda: (kept.get(numbers, size=SIDE), kept.decoded),
        "the same reader, in a row": lambda: (kept.get(clip), kept.decoded),
    }
    alike = {"VideoReader.get": "to_ndarray", "the same reader again": "to_ndarray"}
    title = f"{title}, {FLAGS.sample} of {FLAGS.length} frames"
    return table(title, contenders, "to_ndarray", alike, rounds)


# Workers


def read_clips(path, numbers, clips):
    """Read several clips, as one worker does."""
    for _ in range(clips):
        get(path, numbers)
    return clips


def workers(path, title, rounds):
    """Measure one and two workers, each of which may use a core."""
    print(f"\n{title}, clips of {FLAGS.sample} frames", flush=True)
    numbers = list(range(5, FLAGS.length, FLAGS.length // FLAGS.sample))[: FLAGS.sample]
    clips = 4 if FLAGS.quick else 40
    spawn = multiprocessing.get_context("spawn")
    pools = {
        "threads": concurrent.futures.ThreadPoolExecutor(2),
        "processes": concurrent.futures.ProcessPoolExecutor(2, spawn),
    }
    times = {(kind, count): [] for kind in pools for count in (1, 2)}
    try:
        for turn in range(rounds + 1):
            for (kind, count), values in times.items():
                start = time.perf_counter()
                jobs = [pools[kind].submit(read_clips, path, numbers, clips) for _ in range(count)]
                for job in jobs:
                    job.result(timeout=FLAGS.limit)
                if turn:  # the first turn starts the processes
                    values.append((time.perf_counter() - start) / (count * clips))
    finally:
        for pool in pools.values():
            pool.shutdown(wait=False, cancel_futures=True)
    rows = []
    for (kind, count), values in times.items():
        median = statistics.median(values)
        rows.append(
            {
                "case": f"{title}, clips of {FLAGS.sample} frames",
                "contender": f"{kind}: {count}",
                "median_ms": round(1e3 * median, 2),
                "min_ms": round(1e3 * min(values), 2),
                "frames_per_second": round(FLAGS.sample / median),
                "ratio": round(statistics.median(times[kind, 1]) / median, 2),
            }
        )
    harness.print_table(rows, COLUMNS)
    print("  milliseconds per clip; ratio: speed relative to one worker")
    return rows


def main(argv):
    del argv
    if FLAGS.quick:
        FLAGS.length, FLAGS.rounds = 60, 2
    context = harness.describe_machine() | {"av": version("av")}
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_setaffinity") else None
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for gop in (30, FLAGS.length):
            path, title = str(Path(folder) / f"gop{gop}.mp4"), f"320x240 H.264, GOP {gop}"
            write_file(path, gop, FLAGS.length)
            if cores:
                os.sched_setaffinity(0, {min(cores)})
            rows += whole_file(path, title, FLAGS.rounds)
            rows += samples(path, title, FLAGS.rounds)
            if cores:
                os.sched_setaffinity(0, cores)
            rows += workers(path, title, max(2, FLAGS.rounds // 2))
    harness.write("decode", [{"benchmark": "decode", **row, **context} for row in rows])
    reached = [
        row["frames_per_second"] >= 3000 or row["ratio"] >= 3
        for row in rows
        if row["contender"] == f"VideoReader.get, {SIDE}"
    ]
    return 0 if all(reached) else 1


if __name__ == "__main__":
    app.run(main)
