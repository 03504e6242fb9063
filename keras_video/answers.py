"""From a video to the names of its classes, for every kind of model: files, clips and streams.

`classify` and `follow` are methods of the models. They ask a model for

- `video_input`: a `keras_video.specs.VideoInput`; `class_names`: list of strings or `None`;
- `streaming`: bool;
- `probabilities(clips)`: float array `(classes,)` for clips of one video, uint8 arrays
  `(clips, frames, height, width, 3)`;
- `start_stream(window)`: for streams, a function from a frame to such an array.

No Keras here: files for phones are classified without it.
"""

import collections
import time

import numpy as np

from keras_video.checks import check_int, check_rate
from keras_video.progress import progress

CAMERA_RATE = 30.0  # frames per second of a camera that does not tell
SPREAD = 4.0  # seconds of a window for models whose frames are spread over a video


def classify(self, video, top=5, views=1, frame_rate=None):
    """Name the most probable classes of a video, or of each video of a list.

    The clip is cut out of the video as for the evaluation of the model: its frames, frame rate,
    sampling rule and size are those of `model.video_input`. Views are averaged as logits.

    Args:
        video: path or `http` address of a video file; its content as `bytes`; a
            `keras_video.data.VideoReader`; or frames, a uint8 array `(frames, height, width, 3)`.
            A list or tuple of these, or an array `(videos, frames, height, width, 3)`, is
            classified one by one, with a progress bar on a terminal. Frames in an array that have
            the size of the model are not resized.
        top: int, number of classes to return.
        views: int, number of clips, spread over the video.
        frame_rate: number, frames per second of the frames in an array. `None`: they are already
            at the pace of the model, and an array of `video_input.frames` frames is the clip.

    Returns:
        A list of `(class name, probability)`, best first; for several videos a list of these. A
        class without a name is called by its number.

    Raises:
        ValueError: if an argument is invalid, or the model does not know its input.
        FileNotFoundError, keras_video.data.VideoError: if a file cannot be read.

    Example:
    >>> model = keras_video.applications.MoViNetA0(weights="moving_digits")
    >>> model.classify("digits.mp4", top=2)  # doctest: +SKIP
    [('zoom_in', 0.987), ('rotate_left', 0.008)]
    """
    known = _known_input(self)
    check_int("top", top)
    check_int("views", views)
    check_rate("frame_rate", frame_rate, none=True)
    several = isinstance(video, (list, tuple)) or getattr(video, "ndim", 0) == 5
    videos = list(video) if several else [video]
    shown = progress(videos, len(videos), "classifying") if several else videos
    named = []
    for one in shown:
        clips = read_views(known, one, views, frame_rate)
        named.append(best(self.probabilities(clips), self.class_names, top))
    return named if several else named[0]


def read_views(known, video, views=1, frame_rate=None):
    """Cut the clips of an evaluation out of a video.

    Args:
        known: `VideoInput`.
        video, views, frame_rate: as in `classify`.

    Returns:
        uint8 array `(views, frames, height, width, 3)`.
    """
    from keras_video.data.clips import read_clips
    from keras_video.data.reader import FrameArray, opened

    with opened(video, frame_rate) as reader:
        options = known.clip_options()
        if isinstance(reader, FrameArray) and reader.at_pace:
            options |= {"frame_rate": None, "step": 1}
        options["resize_side"] = _resize_side(known, reader)
        return read_clips(reader, views, **options)


def _resize_side(known, reader):
    """Return the side to resize to; frames in an array may be of the right size already."""
    ready = hasattr(reader, "at_pace") and tuple(reader.size) == known.size
    return None if ready else known.resize_side


