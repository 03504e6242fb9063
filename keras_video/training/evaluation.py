"""Evaluation of a classifier: on single clips, on several views of a video, or frame by frame."""

import contextlib
import time

import numpy as np
from keras import ops

from keras_video.checks import check_choice, check_int, check_labels
from keras_video.models import EnsembleStream, Stream, TemporalEnsemble
from keras_video.models.video_classifier import final_activation
from keras_video.plotting.figures import import_figure
from keras_video.progress import progress
from keras_video.training import metrics
from keras_video.training.batches import has_classes, match_classes, open_batches
from keras_video.training.report import summarize

PROTOCOLS = ("single_clip", "multi_clip", "streaming")


def evaluate(
    model,
    dataset,
    protocol="single_clip",
    crops=1,
    clips=None,
    top=(1, 5),
    class_names=None,
    report=None,
    plots=None,
    verbose=True,
    chunk_frames=1,
    batch_size=8,
):
    """Measure the accuracy of a video classifier.

    With several views of a video, the logits are averaged before softmax, as for bLVNet-TAM. For
    models that end in softmax or sigmoid see `metrics.to_logits`.

    Args:
        model: Keras model that maps clips `(batch, frames, height, width, 3)` to
            `(batch, classes)`. For the protocol `"streaming"` a `VideoClassifier` built with
            `streaming=True`, or a `TemporalEnsemble` of such models.
        dataset: `keras_video.data.VideoDataset`; or any `keras.utils.PyDataset` or iterable (such
            as a `tf.data.Dataset`) of batches `(clips, labels)`; or a pair of arrays. Labels are
            class numbers, one-hot or multi-hot. Batches may hold several views of each video,
            `(batch, views, frames, height, width, 3)`. A `VideoDataset` is read completely and in
            order, with the test rule of its sampling and without augmentation. Files that it skips
            are not counted.
        protocol: `"single_clip"`, one clip from the middle of each video (from other data sets: the
            clips that they hold); `"multi_clip"`, `clips` clips spread over each video of a
            `VideoDataset`; `"streaming"`, the single clip in chunks of `chunk_frames` frames, with
            an output after each chunk. The output after the last frame counts.
        crops: 1 (centre) or 3 (left, centre and right, or along the height). 3 requires a
            `VideoDataset`.
        clips: int, for `"multi_clip"` only; default 10.
        top: ints, the values of k for top-k accuracy.
        class_names: names of the model's outputs; default `model.class_names` if they contain the
            classes of the data set, else those of the data set. If both have names, the classes of
            the data set are looked up among them: a folder may hold only a few of the 600 classes
            of Kinetics-600. Case, `_`, `-` and spaces are ignored.
        report: path of a JSON report to write.
        plots: folder for plots: the confusion matrix and, for `"streaming"`, the accuracy over
            frames. Requires matplotlib.
        verbose: bool, whether to show a progress bar on a terminal and print a summary at the end.
        chunk_frames: int, at least 1, for `"streaming"`.
        batch_size: int, at least 1, for a pair of arrays.

    Returns:
        `keras_video.training.report.Evaluation`.

    Raises:
        ValueError: for arguments that cannot be combined, for labels that do not match the outputs
            of the model, for outputs of another shape or not finite, and for a data set without
            videos.

    Example:
    >>> result = keras_video.evaluate(model, dataset, "multi_clip", crops=3)  # doctest: +SKIP
    >>> result.top1, result.per_class[0]  # doctest: +SKIP
    (0.975, ClassResult(name='move_left', videos=10, top1=1.0, average_precision=None))
    """
    _check_arguments(model, protocol, crops, clips, top, chunk_frames)
    if plots is not None:
        import_figure()  # fails now, not after hours of work, if matplotlib is missing
    data = open_batches(dataset, protocol, crops, clips, batch_size)
    if protocol == "streaming":
        predictor = _StreamPredictor(model, chunk_frames)
    else:
        predictor = _ClipPredictor(model)
    if class_names is None and has_classes(getattr(model, "class_names", None), data.class_names):
        class_names = model.class_names
    tally = _Tally(predictor, data, class_names)
    with contextlib.closing(iter(data)) as batches:
        shown = progress(batches, data.count, "evaluating") if verbose and data.count else batches
        for clips_of_batch, labels in shown:
            tally.add(clips_of_batch, labels)
    result = tally.finish(protocol, top)
    if report is not None:
        result.save(report)
    if plots is not None:
        result.plot(plots)
    if verbose:
        print(result.summary())
    return result


