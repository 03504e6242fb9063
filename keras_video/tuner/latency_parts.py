"""Parts of MoViNets as networks of their own, to be timed."""

import dataclasses

from keras_video.specs import Dense, Depthwise, Pool, Scale, SqueezeExcite

ACTIVE = ("stem", "expansion", "feature", "head")  # kinds with an activation behind each layer


def key(part, variant):
    """A string that two parts share if they take the same time.

    Args:
        part: `movinet_costs.Part`.
        variant: `applications.movinet.Variant`.
    """
    rows = []
    for row in part.rows:
        fields = {k: v for k, v in dataclasses.asdict(row).items() if k != "name"}
        numbers = [f"{name}={value}" for name, value in fields.items()]
        rows.append(f"{type(row).__name__}({', '.join(numbers)})")
    how = [variant.activation, "causal" if variant.causal else "same", variant.squeeze]
    if part.kind == "squeeze_excite":
        how.append(variant.gate)
    shape = "x".join(map(str, part.shape))
    return f"{part.kind} {shape} {' '.join(rows)} {' '.join(how)}"


def part_model(part, variant):
    """The part as a model of fixed input shape.

    Args:
        part: `movinet_costs.Part`.
        variant: `applications.movinet.Variant`.

    Returns:
        `keras.Model`.
    """
    import keras

    from keras_video.blocks import StreamGraph, conv
    from keras_video.blocks.conv import depthwise
    from keras_video.layers import ReZero, SpatialAvgPool
    from keras_video.layers import SqueezeExcite as Attention

    graph = StreamGraph()
    inputs = x = keras.Input(part.shape)
    options = {"causal": variant.causal}
    if part.kind in ACTIVE:
        options["activation"] = variant.activation
    for row in part.rows:
        if isinstance(row, Pool):
            x = SpatialAvgPool(row.kernel[1], row.strides[1])(x)
        elif isinstance(row, Scale):
            x = ReZero(name=row.name)(x)
        elif isinstance(row, SqueezeExcite):
            x = Attention(row.hidden, variant.squeeze, variant.causal, variant.activation,
                          variant.gate, name=row.name)(x)  # fmt: skip
        elif isinstance(row, Dense):
            hidden = row.name == "classifier_hidden"
            activation = variant.head_activation if hidden else None
            x = keras.layers.Dense(row.filters, activation=activation, name=row.name)(x)
        elif isinstance(row, Depthwise):
            x = depthwise(graph, x, row, **options)
        else:
            x = conv(graph, x, row, **options)
    return keras.Model(inputs, x)
