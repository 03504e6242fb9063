"""Share models on the Hugging Face Hub: `push` uploads one with a model card, `load` returns it.

Needs huggingface_hub. Builders take the same addresses: `weights="hf://owner/name"`.
"""

import json
import os
import tempfile
import zipfile

from keras_video import files
from keras_video.applications import families, pretrained
from keras_video.applications.pretrained import fetch_from_hub, hub_api, hub_errors
from keras_video.checks import check_choice
from keras_video.lazy import listing

__all__ = ["card", "load", "push"]
__dir__ = listing(__all__)

MODEL = "model.keras"
CARD = "README.md"
WRITTEN = "<!-- Written by keras_video.hub.push. Remove this line to keep your own text. -->"

# Classes of Keras that execute code from the file. `safe_mode` refuses them as well, but a program
# can switch it off for everything it loads.
EXECUTING = {"__lambda__", "Lambda", "TFSMLayer", "TorchModuleWrapper"}


def load(address, token=None, endpoint=None):
    """Load a model from the Hugging Face Hub.

    Args:
        address: string. `"hf://owner/name"` loads `model.keras` of that repository, or its only
            `.keras` file. `"hf://owner/name/folder/file.keras"` names the file, and
            `"hf://owner/name@revision"` a branch, tag or commit.
        token: string, for private repositories. Default: the environment variable `HF_TOKEN`, else
            that of `hf auth login`.
        endpoint: string, url of the server. Default: the environment variable `HF_ENDPOINT`, else
            `https://huggingface.co`.

    Returns:
        The Keras model, not compiled. The file is stored in the cache of huggingface_hub.

    Raises:
        ImportError: if huggingface_hub is missing.
        ValueError: for a wrong address, if there is no such repository, revision or file, and for
            files that are damaged or contain code.
        RuntimeError: if the token is refused, or the file cannot be downloaded whole.

    Example:
    >>> model = keras_video.hub.load("hf://owner/name")
    """
    path = fetch_from_hub("address", address, (".keras",), token, endpoint)
    _check_config(address, path)
    import keras

    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # whatever a damaged or malicious config leads to
        text = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"address: expected a model that Keras can load, got {address!r} ({text})."
        ) from error


def push(model, address, token=None, private=None, message=None, endpoint=None):
    """Upload a model and its model card to the Hugging Face Hub, in one commit.

    The repository is created if it does not exist. The files are `model.keras`, without the state
    of the optimizer, and `README.md`, see `card`. A `README.md` that was written by hand is kept.

    Args:
        model: Keras model.
        address: string, `"hf://owner/name"`, or `"hf://owner/name@branch"`.
        token: string with the right to write, see `load`.
        private: bool, whether a new repository is private. Default: that of the owner's account.
        message: string, the commit message. Default: the name of the model.
        endpoint: string, url of the server, see `load`.

    Returns:
        String, the web page of the repository.

    Raises:
        ImportError, RuntimeError, ValueError: as `load`.

    Example:
    >>> keras_video.hub.push(model, "hf://owner/name")
    "https://huggingface.co/owner/name"
    """
    import keras

    where = pretrained.parse_hub_address("address", address)
    if where.file is not None:
        raise ValueError(f"address: expected a repository, hf://owner/name, got {address!r}.")
    if not isinstance(model, keras.Model):
        raise ValueError(f"model: expected a Keras model, got {type(model).__name__}.")
    check_choice("private", private, (True, False, None))
    if message is not None and not (isinstance(message, str) and message.strip()):
        raise ValueError(f"message: expected a string that is not empty, got {message!r}.")
    api = hub_api(token, endpoint)
    from huggingface_hub import CommitOperationAdd

    with tempfile.TemporaryDirectory() as folder:
        _without_optimizer(model).save(os.path.join(folder, MODEL))
        files.write_text(os.path.join(folder, CARD), card(model, address))
        with hub_errors("address", where, api):
            api.create_repo(where.repository, private=private, exist_ok=True)
            names = [MODEL, CARD] if _may_write_card(api, where) else [MODEL]
            api.create_commit(
                where.repository,
                [CommitOperationAdd(name, os.path.join(folder, name)) for name in names],
                commit_message=message or f"Upload {model.name}",
                revision=where.revision,
            )
    if CARD not in names:
        print(f"hub: {CARD} of {where.repository} was written by hand and is kept.")
    return f"{api.endpoint}/{where.repository}"


def card(model, address):
    """Return the model card of a model: a `README.md` made from what the model knows.

    Args:
        model: Keras model. What it knows is in `model.info`, see
            `keras_video.models.VideoClassifier`.
        address: string, `"hf://owner/name"`, where the model will be.

    Returns:
        String, Markdown with the metadata that the Hub reads.
    """
    info = getattr(model, "info", None) or {}
    names = _class_names(model, info)
    table = "\n".join(f"| {key} | {value} |" for key, value in _facts(model, info, names))
    text = f"""\
---
library_name: keras-video
pipeline_tag: video-classification
tags:
- keras
- keras-video
- video-classification
---

{WRITTEN}

# {_title(info) or model.name}

A model for video, made with `keras_video` on Keras 3.

| | |
|---|---|
{table}

## Use

```python
{_usage(model, info, address)}
```
"""
    measured = _measured(info)
    if measured:
        text += f"\n## How it was measured\n\n{measured}\n"
    if names:
        listed = "\n".join(f"{number}. {name}" for number, name in enumerate(names))
        text += f"\n## Classes\n\n<details><summary>{len(names)} names</summary>\n\n{listed}\n\n"
        text += "</details>\n"
    return text


