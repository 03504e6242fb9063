"""Trains bLVNet-TAM on a folder of videos, progressively: few frames first, then more.

    python examples/train_blvnet_tam.py                        # on generated videos
    python examples/train_blvnet_tam.py --folder=my_videos --weights=imagenet --size=224 --width=64

The recipe of the paper (Fan et al. 2019, section 4.1): a model of 8x2 frames starts from ImageNet
weights and is trained for 50 epochs; a model of 16x2 frames starts from its weights and is trained
for 25. Nesterov momentum of 0.9, weight decay of 0.0005, batches of 64 clips, learning rate of
0.01: cosine decay in the first part (as in the published code), division by ten after 2/5 and 4/5
of the later parts. Frames are spread over the whole video, crops have several scales.

By default, a narrow model learns four pairs of motions in a few minutes. To continue an interrupted
run, use the same command.
"""

import os
from pathlib import Path

import keras
from absl import app, flags

import keras_video
from keras_video.data import augmentation, video_dataset_from_directory
from keras_video.datasets.moving_digits import write_folder
from keras_video.training import finetune

FLAGS = flags.FLAGS
flags.DEFINE_string("folder", "", "Videos, in one folder per class.")
flags.DEFINE_integer("depth", 50, "50, 101 or 152.")
flags.DEFINE_string("weights", "", "Weights to start from: imagenet, a path, or none.")
flags.DEFINE_list("pairs", ["8", "16"], "Pairs of frames of each part.")
flags.DEFINE_list("epochs", ["8", "4"], "Epochs of each part; 50,25 in the paper.")
flags.DEFINE_integer("size", 48, "Side of the frames in pixels; 224 in the paper.")
flags.DEFINE_integer("width", 16, "Channels of the first convolution; 64 in the paper.")
flags.DEFINE_integer("batch_size", 16, "Clips in a step; 64 in the paper.")
flags.DEFINE_float("learning_rate", 0.01, "The highest rate.")
flags.DEFINE_float("weight_decay", 5e-4, "Weight decay of all weights.")
flags.DEFINE_float("dropout", 0.5, "Dropout rate before the classifier.")
flags.DEFINE_boolean("flip", False, "Mirror clips; only if left and right mean the same.")
flags.DEFINE_integer("workers", 2, "Threads that read videos.")
flags.DEFINE_integer("seed", 1, "Of weights, split, order and augmentation.")
flags.DEFINE_string("output", "blvnet_tam", "Where the results go.")


def read(folder, frames):
    """Training and validation clips of so many frames; a fifth of the videos is kept aside."""
    steps = [augmentation.MultiScaleCrop(FLAGS.size)]
    if FLAGS.flip:
        steps.append(augmentation.RandomFlip())
    side = FLAGS.size * 8 // 7
    options = {
        "batch_size": FLAGS.batch_size,
        "num_frames": frames,
        "sampling": "blvnet_tam",
        "seed": FLAGS.seed,
        "validation_split": 0.2,
        "workers": FLAGS.workers,
    }
    train = video_dataset_from_directory(
        folder,
        image_size=(side, side),
        subset="training",
        augment=augmentation.Compose(steps),
        **options,
    )
    size = (FLAGS.size, FLAGS.size)
    validation = video_dataset_from_directory(
        folder, image_size=size, resize_side=side, subset="validation", **options
    )
    return train, validation


def schedule(steps, first):
    """A cosine for the network that starts from images, steps for those that start from it."""
    if first:
        return keras.optimizers.schedules.CosineDecay(FLAGS.learning_rate, steps)
    rates = [FLAGS.learning_rate / 10**i for i in range(3)]
    ends = [steps * 2 // 5, steps * 4 // 5]
    return keras.optimizers.schedules.PiecewiseConstantDecay(ends, rates)


def train_part(folder, number, pairs, epochs, weights):
    """Trains one network, unless that was done; returns the path of its weights."""
    path = Path(FLAGS.output, f"{pairs}x2.weights.h5")
    if path.exists():
        return path
    train, validation = read(folder, 2 * pairs)
    builder = getattr(keras_video.applications, f"BLVNetTAM{FLAGS.depth}")
    model = builder(
        weights=weights or None,
        classes=train.num_classes,
        input_shape=(2 * pairs, FLAGS.size, FLAGS.size, 3),
        width=FLAGS.width,
        dropout=FLAGS.dropout,
    )
    for variable in model.trainable_weights:
        variable.regularizer = keras.regularizers.L2(FLAGS.weight_decay / 2)
    model.compile(
        keras.optimizers.SGD(schedule(epochs * len(train), number == 0), 0.9, nesterov=True),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    backup = os.path.join(FLAGS.output, f"backup_{pairs}x2")
    finetune(model, train, validation, epochs, backup=backup, compile=False, verbose=2)
    print(f"{pairs}x2 frames:")
    keras_video.evaluate(model, validation)
    model.save_weights(path)
    return path


def main(argv):
    del argv
    keras.utils.set_random_seed(FLAGS.seed)
    folder = FLAGS.folder or os.path.join(FLAGS.output, "videos")
    os.makedirs(FLAGS.output, exist_ok=True)
    if not FLAGS.folder:
        print(f"writing 480 videos to {folder}")
        write_folder(folder, frames_per_motion=16)
    weights = FLAGS.weights
    parts = zip(map(int, FLAGS.pairs), map(int, FLAGS.epochs), strict=True)
    for number, (pairs, epochs) in enumerate(parts):
        weights = train_part(folder, number, pairs, epochs, weights)


if __name__ == "__main__":
    app.run(main)
