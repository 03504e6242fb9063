"""`export_litert`: a network as a file for phones and small computers."""

import importlib.util
import os
import tempfile

import keras

from keras_video.mobile import file as metadata
from keras_video.mobile.comparison import compare
from keras_video.mobile.conversion import QUANTIZATIONS, convert
from keras_video.mobile.file import inspect
from keras_video.mobile.quantization.after_training import deployed_int8
from keras_video.mobile.quantization.aware import deploy, is_quantize_aware
from keras_video.mobile.quantization.representative import clips_of, pixel_range, stream_inputs
from keras_video.mobile.rewriting import check_shape, mobile_form, state_of
from keras_video.mobile.runner import LiteRTModel

TOLERANCE = 1e-4  # of float32, relative to the largest prediction
CALIBRATED = ("int8", "int16x8")
COMPARED = 128  # frames of representative clips that file and model are compared on


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
    """Writes a network as a LiteRT file.

    The network is rewritten (`mobile_form`), converted, written under a temporary name, inspected,
    run and compared with the Keras model, and only then gets its name. The file has one signature
    with named inputs and outputs, builtin operations only, no tensor of rank above 4, and describes
    itself (`keras_video.mobile.file`).

    Args:
        model: `VideoClassifier` of known height and width, for clips or streaming, or what
            `quantize_aware` made of one.
        path: string, the file to write, such as `"a0.tflite"`.
        quantization: `None` (float32); `"float16"`: weights of half the size; `"dynamic"`: weights
            in int8; `"int8"`: weights and activations; `"int16x8"`: weights in int8, activations in
            16 bits.
        representative_data: for `"int8"` and `"int16x8"`, unless the model was trained for them:
            clips as the network will see them, an array `(clips, frames, height, width, 3)` or an
            iterable of such batches, with or without labels. Streams roll over them frame by frame.
        frames: int, the frames of a clip where the model leaves them open, or those that a stream
            takes at once (default 1).
        labels: list of class names. Default: those of the weights, where they are known.
        keep_float: names of layers to keep in float, for `"int8"`; `"auto"` finds the fewest.
        stream: bool, whether the file takes frames with a state, which needs a causal network.
            Default: whether the model does, or that which `quantize_aware` took.

    Returns:
        The `keras_video.mobile.file.Comparison` with the Keras model, which is also printed.

    Raises:
        ValueError: for arguments that do not fit, before any work is done.
        OSError: if the file cannot be written.
        RuntimeError: if a network cannot be converted, or the file does not compute what it should;
            there is no file then.
    """
    path = os.fspath(path)
    if stream is None:
        stream = getattr(model, "streams", getattr(model, "streaming", False))
    check_packages()
    shape = check_shape(model, stream, frames)
    aware = is_quantize_aware(model)
    clips = _check(model, path, quantization, representative_data, shape, stream, aware)
    labels = _labels(model, labels)
    if keras.backend.backend() != "tensorflow":
        from keras_video.mobile import export_process

        options = {"quantization": quantization, "frames": frames, "labels": labels}
        names = keep_float if isinstance(keep_float, str) else list(keep_float)
        options |= {"keep_float": names, "stream": bool(stream)}
        return export_process.run(model, path, clips, options)
    form = _form(model, quantization, clips, shape[0], stream, aware, keep_float)
    representative = None
    if quantization == "int16x8":
        representative = stream_inputs(form, clips, stream)
    content = convert(form, quantization, representative)
    info = _describe(model, form, shape, stream, quantization)
    return _write(path, content, info, labels, model, clips)


def check_packages():
    """Raises unless what an export needs is installed."""
    for module, extra in (("tensorflow", "tensorflow-cpu"), ("ai_edge_litert", "litert")):
        if importlib.util.find_spec(module) is None:
            raise ImportError(
                f"exporting needs {module}, on every Keras backend: "
                f"pip install keras-video[{extra}]"
            )