class _ClipPredictor:
    """Outputs of a clip model, `(batch, 1, classes)`."""

    def __init__(self, model):
        self.model = model
        self.frames_seen = None

    def __call__(self, clips):
        outputs = self.model.predict_on_batch(clips)
        _check_outputs(outputs, len(clips))
        return np.asarray(outputs).astype("float32")[:, None]


class _StreamPredictor:
    """Outputs of a streaming model after each chunk, `(batch, steps, classes)`."""

    def __init__(self, model, chunk_frames):
        self.model, self.chunk_frames = model, chunk_frames
        self.stream, self.batch_size = None, 0
        self.frames_seen = np.zeros(0, "int64")  # after each chunk of the longest clip so far

    def __call__(self, clips):
        if self.batch_size != len(clips):
            kind = EnsembleStream if isinstance(self.model, TemporalEnsemble) else Stream
            self.stream, self.batch_size = kind(self.model, len(clips)), len(clips)
        self.stream.reset()
        ends = np.arange(self.chunk_frames, clips.shape[1] + self.chunk_frames, self.chunk_frames)
        ends = np.minimum(ends, clips.shape[1])
        steps = []
        for chunk in np.split(clips, ends[:-1], axis=1):
            outputs = self.stream.step(chunk)
            _check_outputs(outputs, len(clips))
            steps.append(ops.convert_to_numpy(outputs).astype("float32"))
        if len(ends) > len(self.frames_seen):
            self.frames_seen = ends
        return np.stack(steps, axis=1)


