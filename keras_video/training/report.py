"""The results of one evaluation, as text, JSON and plots."""

import json
import math
import os
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from keras_video import files
from keras_video.plotting import evaluation as plotting
from keras_video.training import metrics


class ClassResult(NamedTuple):
    """One row of the per-class table.

    Args:
        name: string.
        videos: int, number of videos of the class.
        top1: float in [0, 1], top-1 accuracy on these videos; `None` without videos, or if videos
            have several labels.
        average_precision: float in [0, 1] if videos have several labels, else `None`; `None` also
            without videos.
    """

    name: str
    videos: int
    top1: float | None
    average_precision: float | None


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The results of `evaluate`. Accuracies are in [0, 1].

    Args:
        model: string, name of the model.
        protocol: `"single_clip"`, `"multi_clip"` or `"streaming"`.
        views: int, clips x crops of each video.
        videos: int, number of videos that were classified.
        skipped: list of `(path, reason)`, files that could not be read and are not counted.
        class_names: list of names of the model's outputs.
        top: dict `{k: top-k accuracy}`; empty if videos have several labels.
        per_class: list of `ClassResult`, in the order of the outputs.
        confusion: int array `(classes, classes)`, number of videos by true class (row) and
            predicted class (column), or `None` if videos have several labels.
        mean_average_precision: float if videos have several labels (see
            `metrics.mean_average_precision`), else `None`.
        frames_seen, accuracy_after: for streaming only, else `None`. Int array `(steps,)`, numbers
            of frames, and float array `(steps,)`, top-1 accuracy after so many frames. A shorter
            video keeps its last prediction.
        clips_per_second: float, speed of reading and classifying. The first batch, in which the
            model is compiled, counts only if it is the only one.
        logits: float32 array `(videos, classes)`, means over views.
        labels: int array `(videos,)` or bool array `(videos, classes)`.
    """

    model: str
    protocol: str
    views: int
    videos: int
    skipped: list
    class_names: list
    top: dict
    per_class: list
    confusion: np.ndarray | None
    mean_average_precision: float | None
    frames_seen: np.ndarray | None
    accuracy_after: np.ndarray | None
    clips_per_second: float
    logits: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)

    @property
    def top1(self):
        """Top-1 accuracy, float, or `None` if it was not computed."""
        return self.top.get(1)

    @property
    def top5(self):
        """Top-5 accuracy, float, or `None` if it was not computed."""
        return self.top.get(5)

    def to_json(self):
        """Return the report as a JSON string, with each class and matrix row on its own line."""
        values = {
            "model": self.model,
            "protocol": self.protocol,
            "views": self.views,
            "videos": self.videos,
            "top": {str(k): value for k, value in self.top.items()},
            "mean_average_precision": self.mean_average_precision,
            "clips_per_second": round(self.clips_per_second, 3),
            "skipped": [{"path": str(p), "reason": str(r)} for p, r in self.skipped],
            "per_class": [row._asdict() for row in self.per_class],
            "confusion": self.confusion,
            "frames_seen": self.frames_seen,
            "accuracy_after": self.accuracy_after,
        }
        members = [f"  {json.dumps(k)}: {_lines(_plain(v))}" for k, v in values.items()]
        return "{\n" + ",\n".join(members) + "\n}\n"

    def save(self, path):
        """Write `to_json()` to a file."""
        files.write_text(path, self.to_json())

    def plot(self, folder):
        """Plot the confusion matrix and, for streaming, the accuracy over frames.

        Requires matplotlib (extra `plot`).

        Args:
            folder: path, where `confusion_matrix.png` and `accuracy_over_frames.png` are written.

        Returns:
            List of the paths.
        """
        paths = []
        if self.confusion is not None:
            path = os.path.join(folder, "confusion_matrix.png")
            title = f"top-1 {_percent(self.top1)}" if self.top1 is not None else None
            paths.append(plotting.plot_confusion(self.confusion, self.class_names, path, title))
        if self.accuracy_after is not None:
            path = os.path.join(folder, "accuracy_over_frames.png")
            chance = 1 / len(self.class_names)
            curve = self.frames_seen, self.accuracy_after
            paths.append(plotting.plot_accuracy_over_frames(*curve, path, chance=chance))
        return paths

    def summary(self):
        """Return the results in one line."""
        parts = [
            f"top-{k} {_percent(value)}"
            for k, value in self.top.items()
            if k == 1 or k < len(self.class_names)  # else 100 % for every model
        ]
        if self.mean_average_precision is not None:
            parts.append(f"mAP {_percent(self.mean_average_precision)}")
        parts.append(f"{self.videos} videos")
        if self.views > 1:
            parts.append(f"{self.views} views of each")
        parts.append(f"{self.clips_per_second:.3g} clips/s")
        if self.skipped:
            parts.append(f"{len(self.skipped)} skipped")
        return f"{self.protocol}: {', '.join(parts)}"

    def table(self, most=None):
        """Return a table of the classes that have videos, one line for each.

        Args:
            most: int, largest number of classes to show, or `None` for all. If there are more, only
                the weakest classes are shown, the weakest first; else all in the order of the
                outputs.
        """
        rows = [(row, row.average_precision if row.top1 is None else row.top1)
                for row in self.per_class if row.videos]  # fmt: skip
        count = len(rows)
        if most is not None and count > most:
            rows = sorted(rows, key=lambda pair: pair[1])[:most]
        width = max([len(row.name) for row, _ in rows] + [5])
        measure = "top-1" if self.confusion is not None else "AP"
        lines = [f"{'class':{width}s}  videos  {measure:>8s}"]
        lines += [f"{r.name:{width}s}  {r.videos:6d}  {_percent(value):>8s}" for r, value in rows]
        if len(rows) < count:
            lines.append(f"The {len(rows)} weakest of {count} classes.")
        return "\n".join(lines)


def summarize(logits, labels, class_names, top, step_ranks=None, frames_seen=None, **facts):
    """Compute all metrics from the logits and labels of all videos.

    Args:
        logits: array `(videos, classes)`.
        labels: int array `(videos,)` or bool array `(videos, classes)`, as of `check_labels`. If
            every row has exactly one label, rows are converted to class numbers.
        class_names: list of `classes` strings.
        top: ints, the values of k for top-k accuracy.
        step_ranks: int array `(videos, steps)`, `metrics.ranks` after each chunk, or `None`.
        frames_seen: int array `(steps,)`, or `None`.
        **facts: the other fields of `Evaluation`.

    Returns:
        `Evaluation`.
    """
    logits = np.asarray(logits, "float32")
    if labels.ndim == 2 and (labels.sum(axis=1) == 1).all():
        labels = labels.argmax(axis=1)
    counted = {"top": {}, "confusion": None, "mean_average_precision": None}
    accuracy_after = None
    if labels.ndim == 1:
        classes = len(class_names)
        places = metrics.ranks(logits, labels)
        matrix = metrics.confusion_matrix(labels, logits.argmax(axis=1), classes)
        videos = matrix.sum(axis=1)
        single, several = _ratios(np.diag(matrix), videos), [None] * classes
        counted["top"] = {int(k): float(np.mean(places < k)) for k in top}
        counted["confusion"] = matrix
        if step_ranks is not None:
            accuracy_after = np.mean(step_ranks == 0, axis=0)
    else:
        mean, each = metrics.mean_average_precision(logits, labels)
        videos = labels.sum(axis=0)
        single, several = [None] * len(each), [None if math.isnan(x) else float(x) for x in each]
        counted["mean_average_precision"] = None if math.isnan(mean) else mean
    rows = zip(class_names, videos, single, several, strict=True)
    return Evaluation(
        videos=len(labels),
        class_names=list(class_names),
        per_class=[ClassResult(name, int(n), one, ap) for name, n, one, ap in rows],
        frames_seen=None if accuracy_after is None else np.asarray(frames_seen),
        accuracy_after=accuracy_after,
        logits=logits,
        labels=labels,
        **counted,
        **facts,
    )


def _ratios(parts, wholes):
    return [float(p) / float(w) if w else None for p, w in zip(parts, wholes, strict=True)]


def _percent(value):
    return "-" if value is None else f"{100 * value:.2f} %"


def _plain(value):
    return value.tolist() if isinstance(value, np.ndarray) else value


def _lines(value):
    """Return a value as JSON; in a list of lists or objects each of them gets a line."""
    if isinstance(value, list) and value and isinstance(value[0], (list, dict)):
        rows = ",\n".join(f"    {json.dumps(row, allow_nan=False)}" for row in value)
        return f"[\n{rows}\n  ]"
    return json.dumps(value, allow_nan=False)
