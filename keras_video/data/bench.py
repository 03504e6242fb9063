"""Speed of a data set and of a model, in clips per second."""

import itertools
import time

from keras_video.checks import check_int


def measure(dataset, model=None, batches=20, training=False):
    """Measure how many clips per second a data set delivers and a model processes.

    The slower of the two determines how long an epoch takes.

    Args:
        dataset: a `VideoDataset`, or any data set of batches `(clips, ...)` that can be iterated
            over repeatedly. Its workers read ahead as in training. The first batch, which starts
            the workers, is not measured.
        model: a Keras model, or `None`. It is measured on one batch, after two calls that compile
            it.
        batches: int, number of batches to measure.
        training: bool. `True` measures training steps, which change the weights of the compiled
            model; `False` measures predictions.

    Returns:
        dict with the numbers of measured `"batches"` and `"clips"`, and `"clips_per_second"` of the
        data set; with a model also `"model_clips_per_second"` and `"bottleneck"`, which is `"data"`
        or `"model"`.

    Raises:
        ValueError: if the data set has no batch, or if `training=True` and the model is not
            compiled.
    """
    check_int("batches", batches)
    if model is not None and training and not model.compiled:
        raise ValueError(
            "model: expected a compiled model for training=True, got one that is not compiled. "
            "Call model.compile first."
        )
    endless = itertools.chain.from_iterable(itertools.repeat(dataset))
    if not len(dataset):
        raise ValueError("dataset: expected at least one batch, got none.")
    batch = next(endless)
    clips, start = 0, time.perf_counter()
    for other in itertools.islice(endless, batches):
        clips += len(_inputs(other))
    seconds = time.perf_counter() - start
    endless = None  # stops the workers, so that they do not slow down the model
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
