"""Fine-tuning on a folder of video files, from pretrained weights and from scratch.

480 H.264 files of eight classes that are new to the weights `moving_digits`: two motions one after
the other, with other digits, backgrounds, speeds and sizes. A fifth of the files is the validation
set. Both runs use `keras_video.training.finetune` with the same order of the data. The plot shows
the validation accuracy over the number of steps.

    python benchmarks/finetune.py                  # about 15 minutes on two cores
    python benchmarks/finetune.py --redraw         # the curves of the last run
"""

import csv
import tempfile
import time
from pathlib import Path

import harness
import numpy as np
from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_integer("epochs", 4, "Epochs of fine-tuning.")
flags.DEFINE_integer("scratch_epochs", 14, "Epochs from scratch.")
flags.DEFINE_integer("videos", 480, "Files in the folder.")
flags.DEFINE_string("folder", "", "Where to write the videos; default a temporary folder.")
flags.DEFINE_float("learning_rate", 2e-3, "Highest learning rate.")
flags.DEFINE_boolean("redraw", False, "Only draw the curves of the last run again.")
TARGET = 0.90
FRAMES, SIZE = 12, (48, 48)


def curve(folder, weights, epochs):
    """Validation accuracy after every half epoch, as `[(step, accuracy)]`, and the seconds."""
    import keras

    from keras_video.applications import MoViNetA0
    from keras_video.data import video_dataset_from_directory
    from keras_video.training import finetune

    keras.utils.set_random_seed(1)
    train, validation = video_dataset_from_directory(
        folder,
        batch_size=16,
        image_size=SIZE,
        num_frames=FRAMES,
        seed=1,
        validation_split=0.2,
        subset="both",
        verbose=False,
    )
    model = MoViNetA0(
        weights=weights,
        classes=train.num_classes,
        input_shape=(FRAMES, *SIZE, 3),
        stochastic_depth=0.0,
    )
    if weights is None:  # as the shipped weights were trained; it helps short trainings
        for variable in model.trainable_variables:
            if variable.path.endswith("_rezero/scale"):
                variable.assign(0.3)
    clips, labels = (
        np.concatenate(part)
        for part in zip(*(validation[i] for i in range(len(validation))), strict=True)
    )
    every = max(1, len(train) // 2)
    points = []

    class Validate(keras.callbacks.Callback):
        seconds = 0.0  # of looking, which is not training
        step = 0

        def on_train_batch_end(self, batch, logs=None):
            self.step += 1
            if self.step % every == 0:
                start = time.perf_counter()
                answers = self.model.predict(clips, batch_size=16, verbose=0)
                points.append((self.step, float(np.mean(answers.argmax(-1) == labels))))
                print(f"  {weights}, step {self.step}: {100 * points[-1][1]:.1f} %", flush=True)
                self.seconds += time.perf_counter() - start

    validate, start = Validate(), time.perf_counter()
    finetune(
        model,
        train,
        epochs=epochs,
        learning_rate=FLAGS.learning_rate,
        callbacks=[validate],
        verbose=0,
    )
    return points, time.perf_counter() - start - validate.seconds, len(labels)


def main(argv):
    del argv
    if FLAGS.redraw:
        return redraw()
    from keras_video.datasets.moving_digits import write_folder

    context = harness.describe_machine()
    videos = 64 if FLAGS.quick else FLAGS.videos
    runs = {"moving_digits": FLAGS.epochs, None: FLAGS.scratch_epochs}
    if FLAGS.quick:
        runs = dict.fromkeys(runs, 1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = FLAGS.folder or temporary
        write_folder(folder, num_videos=videos)
        rows, curves = [], {}
        for weights, epochs in runs.items():
            points, seconds, count = curve(folder, weights, epochs)
            name = f"from {weights}" if weights else "from scratch"
            curves[name] = points
            reached = next((step for step, accuracy in points if accuracy >= TARGET), "")
            rows.append(
                {
                    "benchmark": "finetune",
                    "backend": _backend(),
                    "start": name,
                    "steps": points[-1][0],
                    "steps_to_90": reached,
                    "best_top1": round(100 * max(a for _, a in points), 2),
                    "last_top1": round(100 * points[-1][1], 2),
                    "validation_videos": count,
                    "seconds": round(seconds, 1),
                }
                | context
            )
    harness.write("finetune", rows)
    harness.print_table(rows, list(rows[0])[1:9])
    points = [(name, step, top1) for name, curve in curves.items() for step, top1 in curve]
    columns = ("start", "step", "top1")
    harness.write("finetune_curves", [dict(zip(columns, row, strict=True)) for row in points])
    if not FLAGS.quick:
        draw(curves)


def redraw():
    """Draw the curves of the last run once more."""
    curves = {}
    with open(_folder() / "finetune_curves.csv", newline="") as file:
        for row in csv.DictReader(file):
            curves.setdefault(row["start"], []).append((int(row["step"]), float(row["top1"])))
    draw(curves)


def _folder():
    return Path(FLAGS.output) if FLAGS.output else Path(__file__).parent / "results"


def draw(curves):
    """Both curves in one picture, beside the table."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for name, points in curves.items():
        axes.plot(*zip(*[(0, 0.125), *points], strict=True), marker="o", markersize=3, label=name)
    axes.axhline(TARGET, color="0.6", linestyle=":", linewidth=1)
    axes.axhline(0.125, color="0.6", linestyle="--", linewidth=1)
    right = axes.get_yaxis_transform()  # x in parts of the width
    axes.text(0.99, 0.115, "chance", color="0.4", va="top", ha="right", transform=right)
    axes.set(xlabel="steps of 16 clips", ylabel="top-1 on validation videos", ylim=(0, 1.02))
    axes.set_title("MoViNet-A0 on 480 videos of 8 new classes")
    figure.legend(loc="outside lower center", ncols=len(curves), frameon=False)
    partial = _folder() / "finetune.partial.png"
    figure.savefig(partial, dpi=120)
    partial.replace(_folder() / "finetune.png")


def _backend():
    import keras

    return keras.backend.backend()


if __name__ == "__main__":
    app.run(main)
