"""Fine-tunes MoViNet-A0 on a folder of videos, one folder per class.

    python examples/finetune.py                                # on generated videos
    python examples/finetune.py --folder=my_videos --weights=kinetics600 --frames=16 --size=172

First only the classifier and the last stages are trained, then all layers with a lower learning
rate. To continue an interrupted run, use the same command. The output folder gets the model, the
names of its classes, and a report of the accuracy on the validation videos.
"""

import os
from pathlib import Path

import keras
from absl import app, flags

import keras_video
from keras_video.data import video_dataset_from_directory
from keras_video.datasets.moving_digits import write_folder
from keras_video.training import finetune

FLAGS = flags.FLAGS
flags.DEFINE_string("folder", "", "Videos, in one folder per class.")
flags.DEFINE_string("weights", "moving_digits", "kinetics600, moving_digits, or a path.")
flags.DEFINE_integer("frames", 12, "Frames of a clip.")
flags.DEFINE_float("frame_rate", 0, "Frames per second; 0 for the rate of the videos.")
flags.DEFINE_integer("size", 48, "Side of the frames in pixels.")
flags.DEFINE_integer("epochs", 4, "Epochs with all layers, after one with the last stages.")
flags.DEFINE_integer("batch_size", 16, "Clips in a step.")
flags.DEFINE_float("learning_rate", 2e-3, "Highest learning rate.")
flags.DEFINE_string("output", "finetuned", "Folder for the results.")


def main(argv):
    del argv
    keras.utils.set_random_seed(1)
    folder = FLAGS.folder or os.path.join(FLAGS.output, "videos")
    if not FLAGS.folder:
        print(f"writing 480 videos to {folder}")
        write_folder(folder)
    train, validation = video_dataset_from_directory(
        folder,
        batch_size=FLAGS.batch_size,
        image_size=(FLAGS.size, FLAGS.size),
        num_frames=FLAGS.frames,
        frame_rate=FLAGS.frame_rate or None,
        validation_split=0.2,
        subset="both",
        seed=1,
    )
    model = keras_video.applications.MoViNetA0(
        weights=FLAGS.weights,
        classes=train.num_classes,
        input_shape=(FLAGS.frames, FLAGS.size, FLAGS.size, 3),
    )
    backup = os.path.join(FLAGS.output, "backup")
    # A marker, so that a second start does not repeat the first part.
    first = Path(FLAGS.output, "last_stages.weights.h5")
    if first.exists():
        model.load_weights(first)
    else:
        finetune(
            model,
            train,
            validation,
            epochs=1,
            learning_rate=FLAGS.learning_rate,
            freeze="block3",
            backup=f"{backup}_last_stages",
        )
        model.save_weights(first)
    model.freeze(until=None)
    history = finetune(
        model,
        train,
        validation,
        epochs=FLAGS.epochs,
        learning_rate=FLAGS.learning_rate / 2,
        backup=backup,
    )
    model.save(os.path.join(FLAGS.output, "model.keras"))
    names = "\n".join(train.class_names) + "\n"
    Path(FLAGS.output, "labels.txt").write_text(names, encoding="utf-8")
    print(f"validation accuracy: {100 * history.history['val_accuracy'][-1]:.1f} %")


if __name__ == "__main__":
    app.run(main)
