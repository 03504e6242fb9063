"""Convert a mobile form to the bytes of a LiteRT file, by TensorFlow's converter.

`compact` then makes int8 files smaller without changing what they compute.
"""

import keras
import numpy as np
from keras import ops

from keras_video.progress import silence

QUANTIZATIONS = (None, "float16", "dynamic", "int8", "int16x8")
ALIGNMENT = 16  # bytes; kernels may read several values of a constant at a time


def convert(form, quantization=None, representative=None):
    """Convert a mobile form to the bytes of a LiteRT file.

    Args:
        form: Functional model with named inputs and outputs of known shapes, from `mobile_form`
            with `flat` or `stream`. For `"int8"` it has fake quantization.
        quantization: `None`, `"float16"` (weights), `"dynamic"` (int8 weights, ranges found at run
            time), `"int8"`, or `"int16x8"` (activations of 16 bits).
        representative: for `"int16x8"`, a function that returns an iterator of inputs, dicts by
            name.

    Returns:
        bytes; the signature has the names of the form.

    Raises:
        RuntimeError: on backends other than TensorFlow, and if the converter fails, for example
            for an operation that is not builtin.
    """
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            f"backend: expected Keras to run on TensorFlow, got {keras.backend.backend()}."
        )
    with silence():
        import tensorflow as tf

    groups = [
        [ops.convert_to_numpy(v) for v in variables]
        for variables in (form.trainable_variables, form.non_trainable_variables)
    ]

    def step(**inputs):
        # As constants: the converter does not fold or fuse weights that are variables.
        weights = ([tf.constant(value) for value in group] for group in groups)
        return form.stateless_call(*weights, inputs, training=False)[0]

    step = tf.function(step, autograph=False)
    signature = {t.name: tf.TensorSpec(t.shape, t.dtype, name=t.name) for t in form.inputs}
    with silence():
        function = step.get_concrete_function(**signature)
        # An empty module: the functions of a module are traced a second time when it is saved.
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function], tf.Module())
        _set_quantization(converter, quantization, representative)
        try:
            content = converter.convert()
        except Exception as error:  # the converter has several kinds
            text = " ".join(str(error).split())[:500]
            raise RuntimeError(f"{form.name} could not be converted: {text}") from error
    return content if quantization in (None, "float16") else compact(content)


def _set_quantization(converter, quantization, representative):
    import tensorflow as tf

    sets = tf.lite.OpsSet
    converter.target_spec.supported_ops = [sets.TFLITE_BUILTINS]
    if quantization is None:
        return
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantization == "float16":
        converter.target_spec.supported_types = [tf.float16]
    elif quantization == "int8":
        converter.inference_input_type = tf.int8
        converter.inference_output_type = tf.int8
    elif quantization == "int16x8":
        sixteen = sets.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        converter.target_spec.supported_ops = [sixteen, sets.TFLITE_BUILTINS]
        converter.representative_dataset = representative


def compact(content):
    """Share the lists of zero points that are all zero.

    Every channel of a kernel and of a bias has a zero point in the file. It takes 8 bytes and is
    always zero: a twelfth of a small network. Tensors can share one list of zeros of each length.

    Args:
        content: bytes of a LiteRT file, without anything after the flatbuffer.

    Returns:
        Bytes of a file with the same tensors and operations.
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
    """Own scales and shared zero points, packed as the schema's objects are."""

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
    """A constant, aligned as the schema requires. The schema's own objects do not align."""

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
