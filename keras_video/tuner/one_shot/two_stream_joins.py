"""What follows a group in a two-stream super-network: all variants of a fusion, and reasoning."""

from math import prod

import keras
from keras import ops

from keras_video.layers import TimeStridedSampling, TimeToChannelFusion
from keras_video.layers.frames import unfold_frames
from keras_video.tuner.one_shot.masked import MaskedConv3D, Width
from keras_video.tuner.one_shot.masked.norm import BatchStatisticsNorm
from keras_video.tuner.one_shot.two_stream_blocks import NORM
from keras_video.tuner.one_shot.two_stream_channels import Joined, fused, fused_sizes, times

CONV = "time_strided_conv"


class MaskedFusion(keras.layers.Layer):
    """All ways in which the dense stream's video joins the sparse one's channels.

    Args:
        kinds: tuple of names of `specs.FUSIONS`.
        filters: tuple of ints, those of the dense stream's group.
        stride: int, frames of the dense stream for one of the sparse one.

    Call arguments:
        x: tensor, the dense stream's video.
        kind, filters: the choices, ints or tensors.
        share: how far there is a dense stream: `True` or a scalar tensor.

    Returns:
        List of tensors, one for each entry of `channels(kind, filters, share)`.
    """

    def __init__(self, kinds, filters, stride, **kwargs):
        super().__init__(**{"autocast": False, **kwargs})
        self.kinds, self.filters, self.stride = tuple(kinds), tuple(filters), stride
        self.sizes = fused_sizes(kinds, max(filters), stride)
        options = {"dtype": self.dtype_policy}
        self.conv = None
        if CONV in self.sizes:
            self.conv = MaskedConv3D(
                max(filters), self.sizes[CONV], (5, 1, 1), (stride, 1, 1), padding="symmetric",
                activation="relu", name="conv", **options, **NORM,
            )  # fmt: skip
        self.sampling = TimeStridedSampling(stride, name="sampling", **options)
        self.packing = TimeToChannelFusion(stride, name="packing", **options)

    def build(self, *shapes):
        if self.conv is not None:
            self.conv.build()
        self.sampling.built = self.packing.built = True

    def channels(self, kind, filters, share=True):
        """What each kind brings, those left out that are not there.

        Returns:
            List of `(kind, rows before it, Joined)`.
        """
        found, start = [], 0
        for name, size in self.sizes.items():
            gate = True
            if not isinstance(kind, int):
                gate = ops.cast(kind, "float32")[self.kinds.index(name)]
            if gate is not True or self.kinds[kind] == name:
                there = fused(name, self.filters, max(self.filters), filters, self.stride)
                mask = times(times(there.mask, gate, there.size), share, there.size)
                found.append((name, start, Joined(there.rows, mask)))
            start += size
        return found

    def call(self, x, kind, filters, share=True):
        outputs = []
        for name, _, joined in self.channels(kind, filters, share):
            if name == CONV:
                outputs.append(self.conv(x, width=Width(joined.size, joined.mask)))
                continue
            y = self.sampling(x) if name == "time_strided_sampling" else self.packing(x)
            mask = joined.mask
            outputs.append(y if mask is None else y * ops.cast(mask, y.dtype))
        return outputs


