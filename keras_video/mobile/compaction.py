"""Makes int8 files smaller without changing what they compute.

Every channel of a kernel and of a bias has a zero point in the file, of 8 bytes and always zero: a
twelfth of a small network. Tensors can share one list of zeros per length.
"""

import numpy as np

ALIGNMENT = 16  # of constants, which kernels may read several at a time


def compact(content):
    """Shares the lists of zero points that are all zero.

    Args:
        content: bytes of a LiteRT file without anything behind the flatbuffer.

    Returns:
        bytes of a file with the same tensors and operations.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
    zeros = {}
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            found = tensor.quantization
            points = None if found is None else found.zeroPoint
            if points is not None and len(points) > 1 and not np.any(points):
                tensor.quantization = _Quantization(schema, found, zeros)
    model.buffers = [_Buffer(schema, buffer) for buffer in model.buffers]
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


class _Quantization:
    """Scales of their own and shared zero points, in the manner of the schema's objects."""

    def __init__(self, schema, found, zeros):
        self.schema = schema
        self.found = found
        self.zeros = zeros

    def Pack(self, builder):
        schema, found = self.schema, self.found
        count = len(found.zeroPoint)
        if count not in self.zeros:
            self.zeros[count] = builder.CreateNumpyVector(np.zeros(count, "int64"))
        scale = builder.CreateNumpyVector(np.asarray(found.scale, "float32"))
        schema.QuantizationParametersStart(builder)
        schema.QuantizationParametersAddScale(builder, scale)
        schema.QuantizationParametersAddZeroPoint(builder, self.zeros[count])
        schema.QuantizationParametersAddQuantizedDimension(builder, found.quantizedDimension)
        return schema.QuantizationParametersEnd(builder)


class _Buffer:
    """A constant, aligned as the schema demands and the schema's own objects forget."""

    def __init__(self, schema, found):
        self.schema = schema
        self.found = found

    def Pack(self, builder):
        schema, found = self.schema, self.found
        data = None
        if found.data is not None and len(found.data):
            content = np.asarray(found.data, "uint8").tobytes()
            builder.StartVector(1, len(content), ALIGNMENT)
            builder.head -= len(content)
            builder.Bytes[builder.head : builder.head + len(content)] = content
            data = builder.EndVector()
        schema.BufferStart(builder)
        if data is not None:
            schema.BufferAddData(builder, data)
        return schema.BufferEnd(builder)
