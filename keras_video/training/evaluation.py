"""`evaluate`: how often a model is right, clip by clip, over several views, or frame by frame."""

import contextlib
import time

import keras
import numpy as np
from keras import ops

from keras_video.models import EnsembleStream, Stream, TemporalEnsemble
from keras_video.plotting.stream import import_figure
from keras_video.progress import progress
from keras_video.training import metrics
from keras_video.training.batches import match_classes, open_batches
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
    """Measures a classifier of videos.

    Of several views of a video, the logits are averaged first; softmax comes afterwards
    (bLVNet-TAM; for models that end in softmax or sigmoid see `metrics.to_logits`).

    Args:
        model: Keras model from clips `(batch, frames, height, width, 3)` to `(batch, classes)`;
            for the protocol `"streaming"` a `VideoClassifier` built with `streaming=True`, or a
            `TemporalEnsemble` of such.
        dataset: `keras_video.data.VideoDataset`; or any `keras.utils.PyDataset` or iterable (such
            as a `tf.data.Dataset`) of batches `(clips, labels)`; or a pair of arrays. Labels are
            class numbers, one-hot or multi-hot. Batches may hold several views of each video,
            `(batch, views, frames, height, width, 3)`. All of a `VideoDataset` is read, in order,
            by the test rule of its sampling, without augmentation; files that are skipped do not
            count.
        protocol: `"single_clip"`, one clip from the middle of each video (of other data sets: what
            they hold); `"multi_clip"`, `clips` clips spread over each video of a `VideoDataset`;
            `"streaming"`, the single clip in pieces of `chunk_frames` frames, with the answers
            after each piece; the answer after the last frame counts.
        crops: 1 (centre) or 3 (left, centre, right, or along the height); 3 needs a
            `VideoDataset`.
        clips: int, for `"multi_clip"` only; default 10.
        top: ints, for which k to count top-k accuracy.
        class_names: names of the model's outputs; default those of the data set. If the data set
            has other names, its classes are looked up among these: a folder may hold a few of the
            600 classes of Kinetics-600. Case, `_`, `-` and spaces make no difference.
        report: path of a JSON report to write.
        plots: folder for pictures: the confusion matrix, and after streaming the accuracy over
            frames. Needs matplotlib.
        verbose: bool, shows a progress bar on a terminal, and prints one line at the end.
        chunk_frames: int, at least 1, for `"streaming"`.
        batch_size: int, at least 1, for a pair of arrays.

    Returns:
        `keras_video.training.report.Evaluation`.

    Raises:
        ValueError: for arguments that do not fit together, labels that do not fit the outputs of
            the model, outputs of another shape or not finite, and a data set without videos.

    Example:
    >>> result = keras_video.evaluate(model, dataset, "multi_clip", crops=3)  # doctest: +SKIP
    >>> result.top1, result.per_class[0]  # doctest: +SKIP
    (0.975, ClassResult(name='move_left', videos=10, top1=1.0, average_precision=None))
    """
    _check_arguments(model, protocol, crops, clips, top, chunk_frames)
    if plots is not None:
        import_figure()  # a missing matplotlib shows before the work, not after
    data = open_batches(dataset, protocol, crops, clips, batch_size)
    answer = _StreamAnswers(model, chunk_frames) if protocol == "streaming" else _ClipAnswers(model)
    tally = _Tally(answer, data, class_names)
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


class _ClipAnswers:
    """Answers of a clip model, `(batch, 1, classes)`."""

    def __init__(self, model):
        self.model = model
        self.frames_seen = None

    def __call__(self, clips):
        outputs = self.model.predict_on_batch(clips)
        _check_outputs(outputs, len(clips))
        return np.asarray(outputs).astype("float32")[:, None]


