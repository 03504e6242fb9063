"""Streaming states under the names and in the form of the official MoViNet models."""

_BUFFERS = ("feature", "feature_temporal")


def official_states(state):
    """Translates a state of ours, for comparison with official models and LiteRT files.

    Official pools carry the sum over frames, ours the mean. Official counts are shared by the
    batch, ours belong to each sample: all samples must be at the same frame.

    Args:
        state: `{layer name: array or tuple of arrays}`, as a streaming MoViNet returns it.

    Returns:
        dict, for example `state_block1_layer0_stream_buffer` `(batch, frames, h, w, channels)`,
        `state_block1_layer0_pool_buffer` `(batch, 1, 1, 1, channels)` and
        `state_block1_layer0_pool_frame_count` `(1,)`. Counts of the positional encoding, which ours
        shares with the pool, are given beside it as `pos_enc_frame_count`.
    """
    from keras import ops, tree

    states = {}
    for layer, value in state.items():
        value = tree.map_structure(ops.convert_to_numpy, value)
        if layer == "head_pool":
            states |= _pool("state_head_pool", value)
            continue
        block, number, part = layer.split("_", 2)  # block1, layer0, squeeze_excite
        name = f"state_{block}_{number}"
        if part in _BUFFERS:
            states[f"{name}_stream_buffer"] = value
        elif isinstance(value, (tuple, list)):
            states |= _pool(f"{name}_pool", value)
            states[f"{name}_pos_enc_frame_count"] = states[f"{name}_pool_frame_count"]
        else:
            states[f"{name}_pos_enc_frame_count"] = _count(value)
    return states


def _pool(name, value):
    mean, count = value
    sums = mean * count[:, None]
    return {
        f"{name}_buffer": sums[:, None, None, None, :].astype("float32"),
        f"{name}_frame_count": _count(count),
    }


def _count(count):
    if (count != count[0]).any():
        raise ValueError(
            f"state: expected all samples at the same frame, got counts {count.tolist()}."
        )
    return count[:1].astype("int32")