class MaskedGloRe(keras.layers.Layer):
    """`layers.GloRe` with as many nodes as channels count, or nothing.

    Args:
        channels: int, how many may come in.
        nodes: int, how many of them may count at a time.

    Call arguments:
        x: tensor `(batch, frames, height, width, joined.size)`.
        joined: `Joined`.
        share: how far it is there: `True` or a scalar tensor.

    Returns:
        A tensor of the same shape.
    """

    def __init__(self, channels, nodes, **kwargs):
        super().__init__(**{"autocast": False, **kwargs})
        self.channels, self.nodes = channels, nodes
        self.norm = BatchStatisticsNorm(
            channels, 1e-4, "zeros", dtype=self.dtype_policy, name="norm"
        )

    def build(self, *shapes):
        channels, nodes, states = self.channels, self.nodes, 2 * self.nodes
        shapes = {
            "state_kernel": (channels, states), "state_bias": (states,),
            "node_kernel": (channels, nodes), "node_bias": (nodes,),
            "mix_nodes_kernel": (nodes, nodes), "mix_nodes_bias": (nodes,),
            "mix_states_kernel": (states, states), "kernel": (states, channels),
        }  # fmt: skip
        self.parts = {}
        for name, shape in shapes.items():
            initializer = "he_normal" if name.endswith("kernel") else "zeros"
            self.parts[name] = self.add_weight(shape, initializer, name=name)
        self.norm.build()

    def call(self, x, joined, share=True):
        x = ops.cast(x, self.compute_dtype)
        count, nodes = joined.count, self.nodes
        masks = [None, None]
        if isinstance(count, int):
            nodes = count
        else:
            # Halves, so that rounding decides nothing.
            masks = [
                ops.cast(ops.arange(n, dtype="float32") + 0.5 < k * count, "float32")
                for n, k in ((nodes, 1.0), (2 * nodes, 2.0))
            ]
        flat = ops.reshape(x, (-1, prod(x.shape[1:4]), x.shape[-1]))
        y = self._reason(ops.cast(flat, "float32"), joined, nodes, *masks)
        y = ops.reshape(ops.cast(y, x.dtype), (-1, *x.shape[2:]))
        y = unfold_frames(self.norm(y, width=joined), x)
        return x + (y if share is True else y * ops.cast(share, y.dtype))

    def _reason(self, x, joined, nodes, node_mask, state_mask):
        """What the positions hear, `(batch, positions, channels)`, before the norm."""
        parts = self._of(joined, nodes, 2 * nodes)
        weights = _masked(ops.matmul(x, parts["node_kernel"]) + parts["node_bias"], node_mask)
        gathered = ops.matmul(ops.transpose(weights, (0, 2, 1)), x)
        held = ops.matmul(gathered, parts["state_kernel"])
        held = held + ops.sum(weights, axis=1)[:, :, None] * parts["state_bias"]
        held = _masked(held / float(x.shape[1]), state_mask)
        mixed = ops.matmul(ops.transpose(parts["mix_nodes_kernel"]), held)
        held = ops.relu(held + mixed + parts["mix_nodes_bias"][:, None])
        # A state that does not count has heard of the others. A node has, too, but gives nothing.
        held = ops.matmul(_masked(held, state_mask), parts["mix_states_kernel"])
        held = _masked(held, state_mask)
        return ops.matmul(weights, ops.matmul(held, parts["kernel"]))

    def _of(self, joined, nodes, states):
        """The weights between the channels that are computed, float32."""
        found = {}
        for name, weight in self.parts.items():
            weight = ops.cast(weight, "float32")
            if name in ("state_kernel", "node_kernel"):
                weight = joined.take(weight)
            elif name in ("mix_nodes_kernel", "mix_states_kernel"):
                weight = weight[: nodes if "nodes" in name else states]
            elif name == "kernel":
                weight = joined.take(weight[:states], 1)
            last = {"state": states, "node": nodes, "mix_nodes": nodes, "mix_states": states}
            size = last.get(name.rsplit("_", 1)[0])
            found[name] = weight if size is None else weight[..., :size]
        return found

    def part(self, joined):
        """The weights of one network by the names of the plain layer's."""
        nodes = joined.size
        found = {n: ops.convert_to_numpy(w) for n, w in self._of(joined, nodes, 2 * nodes).items()}
        found["kernel"] = found["kernel"][None, None, None]
        for name in ("gamma", "beta"):
            found[name] = ops.convert_to_numpy(getattr(self.norm, name))[joined.rows]
        return found


def _masked(x, mask):
    return x if mask is None else x * mask