def _form(model, quantization, clips, frames, stream, aware, keep_float):
    """The network as it is converted."""
    if aware:
        return deploy(model, stream, frames)
    if quantization == "int8":
        form, _ = deployed_int8(model, clips, stream, frames, keep_float)
        return form
    # The runtime has one operation for hard swish, but only in float.
    written = "folded" if quantization == "int16x8" else "fused"
    return mobile_form(model, stream, frames, flat=True, hard_swish=written)


def _check(model, path, quantization, data, shape, stream, aware):
    """Raises for arguments that do not fit; returns the representative clips or `None`."""
    if quantization not in QUANTIZATIONS:
        raise ValueError(f"quantization: expected one of {QUANTIZATIONS}, got {quantization!r}.")
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
            f"representative_data: expected clips beside quantization={quantization!r}, got None."
        )
    return clips_of(data, shape, stream, pixel_range(model))


def check_writable(path):
    """Raises unless a file can be written there."""
    folder = os.path.dirname(os.path.abspath(path))
    if os.path.isdir(path):
        raise ValueError(f"path: expected the name of a file, got the folder {path}.")
    if not os.path.isdir(folder):
        raise ValueError(f"path: expected a file in an existing folder, got {path}.")
    if not os.access(folder, os.W_OK):
        raise ValueError(f"path: expected a folder that can be written to, got {path}.")


def _labels(model, labels):
    """Class names: as given, as the model knows them, or as its weights do."""
    info = getattr(model, "info", {})
    classes = model.outputs[0].shape[-1]
    if labels is None:
        labels = info.get("labels") or _labels_of_weights(info)
        return labels if labels and len(labels) == classes else None
    labels = [str(label) for label in labels]
    if len(labels) != classes or any("\n" in label for label in labels):
        raise ValueError(
            f"labels: expected {classes} names of one line, as the model has classes, got "
            f"{len(labels)}."
        )
    return labels


def _labels_of_weights(info):
    from keras_video.applications.families import family_of

    try:
        return list(family_of(info["config"]["name"]).package.labels(info["weights"]))
    except (KeyError, ValueError, StopIteration, AttributeError, TypeError):
        return None


def _describe(model, form, shape, stream, quantization):
    """What the file says about itself."""
    import keras_video

    info = getattr(model, "info", {})
    kept = ("family", "frame_rate", "frame_stride", "clip", "classes", "weights")
    return {
        "kind": "stream" if stream else "clip",
        "network": model.name,
        "frames": shape[0],
        "height": shape[1],
        "width": shape[2],
        "pixels": info.get("pixels", 255),
        **{key: info[key] for key in kept if info.get(key) is not None},
        "quantization": quantization or "float32",
        "state": {name: list(shape) for name, shape in state_of(form).items()},
        "library": f"keras_video {keras_video.__version__}",
    }


def _write(path, content, info, labels, model, clips):
    """Writes, inspects and compares a file before it gets its name."""
    folder, name = os.path.split(os.path.abspath(path))
    handle, partial = tempfile.mkstemp(".partial", f".{name}.", folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        metadata.append(partial, info, labels)
        inspection = inspect(partial)
        inspection.check()
        lite = LiteRTModel(partial)
        if info["quantization"] == "int8" and lite.inexact_states():
            raise RuntimeError(
                f"{name} gives states another scale than it takes: {lite.inexact_states()}. "
                "It was not written."
            )
        if clips is not None:
            clips = clips[: max(1, COMPARED // clips.shape[1])]
        result = compare(model, lite, clips)
        if info["quantization"] == "float32" and not result.difference <= TOLERANCE:
            raise RuntimeError(f"{name} {result}: more than {TOLERANCE:g}. It was not written.")
        os.chmod(partial, 0o666 & ~_umask())
        os.replace(partial, path)
    finally:
        if os.path.exists(partial):
            os.remove(partial)
    print(f"{name}: {inspection.bytes / 1e6:.2f} MB, {info['quantization']}; {result}.")
    return result


def _umask():
    """The mask of new files, which `mkstemp` ignores."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
