"""Quantize a trained model for phones, and measure the loss of accuracy on moving digits.

    python examples/quantize_for_mobile.py                     # the files, and 1,024 streams
    python examples/quantize_for_mobile.py --train             # quantization-aware training as well
    python examples/quantize_for_mobile.py --drift             # 5,000 frames without a reset

The published streaming MoViNet-A0 is written as a float32, float16, dynamic-range and int8 file.
The int8 file is calibrated on 64 streams of 20 frames. With `--train`, a second int8 file comes
from a short training with int8 rounding. Its labels are the float predictions of the model, so that
no labelled video is needed. All files then classify the same streams of 60 frames, in which the
digits repeat one of the 16 motions; a motion takes 12 frames. Needs TensorFlow.
"""

import csv
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import numpy as np
from absl import app, flags

from keras_video.datasets import moving_digits

FLAGS = flags.FLAGS
flags.DEFINE_string("output", "mobile_digits", "Folder of the files and of results.csv.")
flags.DEFINE_boolean("train", False, "Also train for int8: some minutes.")
flags.DEFINE_boolean("drift", False, "Also follow long streams.")
flags.DEFINE_boolean("keep", False, "Only measure the files that are there.")
flags.DEFINE_integer("streams", 1024, "Streams of 60 frames.")
flags.DEFINE_integer("long_streams", 96, "Streams of 5,000 frames.")
flags.DEFINE_integer("calibration", 64, "Streams of 20 frames.")
flags.DEFINE_integer("training", 640, "Streams of 20 frames.")
flags.DEFINE_integer("epochs", 2, "Passes over the training streams.")
flags.DEFINE_integer("batch_size", 8, "Streams in a training step.")
flags.DEFINE_float("learning_rate", 1e-4, "Adam's, at the beginning.")

SIZE, MOTION = (48, 48), 12
SHORT, MEASURED, LONG = 20, 60, 5000
CHECKPOINTS = (60, 500, 5000)
FIRST_TRAINING_SEED = 100_000
FORMS = {"float32": None, "float16": "float16", "dynamic": "dynamic", "int8": "int8"}


def stream(index, frames, split="test"):
    """Return a video of one repeated motion, and its label."""
    label = index % len(moving_digits.CLASS_NAMES)
    motions = [label] * -(-frames // MOTION)
    return moving_digits.make_video(motions, MOTION, SIZE, split, seed=index)[:frames], label


def training_streams(count, first=FIRST_TRAINING_SEED):
    """Return a uint8 array `(count, 20, 48, 48, 3)` of digits that are in no test stream."""
    return np.stack([stream(first + i, SHORT, "train")[0] for i in range(count)])


def train(model, calibration):
    """Train a copy with int8 rounding to give the predictions of the float model."""
    import keras

    from keras_video.mobile import mobile_form, quantize_aware

    clips = training_streams(FLAGS.training, 2 * FIRST_TRAINING_SEED)
    teacher = mobile_form(model, frames=SHORT)
    targets = keras.ops.softmax(teacher.predict(clips, batch_size=FLAGS.batch_size, verbose=0))
    student = quantize_aware(model, calibration)
    steps = FLAGS.epochs * -(-len(clips) // FLAGS.batch_size)
    schedule = keras.optimizers.schedules.CosineDecay(FLAGS.learning_rate, steps)
    student.compile(
        keras.optimizers.Adam(schedule, clipnorm=1.0), keras.losses.CategoricalCrossentropy(True)
    )
    targets = keras.ops.convert_to_numpy(targets)
    student.fit(clips, targets, FLAGS.batch_size, FLAGS.epochs, verbose=2)
    return student


def write_files():
    """Write all files."""
    import keras_video
    from keras_video.mobile import export_litert

    model = keras_video.applications.MoViNetA0(
        weights="moving_digits", streaming=True, input_shape=(None, *SIZE, 3)
    )
    calibration = training_streams(FLAGS.calibration)
    for name, quantization in FORMS.items():
        clips = calibration if quantization == "int8" else None
        export_litert(model, path_of(name), quantization, clips)
    if FLAGS.train:
        export_litert(train(model, calibration), path_of("int8_trained"), "int8")


def path_of(name):
    return os.path.join(FLAGS.output, f"{name}.tflite")


def follow(path, videos, moments):
    """Return the predictions after these frames, and milliseconds per frame.

    Args:
        videos: iterable of uint8 arrays `(frames, 48, 48, 3)`.
        moments: ints, counted from 1.

    Returns:
        array `(videos, moments, classes)`, and a float.
    """
    from keras_video.mobile import LiteRTModel

    model = LiteRTModel(path)
    answers, frames, seconds = [], 0, 0.0
    for video in videos:
        begin = time.perf_counter()
        said = list(model.stream(video))
        seconds += time.perf_counter() - begin
        frames += len(video)
        answers.append([said[moment - 1] for moment in moments])
    return np.array(answers), 1e3 * seconds / frames


def compare(names):
    """Return top-1 of all files and their agreement with float32, one row per file."""
    tests = [stream(i, MEASURED) for i in range(FLAGS.streams)]
    labels = np.array([label for _, label in tests])
    rows, reference = [], None
    for name in names:
        answers, milliseconds = follow(path_of(name), (video for video, _ in tests), [MEASURED])
        best = answers[:, 0].argmax(-1)
        reference = best if reference is None else reference
        rows.append(
            {
                "file": name,
                "megabytes": round(os.path.getsize(path_of(name)) / 1e6, 2),
                "ms_per_frame": round(milliseconds, 3),
                "streams": len(tests),
                "frames": MEASURED,
                "top1": round(100 * float(np.mean(best == labels)), 2),
                "agreement": round(100 * float(np.mean(best == reference)), 2),
            }
        )
        print(rows[-1], flush=True)
    return rows


def drift(names):
    """Return the agreement with float32 after 60, 500 and 5,000 frames, a row for each file."""
    rows, reference = [], None
    for name in names:
        videos = (stream(i, LONG)[0] for i in range(FLAGS.long_streams))
        answers, _ = follow(path_of(name), videos, CHECKPOINTS)
        reference = answers if reference is None else reference
        labels = np.arange(FLAGS.long_streams) % len(moving_digits.CLASS_NAMES)
        for i, moment in enumerate(CHECKPOINTS):
            best, expected = answers[:, i].argmax(-1), reference[:, i].argmax(-1)
            error = np.square(answers[:, i] - reference[:, i]).mean()
            rows.append(
                {
                    "file": name,
                    "streams": FLAGS.long_streams,
                    "frames": moment,
                    "top1": round(100 * float(np.mean(best == labels)), 2),
                    "agreement": round(100 * float(np.mean(best == expected)), 2),
                    "error": round(float(np.sqrt(error / np.square(reference[:, i]).mean())), 4),
                }
            )
            print(rows[-1], flush=True)
    return rows


def main(argv):
    del argv
    os.makedirs(FLAGS.output, exist_ok=True)
    if not FLAGS.keep:
        write_files()
    names = [name for name in (*FORMS, "int8_trained") if os.path.exists(path_of(name))]
    if not names or names[0] != "float32":
        sys.exit(f"{path_of('float32')} is missing: run without --keep first.")
    rows = compare(names)
    if FLAGS.drift:
        rows += drift([name for name in names if name.startswith(("float32", "int8"))])
    with open(Path(FLAGS.output) / "results.csv", "w", newline="") as file:
        columns = list(dict.fromkeys(key for row in rows for key in row))
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    app.run(main)