class _Tally:
    """Logits and labels of all batches."""

    def __init__(self, predictor, data, class_names):
        self.predictor, self.data = predictor, data
        self.activation = final_activation(predictor.model)
        self.names = None if class_names is None else [str(name) for name in class_names]
        self.columns = None  # output for each class of the data set, known after the first batch
        self.size = (data.batch_size or 0) if data.count != 1 else 0
        self.logits, self.labels, self.ranks = [], [], []
        self.views = 1
        self.shown, self.began, self.first = 0, time.perf_counter(), None

    def add(self, clips, labels):
        """Run the model on one batch of clips, with one or several views each."""
        clips, labels = _to_numpy(clips), _to_numpy(labels)
        if clips.ndim not in (5, 6) or labels.shape[:1] != clips.shape[:1]:
            raise ValueError(
                "dataset: expected batches of clips (batch, frames, height, width, 3), or of views "
                "(batch, views, frames, height, width, 3), and as many labels, got shapes "
                f"{clips.shape} and {labels.shape}."
            )
        if not len(clips):
            return
        views = clips if clips.ndim == 6 else clips[:, None]
        self.views = views.shape[1]
        steps = np.mean([self._logits(views[:, v]) for v in range(self.views)], axis=0)
        steps = steps.astype("float32")
        if not np.isfinite(steps).all():
            raise ValueError(
                f"model: expected finite outputs, got NaN or infinity from "
                f"{self.predictor.model.name} after {sum(map(len, self.labels))} videos."
            )
        labels = self._match_labels(labels, steps.shape[-1])
        self.logits.append(steps[:, -1])
        self.labels.append(labels)
        if self.predictor.frames_seen is not None:
            single = labels if labels.ndim == 1 else labels.argmax(axis=1)
            single = np.repeat(single[:, None], steps.shape[1], axis=1)
            self.ranks.append(metrics.ranks(steps, single))
        self.shown += views.shape[0] * views.shape[1]
        self.first = self.first or (time.perf_counter(), self.shown)

    def finish(self, protocol, top):
        """Compute the metrics; return an `Evaluation`."""
        if not self.labels:
            reasons = "; ".join(f"{path}: {reason}" for path, reason in self.data.skipped[:3])
            raise ValueError(
                f"dataset: expected at least one video that can be read, got no videos. {reasons}"
            )
        began, shown = self.first if len(self.labels) > 1 else (self.began, 0)
        seconds = time.perf_counter() - began
        try:
            labels = np.concatenate(self.labels)
        except ValueError:
            raise ValueError(
                "dataset: expected labels of one form, got class numbers in some batches, rows of "
                "zeros and ones in others."
            ) from None
        kept = self.data.readable(len(labels))
        return summarize(
            np.concatenate(self.logits)[kept],
            labels[kept],
            self.names,
            top,
            self._step_ranks(kept),
            self.predictor.frames_seen,
            model=self.predictor.model.name,
            protocol=protocol,
            views=self.views,
            skipped=list(self.data.skipped),
            clips_per_second=(self.shown - shown) / max(seconds, 1e-9),
        )

    def _step_ranks(self, kept):
        """Return ranks after each chunk `(videos, steps)`; short clips keep their last output."""
        if not self.ranks:
            return None
        steps = len(self.predictor.frames_seen)
        held = [np.pad(r, ((0, 0), (0, steps - r.shape[1])), mode="edge") for r in self.ranks]
        return np.concatenate(held)[kept]

    def _logits(self, clips):
        # Smaller batches are padded, because each batch size would be compiled.
        count = len(clips)
        self.size = max(self.size, count)
        if count < self.size:
            clips = np.concatenate([clips, np.repeat(clips[-1:], self.size - count, axis=0)])
        outputs = self.predictor(np.ascontiguousarray(clips))[:count]
        if self.activation is None:  # a model without a graph: decide by the values
            looks = (outputs >= 0).all() and np.allclose(outputs.sum(-1), 1, atol=1e-3)
            self.activation = "softmax" if looks else "linear"
        return metrics.to_logits(outputs, self.activation)

    def _match_labels(self, labels, classes):
        """Return labels in terms of the model's outputs.

        With the first batch, check also all labels that the data set already knows, so that an
        error is not raised after hours of work.
        """
        if self.columns is None:
            self.names, self.columns = match_classes(self.names, self.data.class_names, classes)
            if self.data.labels is not None:
                check_labels("labels", self.data.labels, len(self.columns))
        labels = check_labels("labels", labels, len(self.columns))
        if labels.ndim == 1:
            return self.columns[labels]
        hot = np.zeros((len(labels), classes), bool)
        hot[:, self.columns] = labels
        return hot


def _check_arguments(model, protocol, crops, clips, top, chunk_frames):
    check_choice("protocol", protocol, PROTOCOLS)
    check_choice("crops", crops, (1, 3))
    if clips is not None and protocol != "multi_clip":
        raise ValueError(f"clips: expected None with protocol={protocol!r}, got {clips!r}.")
    check_int("clips", 1 if clips is None else clips)
    check_int("chunk_frames", chunk_frames)
    for k in top:
        check_int("top", k)
    streams = bool(getattr(model, "streaming", False))
    name = getattr(model, "name", type(model).__name__)
    if protocol == "streaming" and not streams:
        raise ValueError(
            "model: expected a model built with streaming=True for protocol='streaming', got "
            f"{name}, which takes clips. Copy its weights with "
            "keras_video.models.copy_weights(clip_model, streaming_model)."
        )
    if protocol != "streaming" and streams:
        raise ValueError(
            f"model: expected a model of clips for protocol={protocol!r}, got {name}, which "
            "streams. Use protocol='streaming', or build it with causal=True instead."
        )


def _check_outputs(outputs, count):
    shape = tuple(getattr(outputs, "shape", ()))
    if len(shape) != 2 or shape[0] != count or shape[1] < 2:
        got = f"shape {shape}" if shape else type(outputs).__name__
        raise ValueError(
            f"model: expected outputs ({count}, classes) for {count} clips, with at least 2 "
            f"classes, got {got}."
        )


def _to_numpy(values):
    return values if isinstance(values, np.ndarray) else np.asarray(ops.convert_to_numpy(values))
