"""From a mobile form to the bytes of a LiteRT file, by TensorFlow's converter."""

import keras
from keras import ops

from keras_video.mobile.compaction import compact
from keras_video.utils.command_line import silence

QUANTIZATIONS = (None, "float16", "dynamic", "int8", "int16x8")


def convert(form, quantization=None, representative=None):
    """Converts a mobile form.

    Args:
        form: Functional model with named inputs and outputs of known shapes, from `mobile_form`
            with `flat` or `stream`. For `"int8"` it carries the ranges of its activations.
        quantization: `None`, `"float16"` (weights), `"dynamic"` (int8 weights, ranges found at run
            time), `"int8"`, or `"int16x8"` (activations of 16 bits).
        representative: for `"int16x8"`, a function that returns an iterator of inputs, dicts by
            name.

    Returns:
        bytes; the signature has the names of the form.

    Raises:
        RuntimeError: on other backends than TensorFlow, and where an operation is not among the
            builtin ones.
    """
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            f"conversion needs Keras on TensorFlow, which runs on {keras.backend.backend()} here."
        )
    with silence():
        import tensorflow as tf

    groups = [
        [ops.convert_to_numpy(v) for v in variables]
        for variables in (form.trainable_variables, form.non_trainable_variables)
    ]

    def step(**inputs):
        # As constants: the converter does not fuse what it would have to read from variables.
        weights = ([tf.constant(value) for value in group] for group in groups)
        return form.stateless_call(*weights, inputs, training=False)[0]

    module = tf.Module()
    module.step = tf.function(step, autograph=False)
    signature = {t.name: tf.TensorSpec(t.shape, t.dtype, name=t.name) for t in form.inputs}
    with silence():
        function = module.step.get_concrete_function(**signature)
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function], module)
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