def _facts(model, info, names):
    """Return the rows of the table: pairs of strings, of what is known only."""
    frames, height, width = [*info.get("clip", ())[:3], None, None, None][:3]
    streaming = bool(getattr(model, "streaming", False))
    variant = info.get("config", {}).get("variant")
    causal = isinstance(variant, dict) and variant.get("causal")
    kind = "streams, frame by frame" if streaming else "clips"
    macs = _macs(info, streaming)
    classes = info.get("classes") or len(names) or None
    pixels = {255: "0 to 255", 1: "0 to 1", None: "normalised"}
    rate = info.get("frame_rate")
    stride = info.get("frame_stride")
    return [
        (key, value)
        for key, value in (
            ("family", _family_title(info)),
            ("input", f"{kind}, causal" if causal and not streaming else kind),
            ("parameters", f"{model.count_params():,}"),
            ("multiply-adds", macs and f"{macs} for one {'frame' if streaming else 'clip'}"),
            ("frames", not streaming and frames),
            ("size", height and width and f"{height}x{width} pixels"),
            ("frame rate", rate and f"{rate:g} frames per second"),
            ("frame stride", stride and f"one of {stride} frames" if stride != 1 else None),
            ("resized side", info.get("resize_side") and f"{info['resize_side']} pixels"),
            ("pixel values", pixels.get(info["pixels"]) if "pixels" in info else None),
            ("classes", classes),
            ("weights from", info.get("weights")),
        )
        if value
    ]


def _usage(model, info, address):
    lines = ["import keras_video", "", f'model = keras_video.hub.load("{address}")']
    clip = tuple(info.get("clip", ()))
    if hasattr(model, "classify"):
        lines.append('print(model.classify("video.mp4"))')
    elif getattr(model, "streaming", False):
        lines.append("logits, state = model(frames, state)  # None as state starts a stream")
    else:
        shape = ", ".join(map(str, ("batch", *clip))) if clip else "batch, frames, height, width, 3"
        lines.append(f"logits = model(clips)  # ({shape})")
    builder = _builder(info)
    if builder:
        lines += [
            "",
            "# The same network for other classes, to fine-tune it:",
            f'model = keras_video.applications.{builder}(weights="{address}", classes=10)',
        ]
    return "\n".join(lines)


def _measured(info):
    """Return Markdown about how the accuracy was measured, or an empty string."""
    measured = info.get("measured") or {}
    if not isinstance(measured, dict):
        return str(measured)
    titles = {"top1": "top-1 accuracy in percent", "top5": "top-5 accuracy in percent"}
    rows = [(titles.get(key, key.replace("_", " ")), value) for key, value in measured.items()]
    return "\n".join(f"- {title}: {value}" for title, value in rows if value is not None)


def _class_names(model, info):
    names = getattr(model, "class_names", None) or info.get("labels") or ()
    return [" ".join(str(name).split()) for name in names]


def _family(info):
    return next(
        (f for f in families.FAMILIES if (f.folder or f.module) == info.get("family")), None
    )


def _family_title(info):
    family = _family(info)
    return family.title.removesuffix("-") if family else None


def _known_config(info):
    """Return the name of the config, if it is one of the library's own."""
    name = info.get("config", {}).get("name")
    return name if _family(info) and name in _family(info).package.CONFIGS else None


def _title(info):
    name = _known_config(info)
    return families.title(name) if name else _family_title(info)


def _builder(info):
    """Return the name of the builder that builds exactly this network, or `None`."""
    name = _known_config(info)
    if name is None:
        return None
    config = _family(info).package.CONFIGS[name]
    same = _plain(config.to_dict()) == _plain(info["config"])
    whole = info.get("frames") in (None, config.clip[0])
    return families.builder_name(name) if same and whole else None


def _macs(info, streaming):
    """Return the multiply-adds as a string, or `None` if the config or the clip is not known."""
    from keras_video.utils import macs

    family, clip, classes = _family(info), info.get("clip"), info.get("classes")
    if family is None or "config" not in info or not clip or not classes:
        return None
    kind = type(next(iter(family.package.CONFIGS.values())))
    clip = (1, *clip[1:]) if streaming else tuple(clip)
    try:
        count = macs(kind.from_dict(info["config"]), clip, classes)
    except (TypeError, ValueError):  # a clip of any size, or a config of another version
        return None
    return f"{count / 1e9:.3g} billion" if count >= 1e9 else f"{count / 1e6:.3g} million"


def _plain(value):
    """Return tuples as lists, as in JSON."""
    return json.loads(json.dumps(value))


def _without_optimizer(model):
    """Return the model, or a copy without the variables of an optimizer if it has some."""
    if not getattr(getattr(model, "optimizer", None), "variables", None):
        return model
    copy = type(model).from_config(model.get_config())
    copy.set_weights(model.get_weights())
    return copy


def _may_write_card(api, where):
    """Return whether the repository has no model card, or one that was written by `push`."""
    from huggingface_hub import errors

    try:
        path = api.hf_hub_download(where.repository, CARD, revision=where.revision)
    except errors.RemoteEntryNotFoundError:
        return True
    with open(path, encoding="utf-8", errors="replace") as file:
        return WRITTEN in file.read()


def _check_config(address, path):
    """Raise `ValueError` unless a `.keras` file has a config without code."""
    try:
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))
    except (OSError, KeyError, ValueError, RecursionError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"address: expected a .keras file, got {address!r}, which is damaged ({error})."
        ) from error
    stack = [config]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            if value.get("class_name") in EXECUTING:
                raise ValueError(
                    f"address: expected a model without code in its file, got {address!r} with "
                    f"{value['class_name']}. Download the file, and load it by "
                    "keras.saving.load_model if you trust its owner."
                )
            stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)
