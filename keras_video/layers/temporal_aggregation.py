"""`TemporalAggregation`: blends every channel with itself in neighbouring frames."""

import keras
from keras import ops

from keras_video.checks import check_choice, check_int
from keras_video.layers import backend
from keras_video.layers.activations import ACTIVATIONS, lookup
from keras_video.layers.frames import (
    check_video,
    fold_frames,
    join_pairs,
    pad_frames,
    split_pairs,
)
from keras_video.layers.initializers import TemporalShift, get_initializer
from keras_video.layers.streaming import StreamingLayer, past_spec, with_past

BLENDS = ("sum", "max")
OF_PAIR = ("first", "second", "both")


@keras.saving.register_keras_serializable("keras_video")
class TemporalAggregation(StreamingLayer):
    """Blend every channel with itself in neighbouring frames (TAM).

    Compute `y[t] = relu(sum_i(kernel[i] * x[t + i - kernel_size // 2]))` for every channel
    separately, with zero frames around the clip (Fan et al. 2019, "More Is Less", section 3.3). In
    front of the 2D convolutions of an image network, this layer makes a video network of it, for a
    thousandth of the parameters. Fixed weights that move some channels by a frame make it TSM (Lin
    et al. 2019): `TemporalAggregation(3, kernel_initializer="temporal_shift", fixed=True,
    activation=None)`.

    Args:
        kernel_size: int, number of frames that are blended. If it is even, one frame more lies in
            the past than in the future.
        blend: `"sum"`, or `"max"` for the largest of the weighted frames.
        activation: `"relu"`, `None`, or another activation of this library.
        causal: bool, looks back only: `x[t - kernel_size + 1] .. x[t]`. Then the layer streams.
        equal_pairs: bool. Frames `2 i` and `2 i + 1` of the video are equal and the inputs hold
            them once, as behind the branches of a big-little network. The outputs are the same,
            computed with half the memory.
        num_frames: int, number of frames per clip, for inputs whose frames are folded into the
            batch, as in 2D networks; else `None`.
        fixed: bool, keeps the initial kernel.
        kernel_initializer: initializer of the kernel `(kernel_size, channels)`. The published code
            uses `"fan_out_normal"`; `"temporal_shift"` is the kernel of TSM.

    Call arguments:
        inputs: float tensor `(batch, frames, height, width, channels)`; with `equal_pairs`
            `(batch, pairs, height, width, channels)`; with `num_frames`
            `(batch * num_frames, height, width, channels)`.
        state: `None`, or, for causal layers of more than one frame, the tensor returned by the
            last call, `(batch, kernel_size - 1, height, width, channels)` in float32.
        of_pair: `None` for the outputs at all frames, `"first"` or `"second"` for those at frames
            `2 i` or `2 i + 1` only, `"both"` for both as a tuple.

    Returns:
        A tensor of the shape of the inputs. With `of_pair` it has one frame for each pair; with
        `equal_pairs` and no `of_pair` it has `2 * pairs` frames. With a state, the pair `(outputs,
        new_state)`.

    Example:
    >>> tam = keras_video.layers.TemporalAggregation(3)
    >>> tam(keras.random.normal((2, 8, 14, 14, 64))).shape
    (2, 8, 14, 14, 64)
    """

    def __init__(
        self,
        kernel_size=3,
        blend="sum",
        activation="relu",
        causal=False,
        equal_pairs=False,
        num_frames=None,
        fixed=False,
        kernel_initializer="fan_out_normal",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.kernel_size = check_int("kernel_size", kernel_size)
        self.blend = check_choice("blend", blend, BLENDS)
        if num_frames is not None:
            check_int("num_frames", num_frames)
        if causal and (equal_pairs or num_frames is not None):
            raise ValueError("causal: cannot be combined with equal_pairs or num_frames.")
        self.activation = activation
        self._activation = lookup(ACTIVATIONS, "activation", activation)
        self.causal = bool(causal)
        self.equal_pairs = bool(equal_pairs)
        self.num_frames = num_frames
        self.fixed = bool(fixed)
        self.kernel_initializer = get_initializer(kernel_initializer)
        if causal and kernel_size > 2 and isinstance(self.kernel_initializer, TemporalShift):
            raise ValueError(
                f"kernel_size: expected 2 for a causal temporal shift, got {kernel_size}."
            )

    @property
    def distances(self):
        """range, frame distance from the output to the input of each row of the kernel."""
        first = 1 - self.kernel_size if self.causal else -(self.kernel_size // 2)
        return range(first, first + self.kernel_size)

    def build(self, input_shape):
        if self.num_frames is None:
            check_video(self, input_shape)
        elif len(input_shape) != 4 or input_shape[-1] is None:
            raise ValueError(
                f"{self.name}: expected inputs of shape (batch * {self.num_frames}, height, width, "
                f"channels) with known channels, got {tuple(input_shape)}."
            )
        elif input_shape[0] is not None and input_shape[0] % self.num_frames:
            raise ValueError(
                f"{self.name}: expected a multiple of num_frames={self.num_frames} frames, got "
                f"{input_shape[0]}."
            )
        self.kernel = self.add_weight(
            shape=(self.kernel_size, input_shape[-1]),
            initializer=self.kernel_initializer,
            trainable=not self.fixed,
            name="kernel",
        )

    def state_spec(self, input_shape):
        if not self.causal or self.kernel_size == 1:
            return None
        return past_spec(input_shape, self.kernel_size - 1)

    def compute_output_shape(self, input_shape, of_pair=None):
        self._check_of_pair(of_pair, self.num_frames or input_shape[1])
        if self.equal_pairs == (of_pair is not None):
            return tuple(input_shape)
        axis = 0 if self.num_frames else 1
        frames = input_shape[axis]
        if frames is not None:
            frames = frames // 2 if of_pair else frames * 2
        return (*input_shape[:axis], frames, *input_shape[axis + 1 :])

    def compute_output_spec(self, inputs, state=None, of_pair=None):
        if of_pair is None and not self.equal_pairs:
            return super().compute_output_spec(inputs, state)
        shape = self.compute_output_shape(inputs.shape, of_pair)
        count = 2 if of_pair == "both" else 1
        outputs = tuple(keras.KerasTensor(shape, self.compute_dtype) for _ in range(count))
        return outputs if of_pair == "both" else outputs[0]

    def call(self, inputs, state=None, of_pair=None):
        self._check_of_pair(of_pair, self.num_frames or inputs.shape[1])
        x = ops.cast(inputs, self.compute_dtype)
        if self.num_frames is not None:
            x = ops.reshape(x, (-1, self.num_frames, *ops.shape(x)[1:]))
        if state is not None:
            return self._continue(x, state, of_pair)
        if of_pair is None:
            outputs = (join_pairs(*self._pairs(x)) if self.equal_pairs else self._blend([x], 0, 1),)
        else:
            outputs = self._pairs(x, OF_PAIR[:2] if of_pair == "both" else (of_pair,))
        if self.num_frames is not None:
            outputs = tuple(fold_frames(y) for y in outputs)
        return outputs if of_pair == "both" else outputs[0]

    def _pairs(self, x, wanted=OF_PAIR[:2]):
        """Return the outputs at the first, at the second, or at both frames of the pairs."""
        if self.equal_pairs:
            return tuple(self._blend([x], OF_PAIR.index(frame), 2) for frame in wanted)
        if _is_one_operation(self.blend):
            outputs = split_pairs(self._blend([x], 0, 1))
            return tuple(outputs[OF_PAIR.index(frame)] for frame in wanted)
        maps = split_pairs(x)
        return tuple(self._blend(maps, OF_PAIR.index(frame), 2) for frame in wanted)

    def _blend(self, maps, frame, group):
        taps = {}  # by map and distance in groups: the weights of all frames that lie there
        for i, distance in enumerate(self.distances):
            later, place = divmod(frame + distance, group)
            taps.setdefault((place if len(maps) > 1 else 0, later), []).append(self.kernel[i])
        return blend(maps, taps, self.blend, self._activation)

    def _continue(self, x, state, of_pair):
        if of_pair is not None:
            raise ValueError(f"of_pair: expected None if there is a state, got {of_pair!r}.")
        self.check_state(state, x.shape)
        frames = ops.shape(x)[1]
        video, state = with_past(x, state, self.kernel_size - 1)
        taps = {(0, i): [self.kernel[i]] for i in range(self.kernel_size)}
        return blend([video], taps, self.blend, self._activation, frames), state

    def _check_of_pair(self, of_pair, frames):
        if check_choice("of_pair", of_pair, (None, *OF_PAIR)) is None:
            return
        if not self.equal_pairs and frames is not None and frames % 2:
            raise ValueError(f"{self.name}: expected an even number of frames, got {frames}.")

    def get_config(self):
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size,
            "blend": self.blend,
            "activation": self.activation,
            "causal": self.causal,
            "equal_pairs": self.equal_pairs,
            "num_frames": self.num_frames,
            "fixed": self.fixed,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


def blend(maps, taps, mode, activation, frames=None):
    """Blend frames of videos, each weighted by channel; zeros lie around the videos.

    Args:
        maps: list of videos `(batch, frames, height, width, channels)`.
        taps: `{(number of a video, distance): list of weights (channels,)}`: output frame `t` is
            made from frame `t + distance` of that video.
        mode: `"sum"`, or `"max"` for the largest of the weighted frames.
        activation: function, or `None`.
        frames: number of output frames. If given, no zeros are added: the videos must hold all
            frames that are needed. Default: the number of frames of the videos.

    Returns:
        A tensor `(batch, frames, height, width, channels)`.
    """
    pads = [_pads(taps, place) if frames is None else (0, 0) for place in range(len(maps))]
    frames = ops.shape(maps[0])[1] if frames is None else frames
    if _is_one_operation(mode):
        kernel = ops.stack([sum(taps[0, later]) for later in sorted(later for _, later in taps)])
        return _blend_image(maps[0], kernel, pads[0], frames, activation)
    padded = [pad_frames(x, *pad) for x, pad in zip(maps, pads, strict=True)]
    y = None
    for (place, later), weights in taps.items():
        piece = backend.slice_frames(padded[place], pads[place][0] + later, frames)
        # Weights of the same frame are added up, unless the largest term counts.
        for weight in [sum(weights)] if mode == "sum" else weights:
            y = _add(y, piece, ops.cast(weight, piece.dtype), mode)
    return y if activation is None else activation(y)


def _is_one_operation(mode):
    """Return whether the frames of one video are blended by a single operation."""
    return mode == "sum" and backend.frames_as_image()


def _pads(taps, place):
    """Return how many frames of zeros are needed in front of and behind a video."""
    distances = [later for number, later in taps if number == place]
    return max(0, -min(distances, default=0)), max(0, max(distances, default=0))


def _blend_image(x, kernel, pads, frames, activation):
    """Blend by a depthwise convolution of frames by pixels: one pass instead of six."""
    batch, there, height, width, channels = ops.shape(x)
    image = ops.reshape(x, (batch, there, height * width, channels))
    y = backend.depthwise_image(image, ops.cast(kernel, x.dtype), pads)
    # Activation before the reshape: TensorFlow fuses it then.
    y = y if activation is None else activation(y)
    leading = (-1, frames) if isinstance(frames, int) else (batch, -1)
    return ops.reshape(y, (*leading, height, width, channels))


def _add(y, piece, weight, mode):
    if y is None:
        return piece * weight
    if mode == "max":
        return ops.maximum(y, piece * weight)
    return backend.add_product(y, piece, weight)
