"""What is in a LiteRT file: its description, and its operations read from the flatbuffer.

A file of `export_litert` describes itself in a zip archive at its end, as TFLite metadata does:
interpreters ignore it, and `unzip -p model.tflite labels.txt` prints the classes.
`keras_video.json` in this archive has the keys

- `kind`: `"clip"` or `"stream"`; `frames`, `height`, `width`: of the input;
- `pixels`: the largest value of a pixel, 255 or 1. No other normalisation is needed;
- `frame_rate`: frames per second to feed, or `frame_stride`: feed every n-th frame of the video;
  with `step`: every n-th frame at that rate;
- `clip`: `[frames, height, width, 3]` that the model was made for; `resize_side`, `crop`,
  `sampling`: how it is cut out of a video, as in `keras_video.specs.VideoInput`;
- `activation`: `"softmax"`, `"sigmoid"` or, for logits, `"linear"`; `multi_label`: whether classes
  do not exclude each other; `measured`: accuracy of the weights, if it is known;
- `state`: for a stream, `{name: shape}`, zeros at the start. Append the output of the same name
  along axis 1, and drop as many of the oldest frames;
- `classes`, `weights`, `network`, `quantization`, `library`.

This module imports neither Keras nor TensorFlow: `LiteRTModel` uses it on small computers.
"""

import collections
import json
import zipfile
from typing import NamedTuple

from keras_video.checks import missing_extra

FORMAT = 1
INFO, LABELS = "keras_video.json", "labels.txt"
LARGEST = 1 << 24  # bytes; a longer entry of the archive is not read
CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")  # they take or give floats, but do not compute


def append(path, info, labels=None):
    """Write the description of a file at its end.

    Args:
        path: string.
        info: dict of JSON values.
        labels: list of class names, or `None`.
    """
    with zipfile.ZipFile(path, "a") as archive:
        _write(archive, INFO, json.dumps({"format": FORMAT, **info}, indent=1))
        if labels:
            _write(archive, LABELS, "\n".join(labels) + "\n")


def read(path):
    """Return the description of a file, a dict, and its labels, a list of strings or `None`.

    Raises:
        ValueError: if there is no file, or it was not written by `export_litert`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            info = json.loads(_read(archive, INFO))
            named = LABELS in archive.namelist()
            labels = _read(archive, LABELS).splitlines() if named else None
    except FileNotFoundError:
        raise ValueError(f"path: expected a LiteRT file, got no file at {path}.") from None
    except (OSError, KeyError, zipfile.BadZipFile, ValueError) as error:
        raise ValueError(
            f"path: expected a LiteRT file of keras_video.mobile.export_litert, got {path} without "
            f"a description ({' '.join(str(error).split())})."
        ) from None
    if not isinstance(info, dict) or info.get("format") != FORMAT:
        raise ValueError(
            f"path: expected a LiteRT file of this version of keras_video, got {path} with a "
            "description of another format."
        )
    return info, labels


def _write(archive, name, text):
    # A fixed date, so that the same model gives the same bytes.
    entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(entry, text.encode())


def _read(archive, name):
    if archive.getinfo(name).file_size > LARGEST:
        raise ValueError(f"{name} is too large")
    return archive.read(name).decode()


class Operation(NamedTuple):
    """An operation of a file.

    Args:
        name: string, such as `"CONV_2D"`.
        builtin: bool, whether every LiteRT interpreter has it.
        output: string, the name of its first output.
        types: tuple of strings, the types of its inputs and outputs without constants.
        rank: int, the highest rank among its tensors.
    """

    name: str
    builtin: bool
    output: str
    types: tuple
    rank: int


class Inspection(NamedTuple):
    """The operations of a file.

    Args:
        operations: list of `Operation`.
        bytes: int, size of the file.
    """

    operations: list
    bytes: int

    @property
    def counts(self):
        """dict `{operation: count}`, the most frequent first."""
        names = collections.Counter(op.name for op in self.operations)
        return dict(names.most_common())

    @property
    def rank(self):
        """int, the highest rank of a tensor."""
        return max(op.rank for op in self.operations)

    @property
    def float_operations(self):
        """list of the operations that compute in float."""
        return [
            op
            for op in self.operations
            if op.name not in CONVERSIONS and any(kind.startswith("FLOAT") for kind in op.types)
        ]

    def check(self):
        """Check that a phone can run the file.

        Raises:
            RuntimeError: for a tensor of rank above 4, a 3D convolution, or an operation that is
                not builtin.
        """
        foreign = sorted({op.name for op in self.operations if not op.builtin})
        if foreign:
            raise RuntimeError(f"file: expected builtin operations only, got {foreign}.")
        high = [op for op in self.operations if op.rank > 4 or op.name == "CONV_3D"]
        if high:
            raise RuntimeError(
                f"file: expected tensors of rank 4 at most and no CONV_3D, got {high[0].name} of "
                f"rank {high[0].rank} at {high[0].output}, and {len(high) - 1} more."
            )


def inspect(path):
    """Read the operations of a LiteRT file.

    Args:
        path: string.

    Returns:
        `Inspection`.

    Raises:
        ValueError: if there is no file, or it is damaged or no LiteRT file.
        ImportError: if `ai_edge_litert` is not installed.
    """
    try:
        from ai_edge_litert import schema_py_generated as schema
    except ImportError as error:
        raise missing_extra("Reading LiteRT files needs ai-edge-litert.", "litert") from error
    try:
        with open(path, "rb") as file:
            content = file.read()
    except FileNotFoundError:
        raise ValueError(f"path: expected a LiteRT file, got no file at {path}.") from None
    if not schema.Model.ModelBufferHasIdentifier(content, 0):
        raise ValueError(f"path: expected a LiteRT file, got {path}.")
    try:
        model = schema.Model.GetRootAs(content)
        graphs = [model.Subgraphs(i) for i in range(model.SubgraphsLength())]
        operations = [op for graph in graphs for op in _operations(schema, model, graph)]
    except Exception as error:  # reading damaged offsets raises errors of many kinds
        raise ValueError(
            f"path: expected a LiteRT file, got {path}, which is damaged ({error})."
        ) from error
    return Inspection(operations, len(content))


def _operations(schema, model, graph):
    builtins = _names(schema.BuiltinOperator)
    types = _names(schema.TensorType)
    for i in range(graph.OperatorsLength()):
        op = graph.Operators(i)
        code = model.OperatorCodes(op.OpcodeIndex())
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        builtin = number != schema.BuiltinOperator.CUSTOM
        name = builtins[number] if builtin else code.CustomCode().decode()
        indices = [op.Inputs(k) for k in range(op.InputsLength())]
        indices += [op.Outputs(k) for k in range(op.OutputsLength())]
        tensors = [graph.Tensors(k) for k in indices if k >= 0]
        # Only constants have a buffer with content.
        computed = [t for t in tensors if not model.Buffers(t.Buffer()).DataLength()]
        yield Operation(
            name,
            builtin,
            graph.Tensors(op.Outputs(0)).Name().decode() if op.OutputsLength() else "",
            tuple(types[t.Type()] for t in computed),
            max(t.ShapeLength() for t in tensors),
        )


def _names(enumeration):
    """Return `{number: name}` of an enumeration of the schema."""
    return {v: k for k, v in vars(enumeration).items() if not k.startswith("_")}
