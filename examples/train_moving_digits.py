"""Trains the weights `moving_digits` that are included in the library.

    python examples/train_moving_digits.py --variant base      # about 20 minutes on two cores
    python examples/train_moving_digits.py --variant stream
    python examples/train_moving_digits.py --variant tvn       # the model that our own search found
    python examples/train_moving_digits.py --measure           # measures the included weights

MoViNet-A0 (base, stream) takes 8 frames of 48x48 pixels. Half of the clips are a whole motion, the
other half are 8 frames of a motion of 12 frames, so that the model also learns slower and
incomplete motions. The residual branches start at 0.3 instead of 0, which halves the epochs of such
a short training. The Tiny Video Network uses some frames of a motion of 16 frames of 40x40 pixels,
as in the search, at its own size.

At the end the script writes the weights and measures them on the 1,600 fixed test clips, with two
controls: reversed clips must get the class of the reversed motion, and with shuffled frames the
accuracy within a pair must fall to chance. The results are written into the model card.
"""

import json
import os
from pathlib import Path

import keras
import numpy as np
from absl import app, flags

import keras_video
from keras_video.applications import tiny_video_net
from keras_video.checkpoints import weight_map
from keras_video.datasets import moving_digits

FLAGS = flags.FLAGS
VARIANTS = ("base", "stream", "tvn")
flags.DEFINE_enum("variant", "base", VARIANTS, "Model to train.")
flags.DEFINE_boolean("measure", False, "Only measure the included weights.")
flags.DEFINE_integer("epochs", None, "Epochs of 1,600 clips. Default: 10, for tvn 120.")
flags.DEFINE_float("learning_rate", None, "Peak of AdamW. Default: 2e-3, for tvn 3e-3.")
flags.DEFINE_integer("batch_size", 16, "Clips in a step.")
flags.DEFINE_integer("threads", 0, "TensorFlow threads; 0 for all cores.")
flags.DEFINE_string("output", "moving_digits_weights", "Folder for the weights and their card.")

FRAMES, SIZE = 8, (48, 48)
BRANCH_SCALE = 0.3
FOUND = "tiny_video_net_moving_digits"
FOUND_FRAMES, FOUND_SIZE = 16, (40, 40)  # of the clips that it was searched on
STEMS = {v: f"movinet_a0_{v}_moving_digits" for v in ("base", "stream")} | {"tvn": FOUND}
TITLES = {"base": "MoViNet-A0 base", "stream": "MoViNet-A0 stream", "tvn": "Tiny Video Network"}


class MixedSpeeds(keras.utils.PyDataset):
    """Batches of 8 frames: whole motions, and parts of motions of 12 frames."""

    def __init__(self, num_clips, batch_size, seed=0, **kwargs):
        super().__init__(**kwargs)
        options = {"num_clips": num_clips, "batch_size": batch_size, "size": SIZE, "seed": seed}
        self.whole = moving_digits.MovingDigits("train", num_frames=FRAMES, **options)
        self.longer = moving_digits.MovingDigits("train", num_frames=FRAMES + 4, **options)

    def __len__(self):
        return len(self.whole)

    def __getitem__(self, index):
        if index % 2 == 0:
            return self.whole[index]
        clips, labels = self.longer[index]
        start = np.random.default_rng((self.longer.epoch, index)).integers(0, 5)
        return clips[:, start : start + FRAMES], labels

    def on_epoch_end(self):
        self.whole.on_epoch_end()
        self.longer.on_epoch_end()


