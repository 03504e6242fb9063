"""Checkpoints of a `Searcher`: everything that its next step depends on."""

import json
import os
import re

import numpy as np

FORMAT = "keras_video one-shot 1"
KEPT = 2  # the last chunk may have to be run again from the one before
NAME = re.compile(r"shared-(\d{5})\.npz")


def path_of(folder, position):
    """Path of the checkpoint after so many chunks."""
    return os.path.join(folder, f"shared-{position:05d}.npz")


def save(folder, position, searcher, about):
    """Writes a checkpoint under a temporary name and renames it; removes all but the last two.

    Keras' own files of weights have neither the optimizer's state nor that of random seeds.

    Args:
        folder: string.
        position: int, chunks done.
        searcher: `Searcher`.
        about: dict of plain values, kept with it.
    """
    parts = {"model": searcher.variables, "optimizer": searcher.optimizer.variables}
    arrays = {
        f"{part}/{number}": _to_array(variable)
        for part, variables in parts.items()
        for number, variable in enumerate(variables)
    }
    places = {id(v): number for number, v in enumerate(searcher.variables)}
    shared = [places[id(v)] for v in searcher.super_network.weights]
    about = {"format": FORMAT, "position": position, "shared": shared, **about}
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), "uint8")
    path = path_of(folder, position)
    with open(f"{path}.tmp", "wb") as file:
        np.savez(file, **arrays)
        file.flush()
        os.fsync(file.fileno())
    os.replace(f"{path}.tmp", path)
    for name in os.listdir(folder):
        found = NAME.fullmatch(name)
        if found and int(found[1]) <= position - KEPT:
            os.unlink(os.path.join(folder, name))


def restore(folder, position, searcher):
    """Puts a searcher into the state of a checkpoint.

    Returns:
        The dict `about` that was kept with it.

    Raises:
        ValueError: if there is no such checkpoint, or it is that of another searcher.
    """
    arrays, about = _read(folder, position)
    parts = {"model": searcher.variables, "optimizer": searcher.optimizer.variables}
    for part, variables in parts.items():
        _assign(path_of(folder, position), part, variables, arrays)
    return about


def inherit(folder, position, searcher):
    """Takes the shared weights alone from a checkpoint, that of an earlier stage.

    Returns and raises: as `restore`.
    """
    arrays, about = _read(folder, position)
    weights = searcher.super_network.weights
    found = [arrays[f"model/{place}"] for place in about["shared"]]
    if [a.shape for a in found] != [tuple(v.shape) for v in weights]:
        raise ValueError(
            "super_network: expected the same weights whatever is fixed, but those of "
            f"{path_of(folder, position)} are {len(found)}, and here are {len(weights)}, or they "
            "have other shapes."
        )
    for array, variable in zip(found, weights, strict=True):
        variable.assign(array)
    return about


def describe(folder, position):
    """The dict `about` that was kept with a checkpoint. Raises: as `restore`."""
    return _read(folder, position)[1]


def _read(folder, position):
    path = path_of(folder, position)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        about = json.loads(arrays.pop("about").tobytes().decode())
        if about.get("format") != FORMAT:
            raise ValueError("another format")
    except FileNotFoundError:
        raise ValueError(f"checkpoint: expected {path}, which is not there.") from None
    except Exception as error:
        raise ValueError(
            f"checkpoint: expected {path} to be one of a one-shot search, it is damaged ({error})."
        ) from error
    return arrays, about


def _assign(path, part, variables, arrays):
    names = [name for name in arrays if name.startswith(f"{part}/")]
    shapes = [tuple(arrays[f"{part}/{n}"].shape) for n in range(len(names))]
    if shapes != [tuple(v.shape) for v in variables]:
        raise ValueError(
            f"checkpoint: expected {path} to hold the {len(variables)} variables of the {part}, "
            f"got {len(shapes)} or others; was the space, the super-network or the optimizer "
            "changed?"
        )
    for number, variable in enumerate(variables):
        variable.assign(arrays[f"{part}/{number}"])


def _to_array(variable):
    import keras

    array = keras.ops.convert_to_numpy(
        keras.ops.cast(variable, "float32") if variable.dtype == "bfloat16" else variable
    )
    return np.asarray(array)
