"""What all model builders share: arguments, input, classes, weights and the finished model.

A builder creates a `ModelBuilder` from its arguments, adds layers to `builder.frames`, and returns
`builder.finish(...)`.
"""

import warnings
import zipfile

import keras

from keras_video.applications.pretrained import Source, labels
from keras_video.checkpoints import weight_map
from keras_video.checks import check_choice, check_int
from keras_video.layers import CumulativeAvgPool
from keras_video.models import VideoClassifier
from keras_video.specs.video_input import ANSWER_KEYS, CLIP_KEYS

LAST = "classifier/*"  # variables of the last layer
HEAD = "classifier*"  # variables of all layers that only the classifier needs


class ModelBuilder:
    """Check the arguments of a model builder, reads its weights and creates its input.

    Args:
        include_top, weights, input_shape, input_tensor, pooling, classes: arguments of the model
            builder.
        read: function `(weights, frames) -> Source`. `frames` is the number of frames of the
            input, or `None`.
        default_shape: input shape if neither `input_shape` nor `input_tensor` is given.
        default_classes: int, number of classes if neither `classes` nor weights say it.
        check_shape: function `(argument, shape)` that raises for input shapes that the model
            cannot take.

    Attributes:
        frames: Keras tensor `(batch, frames, height, width, channels)` to build on.
        classes: int, number of outputs of the classifier.
    """

    def __init__(
        self,
        include_top,
        weights,
        input_shape,
        input_tensor,
        pooling,
        classes,
        *,
        read,
        default_shape,
        default_classes,
        check_shape,
    ):
        check_choice("pooling", pooling, (None, "avg", "max"))
        if classes is not None:
            check_int("classes", classes)
        self.include_top = include_top
        self.pooling = "avg" if include_top else pooling
        self.input_tensor = input_tensor
        self.frames = _frames(input_shape, input_tensor, default_shape, check_shape)
        self.source = None if weights is None else read(weights, self.frames.shape[1])
        if classes is None:
            classes = self.source.classes if self.source else None
        self.classes = classes or default_classes

    @property
    def inputs(self):
        """The inputs of the model: `frames`, or what `input_tensor` was computed from."""
        if self.input_tensor is None:
            return self.frames
        inputs = keras.utils.get_source_inputs(self.input_tensor)
        return inputs[0] if len(inputs) == 1 else inputs

    def finish(self, inputs, outputs, name, info, rebuild, kind=VideoClassifier):
        """Create the model and fill it with the weights.

        Args:
            inputs, outputs: those of the model.
            name: string.
            info: dict of plain values, see `VideoClassifier`; classes and weights are added, as
                well as the clips and the class names of the weights.
            rebuild: function `(include_top, classes) -> model` that builds the same architecture
                again. Keras files load only into a model with the same classifier.
            kind: `VideoClassifier` or a subclass.
        """
        model = kind(inputs, outputs, name=name)
        info["classes"] = self.classes if self.include_top else None
        info["weights"] = self.source.label if self.source else None
        model._set_info(self._with_knowledge(info))
        if self.source is not None:
            fill(model, self.source, rebuild)
        return model

    def _with_knowledge(self, info):
        """Add what the weights say about clips and classes, and the sizes that are fixed."""
        info = dict(info)
        if self.source is not None and self.source.record is not None:
            info |= _of_record(self.source.record, info)
        elif self.source is not None and self.source.info:
            known = self.source.info
            if known.get("family") == info["family"]:
                info |= {key: known[key] for key in (*CLIP_KEYS, *ANSWER_KEYS) if key in known}
        if self.source is None or info["classes"] != self.source.classes:
            for key in ANSWER_KEYS:  # of other classes
                info.pop(key, None)
        fixed = self.frames.shape[1:4]
        clip = [fix or own for fix, own in zip(fixed, info["clip"], strict=False)]
        if clip[1:] != list(info["clip"][1:3]):
            info["resize_side"] = None  # that of another size
        info["clip"] = [*clip, *info["clip"][3:]]
        return info


