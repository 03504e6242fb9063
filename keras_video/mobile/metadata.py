"""What a LiteRT file of ours says about itself.

A zip archive at the end of the file, as the metadata of TFLite have it: interpreters do not see it,
and `unzip -p model.tflite labels.txt` prints the classes. `keras_video.json` tells what goes in:

- `kind`: `"clip"` or `"stream"`; `frames`, `height`, `width`: of the input;
- `pixels`: the largest value of a pixel, 255 or 1, which is all the normalisation there is;
- `frame_rate`: frames per second to feed, or `frame_stride`: one frame of so many of the video;
- `state`: of a stream, `{name: shape}`, zeros at the start. What comes out under a name is appended
  along axis 1, and as much of the oldest dropped;
- `classes`, `weights`, `network`, `quantization`, `library`.
"""

import json
import zipfile

FORMAT = 1
INFO, LABELS = "keras_video.json", "labels.txt"
LARGEST = 1 << 24  # bytes that are read of either


def append(path, info, labels=None):
    """Writes the description behind the network in a file.

    Args:
        path: string.
        info: dict that JSON can write.
        labels: list of class names, or `None`.
    """
    with zipfile.ZipFile(path, "a") as archive:
        _write(archive, INFO, json.dumps({"format": FORMAT, **info}, indent=1))
        if labels:
            _write(archive, LABELS, "\n".join(labels) + "\n")


def read(path):
    """The description of a file, and its labels or `None`.

    Raises:
        ValueError: if there is no file, or it is not of `export_litert`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            info = json.loads(_read(archive, INFO))
            named = LABELS in archive.namelist()
            labels = _read(archive, LABELS).splitlines() if named else None
    except FileNotFoundError:
        raise ValueError(f"path: there is no file {path}.") from None
    except (OSError, KeyError, zipfile.BadZipFile, ValueError) as error:
        raise ValueError(
            f"path: expected a LiteRT file of keras_video.mobile.export_litert, got {path}, which "
            f"does not describe itself ({' '.join(str(error).split())})."
        ) from None
    if not isinstance(info, dict) or info.get("format") != FORMAT:
        raise ValueError(
            f"path: expected a LiteRT file of this version of keras_video, got {path}, whose "
            "description has another format."
        )
    return info, labels


def _write(archive, name, text):
    # With a fixed date, so that the same network gives the same bytes.
    entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(entry, text.encode())


def _read(archive, name):
    if archive.getinfo(name).file_size > LARGEST:
        raise ValueError(f"{name} is too large")
    return archive.read(name).decode()
