"""Trains a MoViNet on Kinetics with the settings of the official runs.

    python examples/train_kinetics.py --config=a0_base --train=train.csv --root=kinetics/train

The settings are those of `keras_video.training.RECIPES`: RMSprop, cosine schedule, label smoothing,
weight decay, stochastic depth, frames and augmentation (with RandAugment instead of AutoAugment).
The official batch of 1,024 clips needs many accelerators. With a smaller `--batch_size`, the
learning rate decreases and the number of steps increases in proportion. `--print` only prints the
settings.
"""

import dataclasses

import keras
from absl import app, flags

from keras_video.training import RECIPES, resumable_fit

FLAGS = flags.FLAGS
flags.DEFINE_enum("config", "a0_base", sorted(RECIPES), "Official run to repeat.")
flags.DEFINE_string("train", "", "List of the training videos (Kinetics CSV, or `path label`).")
flags.DEFINE_string("root", "", "Folder that contains the paths of the list.")
flags.DEFINE_integer("classes", 600, "Number of classes.")
flags.DEFINE_integer("batch_size", 64, "Clips in a step.")
flags.DEFINE_integer("steps", 0, "Number of steps; 0 for as many clips as the official run.")
flags.DEFINE_integer("workers", 8, "Threads that read videos.")
flags.DEFINE_integer("seed", 1, "Seed of weights, order and augmentation.")
flags.DEFINE_string("output", "kinetics", "Folder for weights and backups.")
flags.DEFINE_boolean("print", False, "Only print the settings.")


def main(argv):
    del argv
    recipe = RECIPES[FLAGS.config]
    config = recipe.config
    steps = FLAGS.steps or recipe.steps * recipe.batch_size // FLAGS.batch_size
    if FLAGS.print:
        settings = dataclasses.asdict(recipe) | dataclasses.asdict(config.variant)
        settings |= {"steps": steps, "frame_rate": config.frame_rate, "size": config.clip[1]}
        for name, value in settings.items():
            print(f"{name:20s} {value}")
        return
    from keras_video.data import augmentation, video_dataset_from_file_list

    size = config.clip[1]
    keras.utils.set_random_seed(FLAGS.seed)
    data = video_dataset_from_file_list(
        FLAGS.train,
        root=FLAGS.root or None,
        batch_size=FLAGS.batch_size,
        num_frames=recipe.frames,
        frame_rate=config.frame_rate,
        image_size=(size * 8 // 7, size * 8 // 7),
        seed=FLAGS.seed,
        errors="skip",
        augment=augmentation.Compose(
            [
                augmentation.RandomResizedCrop((size, size), recipe.area, recipe.aspect),
                augmentation.RandomFlip(),
            ]
        ),
        workers=FLAGS.workers,
    )
    model = recipe.build(classes=FLAGS.classes, input_shape=(recipe.frames, size, size, 3))
    model.compile(recipe.optimizer(FLAGS.batch_size, steps), recipe.loss(), metrics=["accuracy"])
    epochs = -(-steps // len(data))
    resumable_fit(model, data, epochs, f"{FLAGS.output}/backup", every=1000)
    model.save_weights(f"{FLAGS.output}/{FLAGS.config}.weights.h5")


if __name__ == "__main__":
    app.run(main)