class _StreamAnswers:
    """Answers of a streaming model after each chunk, `(batch, steps, classes)`."""

    def __init__(self, model, chunk_frames):
        self.model, self.chunk_frames = model, chunk_frames
        self.stream, self.batch_size = None, 0
        self.frames_seen = np.zeros(0, "int64")  # of the longest clip so far

    def __call__(self, clips):
        if self.batch_size != len(clips):
            kind = EnsembleStream if isinstance(self.model, TemporalEnsemble) else Stream
            self.stream, self.batch_size = kind(self.model, len(clips)), len(clips)
        self.stream.reset()
        ends = np.arange(self.chunk_frames, clips.shape[1] + self.chunk_frames, self.chunk_frames)
        ends = np.minimum(ends, clips.shape[1])
        answers = []
        for piece in np.split(clips, ends[:-1], axis=1):
            outputs = self.stream.step(piece)
            _check_outputs(outputs, len(clips))
            answers.append(ops.convert_to_numpy(outputs).astype("float32"))
        if len(ends) > len(self.frames_seen):
            self.frames_seen = ends
        return np.stack(answers, axis=1)


class _Tally:
    """Collects answers and labels, batch by batch."""

    def __init__(self, answer, data, class_names):
        self.answer, self.data = answer, data
        self.activation = final_activation(answer.model)
        self.names = None if class_names is None else [str(name) for name in class_names]
        self.columns = None  # of the data set's classes among the outputs; found with batch one
        self.size = (data.batch_size or 0) if data.count != 1 else 0
        self.logits, self.labels, self.ranks = [], [], []
        self.views = 1
        self.shown, self.began, self.first = 0, time.perf_counter(), None

    def add(self, clips, labels):
        """Answers one batch of clips, of one or several views each."""
        clips, labels = _to_numpy(clips), _to_numpy(labels)
        if clips.ndim not in (5, 6) or labels.shape[:1] != clips.shape[:1]:
            raise ValueError(
                "Batches must be clips (batch, frames, height, width, 3), or several views of them "
                "(batch, views, frames, height, width, 3), and as many labels. Received: shapes "
                f"{clips.shape} and {labels.shape}"
            )
        if not len(clips):
            return
        views = clips if clips.ndim == 6 else clips[:, None]
        self.views = views.shape[1]
        steps = np.mean([self._logits(views[:, v]) for v in range(self.views)], axis=0)
        steps = steps.astype("float32")
        if not np.isfinite(steps).all():
            raise ValueError(
                f"The outputs of {self.answer.model.name} must be finite; after "
                f"{sum(map(len, self.labels))} videos they are not."
            )
        labels = self._check_labels(labels, steps.shape[-1])
        self.logits.append(steps[:, -1])
        self.labels.append(labels)
        if self.answer.frames_seen is not None:
            single = labels if labels.ndim == 1 else labels.argmax(axis=1)
            single = np.repeat(single[:, None], steps.shape[1], axis=1)
            self.ranks.append(metrics.ranks(steps, single))
        self.shown += views.shape[0] * views.shape[1]
        self.first = self.first or (time.perf_counter(), self.shown)

    def finish(self, protocol, top):
        """Counts; the result is an `Evaluation`."""
        if not self.labels:
            reasons = "; ".join(f"{path}: {reason}" for path, reason in self.data.skipped[:3])
            raise ValueError(f"`dataset` has no videos to evaluate. {reasons}".rstrip())
        began, shown = self.first if len(self.labels) > 1 else (self.began, 0)
        seconds = time.perf_counter() - began
        try:
            labels = np.concatenate(self.labels)
        except ValueError:
            raise ValueError(
                "All batches must have labels of one form: class numbers, or zeros and ones."
            ) from None
        kept = self.data.readable(len(labels))
        return summarize(
            np.concatenate(self.logits)[kept],
            labels[kept],
            self.names,
            top,
            self._step_ranks(kept),
            self.answer.frames_seen,
            model=self.answer.model.name,
            protocol=protocol,
            views=self.views,
            skipped=list(self.data.skipped),
            clips_per_second=(self.shown - shown) / max(seconds, 1e-9),
        )

    def _step_ranks(self, kept):
        """Ranks after each chunk `(videos, steps)`; clips that end early keep their last answer."""
        if not self.ranks:
            return None
        steps = len(self.answer.frames_seen)
        held = [np.pad(r, ((0, 0), (0, steps - r.shape[1])), mode="edge") for r in self.ranks]
        return np.concatenate(held)[kept]

    def _logits(self, clips):
        # Batches of one size need one compilation; what is filled up is cut off again.
        count = len(clips)
        self.size = max(self.size, count)
        if count < self.size:
            clips = np.concatenate([clips, np.repeat(clips[-1:], self.size - count, axis=0)])
        outputs = self.answer(np.ascontiguousarray(clips))[:count]
        if self.activation is None:  # no graph to read; the shape of the numbers says it
            looks = (outputs >= 0).all() and np.allclose(outputs.sum(-1), 1, atol=1e-3)
            self.activation = "softmax" if looks else "linear"
        return metrics.to_logits(outputs, self.activation)

    def _check_labels(self, labels, classes):
        """Labels in terms of the model's outputs; the first batch also checks all that are known.

        Raises before hours of work are lost, not after.
        """
        if self.columns is None:
            self.names, self.columns = match_classes(self.names, self.data.class_names, classes)
            if self.data.labels is not None:
                metrics.check_labels(self.data.labels, len(self.columns))
        labels = metrics.check_labels(labels, len(self.columns))
        if labels.ndim == 1:
            return self.columns[labels]
        hot = np.zeros((len(labels), classes), bool)
        hot[:, self.columns] = labels
        return hot


