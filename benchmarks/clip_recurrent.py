"""Training on long videos in subclips: memory, and what the model learns.

Memory: the peak resident memory of a new process that makes three training steps of MoViNet-A0, on
clips of 8 frames, on 64 frames in subclips of 8, and on 64 frames at once.

Learning: each video has four parts. A digit moves left or right in the first part and in the last
one, and turns in between. The label is how often it moves left; for half of the videos that is 1.
Training on 8 frames shows the model at most one of the two moves, training in subclips of 8 shows
it the whole video.

    python benchmarks/clip_recurrent.py --part=memory
    python benchmarks/clip_recurrent.py --part=learning      # about 20 minutes
"""

import harness
import numpy as np
from absl import app, flags
from harness import Contender
from memory import peak_mb, resident_mb

FLAGS = flags.FLAGS
flags.DEFINE_enum("part", "memory", ["memory", "learning"], "What to measure.")
flags.DEFINE_integer("epochs", 12, "Learning: epochs of 320 videos.")
flags.DEFINE_integer("subclip", 8, "Frames of a subclip.")
flags.DEFINE_integer("frames", 64, "Memory: frames of a video.")

PART, SIZE, CLASSES = 8, (48, 48), 3
LEFT, RIGHT, CLOCKWISE, ANTICLOCKWISE = 0, 1, 8, 9


def memory_step(model, batch, frames, size, clip_frames=None):
    """Peak of three training steps; `clip_frames=None` trains on the whole clip."""
    import keras

    from keras_video.applications import MoViNetA0
    from keras_video.training import ClipRecurrent

    del model
    network = MoViNetA0(classes=10, causal=clip_frames is None, streaming=clip_frames is not None)
    trainer = network if clip_frames is None else ClipRecurrent(network, clip_frames)
    trainer.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    videos = np.random.default_rng(0).integers(0, 256, (batch, frames, size, size, 3), "uint8")
    labels = np.arange(batch) % 10
    before = resident_mb()
    losses = [float(trainer.train_on_batch(videos, labels)) for _ in range(3)]
    if not np.isfinite(losses).all():
        raise ValueError(f"the losses are {losses}")
    return {"before_mb": round(before, 1), "peak_mb": round(peak_mb(), 1)}


def measure_memory(context):
    """One row per backend and way of training; the ratio is to 8-frame training."""
    size = 64 if FLAGS.quick else 172
    ways = (
        ("8 frames", FLAGS.subclip, None),
        (f"{FLAGS.frames} frames in subclips", FLAGS.frames, FLAGS.subclip),
        (f"{FLAGS.frames} frames at once", FLAGS.frames, None),
    )
    rows = []
    for backend in FLAGS.backends or ("tensorflow", "jax", "torch"):
        reference = None
        for name, frames, clip_frames in ways:
            case = {"model": "movinet_a0", "batch": 1, "frames": frames, "size": size}
            row = {
                "benchmark": "clip_recurrent_memory",
                "backend": backend,
                "training": name,
                **case,
            }
            options = {"clip_frames": clip_frames}
            row |= harness.call(Contender(name, backend, memory_step, options), case)
            if "peak_mb" in row:
                reference = reference or row["peak_mb"]
                row["ratio"] = round(row["peak_mb"] / reference, 3)
            row.setdefault("error", "")
            rows.append(row | context)
            harness.write("clip_recurrent_memory", rows)
            print(f"  {backend}, {name}: {row.get('peak_mb', row['error'])}", flush=True)
    harness.print_table(rows, ("backend", "training", "before_mb", "peak_mb", "ratio", "error"))


def make_videos(count, split, seed):
    """Videos `(count, 4 * PART, height, width, 3)` and how many moves are to the left."""
    from keras_video.datasets.moving_digits import make_video

    random = np.random.default_rng((seed, 77))
    videos = np.empty((count, 4 * PART, *SIZE, 3), "uint8")
    labels = np.empty(count, "int32")
    for i in range(count):
        first, last = (LEFT, RIGHT)[i % 2], (LEFT, RIGHT)[i // 2 % 2]
        turns = random.choice([CLOCKWISE, ANTICLOCKWISE], 2)
        videos[i] = make_video(
            [first, *turns, last], PART, SIZE, split, seed=int(random.integers(2**31))
        )
        labels[i] = (first == LEFT) + (last == LEFT)
    return videos, labels


def measure_learning(context):
    """Top-1 on whole test videos after training in subclips, and after training on 8 frames."""
    import keras

    from keras_video.applications import MoViNetA0
    from keras_video.training import ClipRecurrent

    count, epochs = (16, 1) if FLAGS.quick else (320, FLAGS.epochs)
    test = make_videos(count, "test", 2)
    rows = []
    for name in ("subclips of 8, whole videos", "8 frames from anywhere"):
        keras.utils.set_random_seed(3)
        network = MoViNetA0(weights="moving_digits", streaming=True, classes=CLASSES)
        trainer = ClipRecurrent(network, FLAGS.subclip)
        whole = name.startswith("subclips")
        # The same number of frames for both, so four times as many steps on single clips.
        data = Batches(count, 16, None if whole else PART)
        steps = epochs * len(data) * (1 if whole else 4)
        schedule = keras.optimizers.schedules.CosineDecay(
            1e-4, steps, warmup_target=1e-3, warmup_steps=steps // 10
        )
        trainer.compile(
            keras.optimizers.AdamW(schedule, weight_decay=1e-3, global_clipnorm=1.0),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        history = trainer.fit(
            data, epochs=epochs * (1 if whole else 4), verbose=2, shuffle=False
        ).history
        loss, accuracy = trainer.evaluate(*test, batch_size=16, verbose=0)
        row = {
            "benchmark": "clip_recurrent_learning",
            "backend": keras.backend.backend(),
            "training": name,
            "frames_seen": steps * 16 * (4 * PART if whole else PART),
            "steps": steps,
            "train_accuracy": round(100 * history["accuracy"][-1], 2),
            "test_top1": round(100 * accuracy, 2),
            "test_loss": round(loss, 4),
            "test_videos": len(test[1]),
        }
        rows.append(row | context)
        harness.write("clip_recurrent_learning", rows)
    columns = ("training", "steps", "frames_seen", "train_accuracy", "test_top1", "test_videos")
    harness.print_table(rows, columns)


def Batches(count, batch_size, window):
    """Batches of videos that are new in each epoch: whole, or a window from anywhere in each.

    Of a video of four windows four are drawn, in four epochs, so that both see the same videos.
    """
    import keras

    class Data(keras.utils.PyDataset):
        epoch, made = 0, None

        def __len__(self):
            return count // batch_size

        def __getitem__(self, index):
            number = self.epoch if window is None else self.epoch // 4
            if self.made != number:
                self.videos, self.labels = make_videos(count, "train", 100 + number)
                self.made = number
            order = np.random.default_rng((9, self.epoch)).permutation(count)
            chosen = order[index * batch_size : (index + 1) * batch_size]
            clips = self.videos[chosen]
            if window is not None:
                random = np.random.default_rng((10, self.epoch, index))
                starts = random.integers(0, clips.shape[1] - window + 1, len(clips))
                clips = np.stack(
                    [clip[s : s + window] for clip, s in zip(clips, starts, strict=True)]
                )
            return clips, self.labels[chosen]

        def on_epoch_end(self):
            self.epoch += 1

    return Data()


def main(argv):
    del argv
    context = harness.describe_machine()
    if FLAGS.part == "memory":
        measure_memory(context)
    else:
        measure_learning(context)


if __name__ == "__main__":
    app.run(main)