def _of_record(record, info):
    """Return the entries of `info` for published weights."""
    known = {}
    if record.frames and record.size:
        known["clip"] = [record.frames, *record.size, *info["clip"][3:]]
    if record.frame_rate or record.frame_stride:
        known["frame_rate"], known["frame_stride"] = record.frame_rate, record.frame_stride
    known |= {key: getattr(record, key) for key in ("resize_side", "sampling")}
    known = {key: value for key, value in known.items() if value is not None}
    if record.labels:
        known["labels"] = labels(record)
    if record.source:
        known["measured"] = {
            "data": record.name,
            "top1": record.top1,
            "top5": record.top5,
            "source": record.source,
        }
    return known


def pool(x, pooling, dtype, name="head_pool"):
    """Pool a video over space and time: `None` (no pooling), `"avg"` or `"max"`."""
    if pooling == "avg":
        return CumulativeAvgPool(keep_frames=False, dtype=dtype, name=name)(x)
    if pooling == "max":
        return keras.layers.GlobalMaxPooling3D(dtype=dtype, name=name)(x)
    return x


def check_video_shape(argument, shape, channels=3, smallest=1):
    """Check an input shape of a model.

    Args:
        argument: string, for the error.
        shape: must be `(frames, height, width, channels)` of positive ints or `None`.
        channels: int.
        smallest: int, lower bound of height and width.
    """
    sizes = [n for n in shape[:3] if n is not None]
    whole = all(isinstance(n, int) and not isinstance(n, bool) for n in sizes)
    if len(shape) != 4 or shape[-1] != channels or not whole or any(n < 1 for n in sizes):
        hint = " Channels come last." if channels in shape[:2] and shape[-1] != channels else ""
        raise ValueError(
            f"{argument}: expected (frames, height, width, {channels}) of positive ints or None, "
            f"got {shape}.{hint}"
        )
    if any(n is not None and n < smallest for n in shape[1:3]):
        raise ValueError(
            f"{argument}: expected height and width of at least {smallest}, got {shape}."
        )


def _frames(input_shape, input_tensor, default_shape, check_shape):
    """Return the Keras tensor of the frames."""
    if input_tensor is None:
        shape = default_shape if input_shape is None else tuple(input_shape)
        check_shape("input_shape", shape)
        return keras.Input(shape, name="frames")
    shape = tuple(input_tensor.shape)[1:]
    check_shape("input_tensor", shape)
    if input_shape is not None and tuple(input_shape) != shape:
        raise ValueError(
            f"input_shape: expected that of input_tensor, {shape}, got {tuple(input_shape)}."
        )
    return input_tensor


def fill(model, source: Source, rebuild):
    """Copy weights into a model, except the classifier if the number of classes differs.

    Args:
        model: `VideoClassifier` that `source` was read for.
        source: `Source`.
        rebuild: function `(include_top, classes) -> model`, see `ModelBuilder.finish`.
    """
    classes = model.info["classes"]
    named = source.named
    if named is None:
        twin = model
        if source.classes != classes:
            twin = rebuild(source.classes is not None, source.classes or 1)
        _load_keras(twin, source.path)
        named = None if twin is model else weight_map.export(twin)
    if named is not None:
        skip = ()
        if classes is None:
            skip = (HEAD,)
        elif source.classes != classes:
            skip = (LAST,) if source.classes else (HEAD,)
        weight_map.assign(model, named, (*skip, *(pattern for pattern, _ in source.lacking)))
    _report(source, classes)


def _load_keras(model, path):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Keras warns for every layer that does not fit
            model.load_weights(path)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        text = str(error).strip().splitlines()[0]
        raise ValueError(
            f"weights: expected weights of {model.name} with the same size, frames, variant and "
            f"options, got {path}, which does not fit or is damaged ({text})."
        ) from error


def _report(source, classes):
    """Print which layers were not loaded."""
    reasons = [f"no {what}" for _, what in source.lacking]
    kept = [f"the {what}" for _, what in source.lacking]
    if classes is not None and source.classes != classes:
        missing = "no classifier" if source.classes is None else f"{source.classes} classes"
        reasons.append(f"{missing}, the model {classes} classes")
        kept.append("the classifier" if source.classes is None else "the last layer")
    if kept:
        verb = "starts" if len(kept) == 1 else "start"
        print(
            f"weights: {source.label} has {' and '.join(reasons)}. All layers were loaded except "
            f"{' and '.join(kept)}, which {verb} with random values."
        )
