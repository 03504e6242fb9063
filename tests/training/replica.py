"""One process of a training run on several devices; started by `test_distribution.py`.

    python -m tests.training.replica MODES FOLDER INDEX ADDRESS

For each of the modes (separated by commas) it reads the shards in FOLDER, trains a small network
for an epoch and writes its weights to `FOLDER/weights-MODE-INDEX.npz`. At the end it prints
`{mode: {weight: largest change}}` as JSON. The modes are

    single      one device, joint batches
    half        one device, the batches of one process
    devices     keras.distribution.DataParallel on the two devices of one process (JAX)
    processes   keras.distribution.DataParallel on two processes, half a batch each (JAX)
    mirrored    tf.distribute.MirroredStrategy on the two devices of one process
    multiworker tf.distribute.MultiWorkerMirroredStrategy on two processes, half a batch each
    labels      no training: prints the labels that this process reads in `FOLDER/labels`
"""

import contextlib
import json
import os
import sys

import numpy as np

BATCH = 8
SPLIT = ("half", "processes", "multiworker", "labels")  # modes in which a process reads its shard


def main(modes, folder, index, address):
    """Run the modes one after the other."""
    modes = modes.split(",")
    if "multiworker" in modes:
        workers = address.split(",")
        task = {"type": "worker", "index": index}
        os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": workers}, "task": task})
    if "mirrored" in modes:
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        logical = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, logical)
    print(json.dumps({mode: run(mode, folder, index, address) for mode in modes}))


def run(mode, folder, index, address):
    """Train in one mode; return the largest change of each weight."""
    scope = prepare(mode, index, address)
    from keras_video.data import read_shards

    parts = 2 if mode in SPLIT else 1
    dataset = read_shards(
        os.path.join(folder, "labels" if mode == "labels" else "", "*.tfrecord"),
        num_frames=4,
        image_size=16,
        batch_size=BATCH // parts,
        seed=5,
        shard=(index, 2) if mode in SPLIT else (0, 1),
        drop_remainder=mode != "labels",
        workers=0,
    )
    if mode == "labels":
        return np.concatenate([dataset[i][1] for i in range(len(dataset))]).tolist()
    with scope:
        model = small_model()
        before = [np.array(w) for w in model.get_weights()]
        if mode == "multiworker":
            train_by_steps(model, dataset)
        else:
            model.fit(dataset, epochs=1, verbose=0)
    after = [np.array(w) for w in model.get_weights()]
    names = [v.path.replace("/", ".") for v in model.weights]
    path = os.path.join(folder, f"weights-{mode}-{index}.npz")
    np.savez(path, steps=len(dataset), **dict(zip(names, after, strict=True)))
    changes = [float(np.abs(a - b).max()) for a, b in zip(after, before, strict=True)]
    return dict(zip(names, changes, strict=True))


def prepare(mode, index, address):
    """Set up the devices; return the context in which to build and train."""
    if mode in ("devices", "processes"):
        import keras

        if mode == "processes":
            keras.distribution.initialize(address.split(",")[0], 2, index)
        devices = keras.distribution.list_devices()
        assert len(devices) == 2, devices
        distribution = keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False)
        assert distribution.num_model_replicas == 2
        return distribution.scope()
    if mode in ("mirrored", "multiworker"):
        import tensorflow as tf

        if mode == "multiworker":
            strategy = tf.distribute.MultiWorkerMirroredStrategy()
        else:
            strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
        assert strategy.num_replicas_in_sync == 2
        return strategy.scope()
    return contextlib.nullcontext()


def train_by_steps(model, dataset):
    """Run an epoch of Keras' own training step on the batches of this process.

    `fit` of Keras 3.15 fails before its first step if there are several TensorFlow workers.
    """
    import tensorflow as tf

    strategy = tf.distribute.get_strategy()
    model.optimizer.build(model.trainable_variables)
    step = tf.function(lambda batch: strategy.run(model.train_step, args=(batch,)))
    dataset.on_epoch_end()  # as `fit` does before its first epoch
    for index in range(len(dataset)):
        step(tuple(map(tf.convert_to_tensor, dataset[index])))


def small_model():
    """Build a network of causal convolutions and a running mean, without batch norm.

    On TensorFlow, batch norm in training uses the statistics of each replica's part of a batch. So
    two replicas of four clips would differ from one batch of eight.
    """
    import keras

    from keras_video.layers import CausalConv3D, CumulativeAvgPool
    from tests.helpers import randomize_weights

    inputs = keras.Input((4, 16, 16, 3))
    x = keras.layers.Rescaling(1 / 127.5, -1)(inputs)
    x = CausalConv3D(6, (3, 3, 3), (1, 2, 2), use_bias=True, activation="relu", name="conv1")(x)
    x = CausalConv3D(8, (3, 3, 3), (1, 2, 2), use_bias=True, activation="relu", name="conv2")(x)
    x = CumulativeAvgPool(keep_frames=False)(x)
    model = keras.Model(inputs, keras.layers.Dense(5, name="head")(x), name="small")
    randomize_weights(model)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), loss)
    return model


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
