"""`resumable_fit`: a training run that was killed goes on as if nothing had happened."""

import json
import os
import zipfile

import keras
import numpy as np
from keras import ops

from keras_video.specs import check_int


def resumable_fit(model, data, epochs, backup, every=100, callbacks=(), **kwargs):
    """`model.fit` that continues, after it was killed, at the batch of its last backup.

    `keras.callbacks.BackupAndRestore` repeats the epoch that was interrupted, with weights that
    have already seen a part of it. Here everything that the rest of the run depends on is backed
    up: weights, optimizer, random generators, epoch and batch. The same call made again, in a new
    process, ends with the weights of an unbroken run.

    Args:
        model: compiled Keras model.
        data: `keras.utils.PyDataset`. Whatever it shuffles and draws must depend on nothing but its
            attribute `epoch`, which counts up in `on_epoch_end`; without that attribute it must
            give the same batches in every epoch.
        epochs: int, at least 1, the epoch to stop at, as of `fit`.
        backup: folder of the backup; emptied when the run has ended.
        every: int, at least 1, batches between two backups. There is one after each epoch, too.
        callbacks: Keras callbacks. They begin anew after an interruption.
        **kwargs: the other arguments of `fit`.

    Returns:
        `keras.callbacks.History`, of the epochs of this call. The metrics of an epoch that was
        interrupted are those of its rest.

    Raises:
        ValueError: if an argument is out of its range, or if the backup is damaged, or one of
            another model, optimizer or data set.
    """
    for name, value in (("epochs", epochs), ("every", every)):
        check_int(name, value)
    if not isinstance(data, keras.utils.PyDataset):
        raise ValueError(f"data: expected a PyDataset, got {type(data).__name__}.")
    # Batches would otherwise be drawn in an order that nobody can repeat.
    kwargs |= {"shuffle": False}
    before_first = getattr(data, "epoch", None)
    writer = _Writer(backup, len(data), every)
    epoch, batch = writer.restore(model)
    past = None
    if batch:
        _set_epoch(data, before_first, epoch)
        writer.offset = batch
        rest = _Rest(data, batch)
        past = model.fit(
            rest,
            initial_epoch=epoch,
            epochs=epoch + 1,
            callbacks=[*callbacks, writer],
            **kwargs,
        )
        epoch += 1
    _set_epoch(data, before_first, epoch)
    writer.offset = 0
    history = model.fit(
        data, initial_epoch=epoch, epochs=epochs, callbacks=[*callbacks, writer], **kwargs
    )
    writer.remove()
    if past is not None:
        history.epoch = past.epoch + history.epoch
        for name, values in past.history.items():
            history.history[name] = values + history.history.get(name, [])
    return history


class _Rest(keras.utils.PyDataset):
    """The batches of a data set from one on."""

    def __init__(self, dataset, offset):
        super().__init__(
            workers=dataset.workers,
            use_multiprocessing=dataset.use_multiprocessing,
            max_queue_size=dataset.max_queue_size,
        )
        self.dataset, self.offset = dataset, offset

    def __len__(self):
        return len(self.dataset) - self.offset

    def __getitem__(self, index):
        return self.dataset[index + self.offset]

    def on_epoch_begin(self):
        self.dataset.on_epoch_begin()

    def on_epoch_end(self):
        self.dataset.on_epoch_end()


class _Writer(keras.callbacks.Callback):
    """Writes the backups, and reads the last one."""

    def __init__(self, folder, batches, every):
        super().__init__()
        self.path = os.path.join(os.fspath(folder), "training.npz")
        self.batches, self.every = batches, every
        self.offset = self.epoch = 0
        self.random = None

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        # Between epochs `fit` itself draws numbers, another time after an interruption.
        if self.random is not None:
            _set_random_state(self.random)
            self.random = None

    def on_train_batch_end(self, batch, logs=None):
        done = batch + 1 + self.offset
        if done % self.every == 0 and done < self.batches:
            self.save(self.epoch, done)

    def on_epoch_end(self, epoch, logs=None):
        self.save(epoch + 1, 0)
        self.random = _random_state()

    def save(self, epoch, batch):
        """Writes all that the run depends on, or nothing."""
        if hasattr(self.model, "jax_state_sync"):
            self.model.jax_state_sync()
        arrays = {f"{i:05d}": _array(v) for i, v in enumerate(_variables(self.model))}
        arrays |= {f"random{i}": state for i, state in enumerate(_random_state())}
        note = {"epoch": epoch, "batch": batch, "batches": self.batches}
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        temporary = f"{self.path}.{os.getpid()}.tmp"
        try:
            with open(temporary, "wb") as file:
                np.savez(file, note=np.frombuffer(json.dumps(note).encode(), "uint8"), **arrays)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path)
        finally:
            if os.path.exists(temporary):
                os.unlink(temporary)

    def restore(self, model):
        """Puts the last backup into the model; returns the epoch and batch to begin with."""
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        if not os.path.exists(self.path):
            return 0, 0
        variables = _variables(model)
        try:
            with np.load(self.path, allow_pickle=False) as file:
                note = json.loads(file["note"].tobytes())
                random = [file[name] for name in file.files if name.startswith("random")]
                arrays = [file[f"{i:05d}"] for i in range(len(file.files) - len(random) - 1)]
                epoch, batch, batches = (note[key] for key in ("epoch", "batch", "batches"))
        except (OSError, KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(
                f"backup: {self.path} is damaged or no backup ({error}). Remove it to begin anew."
            ) from error
        if [tuple(v.shape) for v in variables] != [a.shape for a in arrays]:
            raise ValueError(
                f"backup: {self.path} is one of another model or optimizer: expected the "
                f"{len(variables)} variables of {model.name}, got {len(arrays)} that differ in "
                "number or shape. Remove it to begin anew."
            )
        if batches != self.batches:
            raise ValueError(
                f"backup: {self.path} is one of a run with {batches} batches in an epoch, "
                f"this one has {self.batches}. Remove it to begin anew."
            )
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(ops.convert_to_tensor(array, dtype=variable.dtype))
        self.random = random
        return epoch, batch

    def remove(self):
        """Takes the backup away, and its folder if nothing else is in it."""
        if os.path.exists(self.path):
            os.unlink(self.path)
        folder = os.path.dirname(self.path)
        if os.path.isdir(folder) and not os.listdir(folder):
            os.rmdir(folder)


def _variables(model):
    # In order: names depend on what else was built in the process.
    return [*model.variables, *model.optimizer.variables]


def _array(variable):
    array = np.asarray(ops.convert_to_numpy(variable.value))
    return array.astype("float32") if array.dtype.name == "bfloat16" else array


def _random_state():
    """The generators that no variable holds: Keras' dropout on torch draws from torch's own."""
    if keras.backend.backend() != "torch":
        return []
    import torch

    states = [torch.get_rng_state(), *torch.cuda.get_rng_state_all()]
    return [state.cpu().numpy().copy() for state in states]


def _set_random_state(states):
    if not states:
        return
    import torch

    states = [torch.from_numpy(state) for state in states]
    torch.set_rng_state(states[0])
    if len(states) == torch.cuda.device_count() + 1:
        torch.cuda.set_rng_state_all(states[1:])


def _set_epoch(data, before_first, epoch):
    """`fit` counts up once before its first epoch, on every backend."""
    if before_first is not None:
        data.epoch = before_first + epoch
