"""What is inside a LiteRT file: its operations, ranks and types, read from the flatbuffer.

What a LiteRT file of ours says about itself.

A zip archive at the end of the file, as the metadata of TFLite have it: interpreters do not see it,
and `unzip -p model.tflite labels.txt` prints the classes. `keras_video.json` tells what goes in:

- `kind`: `"clip"` or `"stream"`; `frames`, `height`, `width`: of the input;
- `pixels`: the largest value of a pixel, 255 or 1, which is all the normalisation there is;
- `frame_rate`: frames per second to feed, or `frame_stride`: one frame of so many of the video;
- `state`: of a stream, `{name: shape}`, zeros at the start. What comes out under a name is appended
  along axis 1, and as much of the oldest dropped;
- `classes`, `weights`, `network`, `quantization`, `library`.
"""

import collections
import json
import zipfile
from typing import NamedTuple

COMPUTE = ("QUANTIZE", "DEQUANTIZE")  # conversions, which are no computation in float


class Operation(NamedTuple):
    """An operation of the file.

    Args:
        name: string, such as `"CONV_2D"`.
        builtin: bool.
        output: string, the name of its first output.
        types: tuple of the types of its variable inputs and outputs.
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
        """`{operation: how many}`, the most frequent first."""
        names = collections.Counter(op.name for op in self.operations)
        return dict(names.most_common())

    @property
    def rank(self):
        """int, the highest rank of a tensor."""
        return max(op.rank for op in self.operations)

    @property
    def float_operations(self):
        """The operations that compute in float."""
        return [
            op
            for op in self.operations
            if op.name not in COMPUTE and any(kind.startswith("FLOAT") for kind in op.types)
        ]

    def check(self):
        """Raises a `RuntimeError` unless a phone can run the file.

        That is: no tensor of rank above 4, no 3D convolution, builtin operations only.
        """
        foreign = sorted({op.name for op in self.operations if not op.builtin})
        if foreign:
            raise RuntimeError(f"the file has operations that are not builtin: {foreign}.")
        high = [op for op in self.operations if op.rank > 4 or op.name == "CONV_3D"]
        if high:
            raise RuntimeError(
                f"the file has operations that phones cannot run: {high[0].name} of rank "
                f"{high[0].rank} at {high[0].output} and {len(high) - 1} more."
            )


def inspect(path):
    """Reads a LiteRT file.

    Args:
        path: string.

    Returns:
        `Inspection`.

    Raises:
        ValueError: if the file is damaged or no LiteRT file.
    """
    from ai_edge_litert import schema_py_generated as schema

    try:
        with open(path, "rb") as file:
            content = file.read()
    except FileNotFoundError:
        raise ValueError(f"path: there is no file {path}.") from None
    if not schema.Model.ModelBufferHasIdentifier(content, 0):
        raise ValueError(f"path: expected a LiteRT file, got {path}.")
    try:
        model = schema.Model.GetRootAs(content)
        graphs = [model.Subgraphs(i) for i in range(model.SubgraphsLength())]
        operations = [op for graph in graphs for op in _operations(schema, model, graph)]
    except Exception as error:  # whatever reading at a wrong place gives
        raise ValueError(f"path: {path} is damaged ({error}).") from error
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
        # Constants have a buffer with content; buffer 0 is empty.
        computed = [t for t in tensors if not model.Buffers(t.Buffer()).DataLength()]
        yield Operation(
            name,
            builtin,
            graph.Tensors(op.Outputs(0)).Name().decode() if op.OutputsLength() else "",
            tuple(types[t.Type()] for t in computed),
            max(t.ShapeLength() for t in tensors),
        )


def _names(enumeration):
    """`{number: name}` of an enumeration of the schema."""
    return {v: k for k, v in vars(enumeration).items() if not k.startswith("_")}


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
