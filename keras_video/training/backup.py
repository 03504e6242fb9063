"""Training that continues exactly where it was interrupted."""

import json
import os
import zipfile

import keras
import numpy as np
from keras import ops

from keras_video import files
from keras_video.checks import check_int


def resumable_fit(model, data, epochs, backup, every=100, callbacks=(), **kwargs):
    """Call `model.fit` with backups, so that the same call continues after a crash.

    `keras.callbacks.BackupAndRestore` repeats the interrupted epoch, with weights that have already
    seen part of it. Here the backup holds everything that the rest of the run depends on: weights,
    optimizer, random generators, epoch and batch. The same call in a new process ends with the
    weights of an uninterrupted run.

    Args:
        model: compiled Keras model.
        data: `keras.utils.PyDataset`. All its random choices must depend only on its attribute
            `epoch`, which increases in `on_epoch_end`. Without this attribute, it must return the
            same batches in every epoch.
        epochs: int, at least 1, the total number of epochs, as in `fit`.
        backup: folder of the backup. The backup is removed when the run has ended.
        every: int, at least 1, number of batches between two backups. Each epoch ends with a
            backup as well.
        callbacks: Keras callbacks. They start anew after an interruption.
        **kwargs: the other arguments of `fit`.

    Returns:
        `keras.callbacks.History` of the epochs of this call. For an epoch that was interrupted, the
        metrics are those of its remaining batches.

    Raises:
        ValueError: if an argument is out of its range, or if the backup is damaged or belongs to
            another model, optimizer or data set.
    """
    check_int("epochs", epochs)
    check_int("every", every)
    if not isinstance(data, keras.utils.PyDataset):
        raise ValueError(f"data: expected a PyDataset, got {type(data).__name__}.")
    kwargs |= {"shuffle": False}  # the order that `fit` draws could not be repeated
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
    """The batches of a data set from batch `offset` on."""

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
    """Callback that writes the backups, and restores the last one."""

    def __init__(self, folder, batches, every):
        super().__init__()
        self.path = os.path.join(os.fspath(folder), "training.npz")
        self.batches, self.every = batches, every
        self.offset = self.epoch = 0
        self.random = None

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        # Between epochs `fit` draws random numbers itself, and once more after an interruption.
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
        """Write everything that the rest of the run depends on."""
        if hasattr(self.model, "jax_state_sync"):
            self.model.jax_state_sync()
        arrays = {f"{i:05d}": _array(v) for i, v in enumerate(_variables(self.model))}
        arrays |= {f"random{i}": state for i, state in enumerate(_random_state())}
        note = {"epoch": epoch, "batch": batch, "batches": self.batches}
        note = np.frombuffer(json.dumps(note).encode(), "uint8")
        with files.replacing(self.path, sync=True) as partial, open(partial, "wb") as file:
            np.savez(file, note=note, **arrays)

    def restore(self, model):
        """Load the last backup into the model; return the epoch and batch to start with."""
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
                f"backup: expected a backup of resumable_fit, got {self.path}, which is damaged or "
                f"no backup ({error}). Remove it to start again."
            ) from error
        if [tuple(v.shape) for v in variables] != [a.shape for a in arrays]:
            raise ValueError(
                f"backup: expected {len(variables)} variables of {model.name} and its optimizer, "
                f"got {len(arrays)} of another model or optimizer in {self.path}. Remove it to "
                "start again."
            )
        if batches != self.batches:
            raise ValueError(
                f"backup: expected a run with {self.batches} batches in an epoch, got {batches} in "
                f"{self.path}. Remove it to start again."
            )
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(ops.convert_to_tensor(array, dtype=variable.dtype))
        self.random = random
        return epoch, batch

    def remove(self):
        """Remove the backup, and its folder if that is empty then."""
        if os.path.exists(self.path):
            os.unlink(self.path)
        folder = os.path.dirname(self.path)
        if os.path.isdir(folder) and not os.listdir(folder):
            os.rmdir(folder)


def _variables(model):
    # By position: names depend on what else was built in the process.
    return [*model.variables, *model.optimizer.variables]


def _array(variable):
    array = np.asarray(ops.convert_to_numpy(variable.value))
    return array.astype("float32") if array.dtype.name == "bfloat16" else array


def _random_state():
    """Return torch's own generators, which Keras' dropout uses on torch; no variable holds them."""
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
    """Set the epoch of the data set; `fit` increases it once before its first epoch."""
    if before_first is not None:
        data.epoch = before_first + epoch
