"""`StreamGraph`: applies layers in a Functional graph and collects their states."""

import keras
from keras import tree

from keras_video.layers import StreamingLayer


class StreamGraph:
    """Apply layers; if `streaming`, give each layer with a state an input and an output for it.

    So the code of a network is the same for clips and streams: `graph(layer, x)` is `layer(x)` in a
    model of clips, and in a streaming model it also makes the inputs for the state of the layer.

    Args:
        streaming: bool.

    Attributes:
        inputs, outputs: `{layer name: Keras tensor or tuple of them}`.
    """

    def __init__(self, streaming=False):
        self.streaming = streaming
        self.inputs = {}
        self.outputs = {}

    def __call__(self, layer, x):
        spec = layer.state_spec(x.shape) if isinstance(layer, StreamingLayer) else None
        if spec is None or not self.streaming:
            return layer(x)
        parts = tree.flatten(spec)
        names = [f"{layer.name}_state{i if len(parts) > 1 else ''}" for i in range(len(parts))]
        inputs = [
            keras.Input(batch_shape=part.shape, dtype=part.dtype, name=name)
            for part, name in zip(parts, names, strict=True)
        ]
        state = tree.pack_sequence_as(spec, inputs)
        y, self.outputs[layer.name] = layer(x, state)
        self.inputs[layer.name] = state
        return y
