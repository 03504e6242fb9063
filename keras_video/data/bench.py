"""How fast clips come out of a dataset, and how fast a model takes them in."""

import itertools
import time

from keras_video.data.sampling import check_integer


def measure(dataset, model=None, batches=20, training=False):
    """Measures the clips per second of a dataset and of a model.

    Whichever is slower decides how long an epoch takes.

    Args:
        dataset: a `VideoDataset`, or any dataset of batches `(clips, ...)` that can be iterated
            over repeatedly. Its workers read ahead as in training. The first batch, for which they
            start, is not measured.
        model: a Keras model, or `None`. It is measured on one batch, after two to compile it.
        batches: int, how many batches to measure.
        training: bool. `True` measures training steps, which change the weights of the compiled
            model; `False` its predictions.

    Returns:
        dict: `"batches"` and `"clips"` that were measured, `"clips_per_second"` of the dataset;
        with a model `"model_clips_per_second"` and `"bottleneck"`, `"data"` or `"model"`.

    Raises:
        ValueError: if the dataset has no batch, or `training=True` and the model is not compiled.
    """
    check_integer("batches", batches)
    if model is not None and training and not model.compiled:
        raise ValueError("`training=True` needs a compiled model: call `model.compile` before.")
    endless = itertools.chain.from_iterable(itertools.repeat(dataset))
    if not len(dataset):
        raise ValueError("`dataset` must have at least one batch.")
    batch = next(endless)
    clips, start = 0, time.perf_counter()
    for other in itertools.islice(endless, batches):
        clips += len(_inputs(other))
    seconds = time.perf_counter() - start
    endless = None  # lets the workers rest while the model works
    result = {"batches": batches, "clips": clips, "clips_per_second": clips / seconds}
    if model is None:
        return result
    step = _step(model, batch, training)
    step(), step()
    start = time.perf_counter()
    for _ in range(batches):
        step()
    seconds = time.perf_counter() - start
    result["model_clips_per_second"] = batches * len(_inputs(batch)) / seconds
    data_is_slower = result["clips_per_second"] < result["model_clips_per_second"]
    return {**result, "bottleneck": "data" if data_is_slower else "model"}


def _inputs(batch):
    return batch[0] if isinstance(batch, tuple) else batch


def _step(model, batch, training):
    if training:
        return lambda: model.train_on_batch(*batch)
    return lambda: model.predict_on_batch(_inputs(batch))
