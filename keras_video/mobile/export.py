"""`export_litert`: write a model as a LiteRT file for phones and small computers."""

import os

import keras

import keras_video
from keras_video.applications.families import family_of
from keras_video.checks import check_choice, check_extra
from keras_video.files import replacing
from keras_video.mobile import export_process
from keras_video.mobile import file as description
from keras_video.mobile.comparison import compare
from keras_video.mobile.conversion import QUANTIZATIONS, convert
from keras_video.mobile.file import inspect
from keras_video.mobile.quantization.after_training import form_to_quantize
from keras_video.mobile.quantization.aware import deploy, is_quantize_aware
from keras_video.mobile.quantization.calibration import (
    clips_of,
    pixel_range,
    quantized,
    stream_inputs,
)
from keras_video.mobile.rewriting import check_shape, mobile_form, state_of
from keras_video.mobile.runner import LiteRTModel
from keras_video.models.video_classifier import final_activation
from keras_video.progress import working
from keras_video.specs.video_input import CLIP_KEYS

TOLERANCE = 1e-4  # of float32, relative to the largest prediction
CALIBRATED = ("int8", "int16x8")
COMPARED = 128  # frames of the representative clips that file and model are compared on


def export_litert(
    model,
    path,
    quantization=None,
    representative_data=None,
    frames=None,
    labels=None,
    keep_float=(),
    stream=None,
):
    """Write a model as a LiteRT file.

    The model is rewritten (`mobile_form`) and converted. The file gets its name only after it was
    inspected, run, and compared with the Keras model. It has one signature with named inputs and
    outputs, builtin operations only, no tensor of rank above 4, and a description of itself
    (`keras_video.mobile.file`). A terminal shows the stage that runs.

    Args:
        model: `VideoClassifier` of known height and width, for clips or streaming, or a model from
            `quantize_aware`.
        path: string, the file to write, such as `"a0.tflite"`.
        quantization: `None` (float32); `"float16"`: weights in float16; `"dynamic"`: weights in
            int8; `"int8"`: weights and activations in int8; `"int16x8"`: weights in int8,
            activations in int16.
        representative_data: for `"int8"` and `"int16x8"`, unless the model was trained for int8:
            clips like those that the model will see, an array `(clips, frames, height, width, 3)`
            or an iterable of such batches, with or without labels. Streams roll over them frame by
            frame.
        frames: int. For clips: their length, if the model leaves it open. For streams: the frames
            of one step (default 1).
        labels: list of class names. Default: those of the weights, if they are known.
        keep_float: names of layers that stay in float in an `"int8"` file, or `"auto"`: as few as
            possible.
        stream: bool, whether the file takes frames with a state. The model must be causal. Default:
            whether the model is a streaming model, or was made from one by `quantize_aware`.

    Returns:
        `keras_video.mobile.comparison.Comparison` with the Keras model. It is also printed.

    Raises:
        ValueError: for arguments that do not fit, before any work is done.
        ImportError: if `tensorflow` or `ai_edge_litert` is not installed.
        OSError: if the file cannot be written.
        RuntimeError: if the model cannot be converted, or the file computes something else. No file
            is written then.
    """
    path = os.fspath(path)
    if stream is None:
        stream = getattr(model, "streams", getattr(model, "streaming", False))
    check_extra("mobile", "Exporting, on every Keras backend,")
    shape = check_shape(model, stream, frames)
    aware = is_quantize_aware(model)
    clips = _check(model, path, quantization, representative_data, shape, stream, aware)
    labels = _labels(model, labels)
    if keras.backend.backend() != "tensorflow":
        options = {"quantization": quantization, "frames": frames, "labels": labels}
        names = keep_float if isinstance(keep_float, str) else list(keep_float)
        options |= {"keep_float": names, "stream": bool(stream)}
        with working("exporting in a process on TensorFlow"):
            result, printed = export_process.run(model, path, clips, options)
        print(printed, end="")
        return result
    form = _form(model, quantization, clips, shape[0], stream, aware, keep_float)
    representative = stream_inputs(form, clips, stream) if quantization == "int16x8" else None
    with working("converting"):
        content = convert(form, quantization, representative)
    info = _describe(model, form, shape, stream, quantization)
    return _write(path, content, info, labels, model, clips)