class Sampled(keras.utils.PyDataset):
    """Batches with the frames and the size of the model that the search found."""

    def __init__(self, split, num_clips, batch_size, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.whole = moving_digits.MovingDigits(
            split, num_clips, batch_size, num_frames=FOUND_FRAMES, size=FOUND_SIZE, seed=seed
        )

    def __len__(self):
        return len(self.whole)

    def __getitem__(self, index):
        from keras_video.tuner.spaces.base import cut  # needs the extra "tuner"

        clips, labels = self.whole[index]
        config = tiny_video_net.CONFIGS[FOUND]
        return cut(clips, *config.clip[:3], config.frame_stride), labels

    def on_epoch_end(self):
        self.whole.on_epoch_end()


def make_data(variant, split, num_clips, batch_size):
    if variant == "tvn":
        return Sampled(split, num_clips, batch_size)
    if split == "train":
        return MixedSpeeds(num_clips, batch_size)
    return moving_digits.MovingDigits(split, num_clips, batch_size, num_frames=FRAMES, size=SIZE)


def make_model(variant, weights=None):
    classes = len(moving_digits.CLASS_NAMES)
    if variant == "tvn":
        return keras_video.applications.TinyVideoNetMovingDigits(weights=weights, classes=classes)
    return keras_video.applications.MoViNetA0(
        weights=weights,
        classes=classes,
        causal=variant == "stream",
        input_shape=(FRAMES, *SIZE, 3),
        stochastic_depth=0.0,
    )


def evaluate(model, variant, num_clips=1600):
    """Return top-1 accuracies in percent on test clips, and on reversed and shuffled ones."""
    test = make_data(variant, "test", num_clips, 50)
    random = np.random.default_rng(0)
    hits = {"top1": [], "reversed_top1_of_partner": [], "shuffled_top1_within_pair": []}
    for i in range(len(test)):
        clips, labels = test[i]
        partners = np.array([moving_digits.partner(label) for label in labels])
        shuffled = np.stack([clip[random.permutation(len(clip))] for clip in clips])
        hits["top1"].append(predict(model, clips).argmax(-1) == labels)
        reverse = predict(model, clips[:, ::-1])
        hits["reversed_top1_of_partner"].append(reverse.argmax(-1) == partners)
        scores = predict(model, shuffled)
        rows = np.arange(len(labels))
        hits["shuffled_top1_within_pair"].append(scores[rows, labels] > scores[rows, partners])
    return {name: round(100 * float(np.concatenate(h).mean()), 2) for name, h in hits.items()}


def predict(model, clips):
    return np.asarray(model.predict_on_batch(np.ascontiguousarray(clips)))


def train(variant, epochs, learning_rate, batch_size, output):
    """Train one variant, write its weights and card, return the measured accuracies."""
    keras.utils.set_random_seed(1)
    epochs = epochs or (120 if variant == "tvn" else 10)
    learning_rate = learning_rate or (3e-3 if variant == "tvn" else 2e-3)
    model = make_model(variant)
    for variable in model.trainable_variables:
        if variable.path.endswith("_rezero/scale"):
            variable.assign(BRANCH_SCALE)
    data = make_data(variant, "train", 1600, batch_size)
    steps = epochs * len(data)
    schedule = keras.optimizers.schedules.CosineDecay(
        learning_rate / 10, steps, warmup_target=learning_rate, warmup_steps=steps // 10
    )
    model.compile(
        keras.optimizers.AdamW(schedule, weight_decay=1e-3, clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(data, epochs=epochs, verbose=2)
    os.makedirs(output, exist_ok=True)
    stem = os.path.join(output, STEMS[variant])
    weight_map.save(f"{stem}.npz", weight_map.export(model))
    # Measured as included in the library: rounded to half precision.
    weight_map.assign(model, weight_map.load(f"{stem}.npz"))
    frames, height, width, _ = model.input_shape[1:]
    size = (height, width) if height else tiny_video_net.CONFIGS[FOUND].clip[1:3]
    card = {
        "network": TITLES[variant],
        "data": f"moving digits, 1,600 test clips, {frames} frames of {size[0]}x{size[1]} pixels",
        "backend": keras.backend.backend(),
        "keras": keras.__version__,
        "clips_seen": epochs * 1600,
        **evaluate(model, variant),
    }
    Path(f"{stem}.json").write_text(json.dumps(card, indent=1) + "\n")
    return card


def main(argv):
    del argv
    if FLAGS.threads and keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(FLAGS.threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    if FLAGS.measure:
        for variant in VARIANTS:
            print(variant, evaluate(make_model(variant, "moving_digits"), variant))
        return
    card = train(FLAGS.variant, FLAGS.epochs, FLAGS.learning_rate, FLAGS.batch_size, FLAGS.output)
    print(json.dumps(card, indent=1))


if __name__ == "__main__":
    app.run(main)