def follow(self, video, top=5, window=None, every=None, frame_rate=None):
    """Follow a video or a camera, and name the most probable classes at each time.

    A streaming model takes frame after frame. A model of clips takes a sliding window: the last
    `video_input.frames` frames. If its frames are spread over the video instead of having a rate,
    they are spread over the last four seconds, or over a shorter video.

    Args:
        video: as in `classify`, or a `keras_video.data.Camera`.
        top: int, number of classes to return.
        window: int, for streaming models: the answers depend on the last `window / 2` to `window`
            frames, see `keras_video.models.RollingStream`; 0 remembers all. Default:
            `video_input.frames`.
        every: int, frames from one answer to the next. Default: 1 for streaming models, a quarter
            of the clip for others.
        frame_rate: number, frames per second of the frames in an array. `None`: they are already
            at the pace of the model.

    Returns:
        An iterator over pairs `(seconds, [(class name, probability), ...])`. `seconds` is the time
        of the latest frame, counted from the first. A video that is shorter than a clip gives one
        pair, for the clip that `classify` takes.

    Raises:
        ValueError: if an argument is invalid, or the model does not know its input.
        keras_video.data.VideoError: during iteration, if the video cannot be read.

    Example:
    >>> for seconds, names in model.follow("street.mp4", top=1):  # doctest: +SKIP
    ...     print(f"{seconds:.1f} s", names)
    """
    known = _known_input(self)
    check_int("top", top)
    check_rate("frame_rate", frame_rate, none=True)
    if every is None:
        every = 1 if self.streaming else max(1, known.frames // 4)
    check_int("every", every)
    if window is not None and not self.streaming:
        raise ValueError(
            f"window: expected None for {self.name}, a model of clips, whose window is its clip of "
            f"{known.frames} frames, got {window!r}."
        )
    if window is None:
        window = max(2, known.frames or 2)
    check_int("window", window, 0)
    return _follow(self, known, video, top, window, every, frame_rate)


def _follow(model, known, video, top, window, every, frame_rate):
    from keras_video.data.reader import opened

    names = model.class_names
    with opened(video, frame_rate, cameras=True) as source:
        live = not hasattr(source, "duration")
        rate = _pace(known, source, live)
        side = _resize_side(known, source)
        geometry = {"size": known.size, "crop": known.crop, "resize_side": side}
        step = model.start_stream(window) if model.streaming else None
        clip, began = collections.deque(maxlen=known.frames), time.monotonic()
        count = answers = 0
        pace = rate or (known.rate(1.0) if known.frame_rate else 1.0)
        for frame in source.frames(rate, **geometry):
            seconds = time.monotonic() - began if live else count / pace
            count += 1
            if step is not None:
                found = step(frame)
                if count % every == 0:
                    yield seconds, best(found, names, top)
                continue
            clip.append(frame)
            if count >= known.frames and (count - known.frames) % every == 0:
                answers += 1
                yield seconds, best(model.probabilities(np.stack(clip)[None]), names, top)
        if step is None and count and not answers:
            clips = read_views(known, np.stack(clip)) if live else read_views(known, source)
            yield seconds, best(model.probabilities(clips), names, top)


def _pace(known, source, live):
    """Return the frames per second to read from a video; `None` for every frame of an array."""
    if getattr(source, "at_pace", False):
        return None
    if known.spread:
        length = SPREAD if live else min(SPREAD, source.duration)
        return known.frames / length
    return known.rate(CAMERA_RATE if live else source.fps)


def decode_predictions(self, outputs, top=5):
    """Name the most probable classes in outputs of this model.

    Args:
        outputs: array or tensor `(batch, classes)`, what the model returned for a batch of clips;
            of a streaming model also the pair `(outputs, state)`.
        top: int, number of classes to return.

    Returns:
        For each clip a list of `(class name, probability)`, best first.

    Raises:
        ValueError: if the shape does not fit the model.
    """
    check_int("top", top)
    if isinstance(outputs, (tuple, list)) and len(outputs) == 2 and self.streaming:
        outputs = outputs[0]
    outputs = to_numpy(outputs)
    classes = self.num_classes
    if outputs.ndim != 2 or outputs.shape[1] != classes:
        raise ValueError(f"outputs: expected shape (batch, {classes}), got {outputs.shape}.")
    rows = to_probabilities(outputs, self.answer_activation)
    return [best(row, self.class_names, top) for row in rows]


def best(probabilities, class_names, top):
    """Return the `top` most probable classes as `(class name, probability)`, best first."""
    order = np.argsort(-np.asarray(probabilities), kind="stable")[:top]
    names = class_names or [str(k) for k in range(len(probabilities))]
    return [(names[k], float(probabilities[k])) for k in order]


def to_probabilities(outputs, activation):
    """Return the probabilities of outputs `(batch, classes)`, in float64.

    Args:
        outputs: array.
        activation: `"softmax"` or `"sigmoid"` for outputs that are probabilities already;
            `"linear"` for logits; `"multi_label"` for logits of classes that do not exclude each
            other; `None` if not known: rows that are not probabilities are taken as logits.
    """
    outputs = np.asarray(outputs, "float64")
    if activation is None:
        sums = np.allclose(outputs.sum(axis=-1), 1, atol=1e-2)
        activation = "softmax" if sums and (outputs >= 0).all() else "linear"
    if activation == "multi_label":
        return 1 / (1 + np.exp(-outputs))
    if activation == "linear":
        outputs = np.exp(outputs - outputs.max(axis=-1, keepdims=True))
        outputs /= outputs.sum(axis=-1, keepdims=True)
    return outputs


def average(outputs, activation):
    """Return the probabilities `(classes,)` of several views; logits are averaged as such."""
    outputs = np.asarray(outputs, "float64")
    if activation in ("linear", "multi_label"):
        outputs = outputs.mean(axis=0, keepdims=True)
    return to_probabilities(outputs, activation).mean(axis=0)


def to_numpy(values):
    """Return an array or a tensor of any backend as a NumPy array."""
    if hasattr(values, "detach"):  # torch: tensors with gradients refuse to be arrays
        values = values.detach().cpu()
    return np.asarray(values)


def pixels_for(known, clips):
    """Return uint8 clips with the pixels that a model takes."""
    if known.pixels == 255:
        return clips
    clips = np.asarray(clips, "float32") / 255
    if known.pixels == 1:
        return clips
    return (clips - np.asarray(known.mean, "float32")) / np.asarray(known.std, "float32")


def _known_input(model):
    if model.info.get("classes", True) is None:
        raise ValueError(
            f"model: expected one built with include_top=True, got {model.name}, which returns "
            "features instead of classes."
        )
    known = model.video_input
    missing = "the model's input" if known is None else None
    if known is not None:
        unknown = [n for n in ("frames", "height", "width") if getattr(known, n) is None]
        missing = " and ".join(unknown) or None
    if missing:
        raise ValueError(
            f"video_input: expected what {model.name} takes, got nothing about {missing}. Set "
            "model.video_input = keras_video.specs.VideoInput(frames=..., height=..., width=..., "
            "frame_rate=...)."
        )
    return known