def _form(model, quantization, clips, frames, stream, aware, keep_float):
    """Return the form to convert: built once, and quantized in place of a second one."""
    if aware:
        with working("rewriting for mobile"):
            return deploy(model, stream, frames)
    if quantization == "int8":
        with working("rewriting for mobile"):
            form, kept = form_to_quantize(model, clips, stream, frames, keep_float)
        with working("calibrating"):
            return quantized(form, clips, kept, pixel_range(model))
    with working("rewriting for mobile"):
        # The runtime has one operation for hard swish, but only in float.
        hard_swish = "folded" if quantization == "int16x8" else "fused"
        return mobile_form(model, stream, frames, flat=True, hard_swish=hard_swish)


def _check(model, path, quantization, data, shape, stream, aware):
    """Check the arguments; return the representative clips or `None`."""
    check_choice("quantization", quantization, QUANTIZATIONS)
    if aware and quantization != "int8":
        raise ValueError(
            f"quantization: expected 'int8' for {model.name}, which was trained for it, got "
            f"{quantization!r}."
        )
    check_writable(path)
    if quantization not in CALIBRATED or (aware and data is None):
        return None
    if data is None:
        raise ValueError(
            f"representative_data: expected clips for quantization={quantization!r}, got None."
        )
    return clips_of(data, shape, stream, pixel_range(model))


def check_writable(path):
    """Raise `ValueError` unless a file can be written at `path`."""
    folder = os.path.dirname(os.path.abspath(path))
    if os.path.isdir(path):
        raise ValueError(f"path: expected the name of a file, got the folder {path}.")
    if not os.path.isdir(folder):
        raise ValueError(f"path: expected a file in an existing folder, got {path}.")
    if not os.access(folder, os.W_OK):
        raise ValueError(f"path: expected a folder with permission to write, got {path}.")


def _labels(model, labels):
    """Return the class names: as given, or those of the model, or those of its weights."""
    info = getattr(model, "info", {})
    classes = model.outputs[0].shape[-1]
    if labels is None:
        labels = info.get("labels") or _labels_of_weights(info)
        return labels if labels and len(labels) == classes else None
    labels = [str(label) for label in labels]
    if len(labels) != classes:
        raise ValueError(f"labels: expected {classes} class names, got {len(labels)}.")
    several = [label for label in labels if "\n" in label]
    if several:
        raise ValueError(f"labels: expected class names of one line, got {several[0]!r}.")
    return labels


def _labels_of_weights(info):
    try:
        return list(family_of(info["config"]["name"]).package.labels(info["weights"]))
    except (KeyError, ValueError, StopIteration, AttributeError, TypeError):
        return None


def _describe(model, form, shape, stream, quantization):
    """Return the description that the file gets, see `keras_video.mobile.file`."""
    info = getattr(model, "info", {})
    kept = ("family", "classes", "weights", *CLIP_KEYS, "measured", "multi_label", "mean", "std")
    clip = info.get("clip")
    if clip and list(clip[1:3]) != list(shape[1:3]):
        info = {**info, "resize_side": None}  # that of another size
    return {
        "kind": "stream" if stream else "clip",
        "network": model.name,
        "frames": shape[0],
        "height": shape[1],
        "width": shape[2],
        "pixels": info.get("pixels", 255),
        **{key: info[key] for key in kept if info.get(key) is not None},
        "activation": final_activation(model),
        "quantization": quantization or "float32",
        "state": {name: list(shape) for name, shape in state_of(form).items()},
        "library": f"keras_video {keras_video.__version__}",
    }


def _write(path, content, info, labels, model, clips):
    """Write, inspect and compare a file before it gets its name."""
    name = os.path.basename(path)
    with replacing(path) as partial:
        with open(partial, "wb") as file:
            file.write(content)
        description.append(partial, info, labels)
        inspection = inspect(partial)
        inspection.check()
        lite = LiteRTModel(partial)
        if info["quantization"] == "int8" and lite.inexact_states():
            raise RuntimeError(
                f"{name}: expected states of the same scale as input and output, got others at "
                f"{lite.inexact_states()}. The file was not written."
            )
        if clips is not None:
            clips = clips[: max(1, COMPARED // clips.shape[1])]
        with working("comparing the file with the model"):
            result = compare(model, lite, clips)
        if info["quantization"] == "float32" and not result.difference <= TOLERANCE:
            raise RuntimeError(
                f"{name} {result}: more than {TOLERANCE:g}. The file was not written."
            )
    print(f"{name}: {inspection.bytes / 1e6:.2f} MB, {info['quantization']}; {result}.")
    return result