def final_activation(model):
    """What the answers of a model went through last.

    Args:
        model: Keras model.

    Returns:
        `"softmax"`, `"sigmoid"` or `"linear"`; `None` for a model without a graph.
    """
    outputs = getattr(model, "outputs", None)
    history = getattr(outputs[0], "_keras_history", None) if outputs else None
    if history is None:
        return None
    operation = history.operation
    if isinstance(operation, keras.Model):
        return final_activation(operation)
    activation = getattr(operation, "activation", None)  # of Dense, Activation, ..
    name = getattr(activation, "__name__", type(operation).__name__).lower()
    return name if name in ("softmax", "sigmoid") else "linear"


def _check_arguments(model, protocol, crops, clips, top, chunk_frames):
    if protocol not in PROTOCOLS:
        raise ValueError(f"`protocol` must be one of {PROTOCOLS}. Received: {protocol!r}")
    if crops not in (1, 3):
        raise ValueError(f"`crops` must be 1 or 3. Received: {crops}")
    if clips is not None and protocol != "multi_clip":
        raise ValueError(f"`clips` belongs to protocol='multi_clip'. Received: {protocol!r}")
    for name, value in (("clips", 1 if clips is None else clips), ("chunk_frames", chunk_frames)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"`{name}` must be an int of at least 1. Received: {value!r}")
    if not all(isinstance(k, int) and k >= 1 for k in top):
        raise ValueError(f"`top` must hold ints of at least 1. Received: {top}")
    streams = bool(getattr(model, "streaming", False))
    name = getattr(model, "name", type(model).__name__)
    if protocol == "streaming" and not streams:
        raise ValueError(
            f"protocol='streaming' needs a model built with streaming=True. {name} takes clips: "
            "copy its weights with keras_video.models.copy_weights(clip_model, streaming_model)."
        )
    if protocol != "streaming" and streams:
        raise ValueError(
            f"protocol={protocol!r} needs a model of clips. {name} streams: use "
            "protocol='streaming', or build it with causal=True instead."
        )


def _check_outputs(outputs, count):
    shape = tuple(getattr(outputs, "shape", ()))
    if len(shape) != 2 or shape[0] != count or shape[1] < 2:
        received = f"shape {shape}" if shape else type(outputs).__name__
        raise ValueError(
            f"The model must give ({count}, classes) for {count} clips, with at least 2 classes. "
            f"Received: {received}"
        )


def _to_numpy(values):
    return values if isinstance(values, np.ndarray) else np.asarray(ops.convert_to_numpy(values))
