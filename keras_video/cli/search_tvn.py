"""A whole search on clips that lie in a folder, by one process or by several: what the CLI runs.

The folder has `settings.json` and the arrays of `write_clips`. As a program,
`python -m keras_video.cli.search_tvn FOLDER`, this is the chief or one of the workers.
"""

import json
import os
import sys

import numpy as np

PARTS = ("train", "validation")
PROJECT = "search"


def write_clips(folder, **parts):
    """Writes clips and labels, each file under a temporary name first.

    Args:
        folder: string, exists.
        **parts: `train=` and `validation=`, pairs of arrays `(clips, frames, height, width, 3)`
            and `(clips,)`.
    """
    for part, arrays in parts.items():
        for path, array in zip(_paths(folder, part), arrays, strict=True):
            with open(f"{path}.tmp", "wb") as file:
                np.save(file, array)
            os.replace(f"{path}.tmp", path)


def read_clips(folder):
    """The clips, mapped into memory: `{"train": (clips, labels), "validation": ...}`."""
    return {
        part: tuple(np.load(path, mmap_mode="r") for path in _paths(folder, part)) for part in PARTS
    }


def space(settings):
    """The `TVNSpace` of a search: small networks on parts of the clips.

    Args:
        settings: dict of `classes`, `size` and `frames` of the clips, and `mobile`.
    """
    from keras_video.tuner import TVNSpace

    size, frames = settings["size"], settings["frames"]
    return TVNSpace(
        num_classes=settings["classes"],
        image_size=(min(32, size), size, 16),
        frames=[n for n in (1, 2, 4, 8, 16, 32) if n <= frames],
        frame_stride=(1, max(1, (frames - 1) // 2)),
        blocks=(1, 4),
        repeats=(1, 4),
        spatial_kernel=(1, 5),
        spatial_stride=(1, 4),
        temporal_kernel=(1, 5),
        temporal_stride=(1, 3),
        filters=(8, 128, 8),
        expand=[1, 2, 3, 4],
        non_local=[8, 16, 32],
        dropout=0.2,
        mobile=settings["mobile"],
        video_frames=frames,
    )


def compile_network(model, steps):
    """AdamW with a warm-up and a cosine schedule over `steps`; top-1 and top-5 accuracy."""
    import keras

    warmup = max(1, steps // 10)
    schedule = keras.optimizers.schedules.CosineDecay(
        3e-4, max(1, steps - warmup), warmup_target=3e-3, warmup_steps=warmup
    )
    top = min(5, model.output_shape[-1])
    model.compile(
        keras.optimizers.AdamW(schedule, weight_decay=1e-3, global_clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[
            keras.metrics.SparseCategoricalAccuracy(name="top1"),
            keras.metrics.SparseTopKCategoricalAccuracy(top, name="top5"),
        ],
    )


def search(folder, verbose=1):
    """Searches, or goes on with a search that was interrupted; returns the tuner.

    Args:
        folder: string.
        verbose: int, 0 prints nothing.

    Raises:
        ValueError: if no network was found that keeps the limits, or the folder's search is
            another one.
    """
    import keras

    from keras_video.tuner import Evolution, MaxLatency, MaxParams

    settings = read_settings(folder)
    clips = read_clips(folder)
    x, y = clips["train"]
    batch, epochs, trials = (settings[name] for name in ("batch_size", "epochs", "trials"))
    limits = [MaxLatency(settings["max_latency_ms"], threads=settings["threads"])]
    limits += [MaxParams(settings["max_params"])] if settings["max_params"] else []
    keras.utils.set_random_seed(settings["seed"])
    tuner = Evolution(
        space(settings),
        max_trials=trials,
        population_size=max(2, min(200, trials // 3)),
        tournament_size=max(2, min(50, trials // 10)),
        survivors="aging",
        constraints=limits,
        compile=lambda model: compile_network(model, epochs * -(-len(y) // batch)),
        seed=settings["seed"],
        directory=folder,
        project_name=PROJECT,
    )
    tuner.search(
        x, y, batch_size=batch, epochs=epochs, validation_data=clips["validation"], verbose=verbose
    )
    return tuner


def retrain(folder, values, verbose=2, make_space=None):
    """Trains a network of the search from scratch, for longer.

    Args:
        folder: string.
        values: dict of plain values.
        verbose: int, that of `fit`.
        make_space: function of the settings that gives the space; default `space`.

    Returns:
        The pair of the model and a dict of metrics on the validation clips.
    """
    import keras

    settings = read_settings(folder)
    clips = read_clips(folder)
    x, y = clips["train"]
    family = (make_space or space)(settings)
    keras.utils.set_random_seed(settings["seed"])
    model = family.build(values)
    epochs, batch = settings["final_epochs"], settings["batch_size"]
    compile_network(model, epochs * -(-len(y) // batch))
    history = family.fit(
        values, model, x, y, batch_size=batch, epochs=epochs,
        validation_data=clips["validation"], verbose=verbose,
    )  # fmt: skip
    return model, {name: series[-1] for name, series in history.history.items()}


def read_settings(folder):
    """The settings of the search in a folder: dict of plain values."""
    with open(os.path.join(folder, "settings.json"), encoding="utf-8") as file:
        return json.load(file)


def _paths(folder, part):
    return [os.path.join(folder, f"{part}_{kind}.npy") for kind in ("clips", "labels")]


if __name__ == "__main__":
    from keras_video.tuner.search import workers

    search(sys.argv[1], verbose=1 if workers.is_chief() else 2)
