"""`Stream`: a streaming model compiled for one frame after the other."""

import keras
from keras import ops, tree

from keras_video.models.folding import fold_batch_norm
from keras_video.specs import check_int


class Stream:
    """Runs a streaming model on live video: compiled once, state kept between steps.

    Uncompiled, a streamed frame costs mostly the overhead of hundreds of small operations. Here the
    step is compiled on the first call (again for each new chunk shape) and batch norm is folded.
    The weights are those of the model at the time of construction.

    Args:
        model: `VideoClassifier` built with `streaming=True`.
        batch_size: int, number of slots, that is of videos side by side.

    Attributes:
        state: the state as `model.init_state` describes it, `None` before the first step.
        frames_seen: int, frames per slot since construction or the last full reset.

    Example:
    >>> model = keras_video.applications.MoViNetA0(streaming=True, classes=10)
    >>> stream = keras_video.Stream(model)
    >>> stream.step(np.zeros((1, 1, 64, 64, 3))).shape
    (1, 10)
    """

    def __init__(self, model, batch_size=1):
        if not getattr(model, "streaming", False):
            raise ValueError(
                f"model: expected a streaming model, got {getattr(model, 'name', model)!r}. "
                "Build it with streaming=True."
            )
        check_int("batch_size", batch_size)
        self.model = fold_batch_norm(model)
        self.batch_size = batch_size
        self.state = None
        self.frames_seen = 0
        self._compiled = {}

    def step(self, frames):
        """Takes the next chunk of each slot's video.

        Args:
            frames: array `(batch_size, frames, height, width, 3)`; any number of frames, always
                the same height and width.

        Returns:
            Predictions `(batch_size, classes)` after the last frame.
        """
        self.model.check_frames(frames)
        frames = ops.convert_to_tensor(frames, dtype="float32")
        shape = tuple(frames.shape)
        if len(shape) != 5 or shape[0] != self.batch_size:
            raise ValueError(
                f"frames: expected shape ({self.batch_size}, frames, height, width, 3) for "
                f"batch_size={self.batch_size}, got {shape}."
            )
        if self.state is None:
            self.state = self.model.init_state(self.batch_size, *shape[2:4])
            self._size = shape[2:4]
        if shape[2:4] != self._size:
            raise ValueError(
                f"frames: this stream began with frames of {self._size[0]}x{self._size[1]} "
                f"pixels, got {shape[2]}x{shape[3]}. Call reset() to begin another."
            )
        if shape not in self._compiled:
            self._compiled[shape] = compile_step(self.model, frames, self.state)
        outputs, self.state = self._compiled[shape](frames, self.state)
        self.frames_seen += shape[1]
        return outputs

    def reset(self, slots=None):
        """Forgets the past.

        Args:
            slots: ints, the slots to restart while the others go on; `None` for all, which also
                allows another frame size.
        """
        if slots is None:
            self.state = None
            self.frames_seen = 0
            return
        slots = [slots] if isinstance(slots, int) else list(slots)
        if any(not isinstance(s, int) or not 0 <= s < self.batch_size for s in slots):
            raise ValueError(f"slots: expected ints in [0, {self.batch_size}), got {slots}.")
        if self.state is None:
            return
        keep = [0.0 if i in slots else 1.0 for i in range(self.batch_size)]

        def restart(tensor):
            mask = ops.reshape(ops.cast(keep, tensor.dtype), (-1,) + (1,) * (len(tensor.shape) - 1))
            return tensor * mask

        self.state = tree.map_structure(restart, self.state)

    @property
    def state_bytes(self):
        """int, memory of the state; it does not grow with the video. 0 before the first step."""
        tensors = [] if self.state is None else tree.flatten(self.state)
        return sum(4 * int(ops.size(tensor)) for tensor in tensors)


def compile_step(model, frames, state):
    """Compiles `(frames, state) -> (outputs, new_state)` for these shapes on the backend."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        signature = tree.map_structure(lambda t: tf.TensorSpec(t.shape, t.dtype), (frames, state))
        trainable, rest = ([v.numpy() for v in group] for group in _variables(model))

        def step(frames, state):
            # As constants, the weights need no reading and are laid out for the kernels once.
            weights = ([tf.constant(v) for v in group] for group in (trainable, rest))
            return model.stateless_call(*weights, frames, state)[0]

        return tf.function(step, input_signature=signature)
    if backend == "jax":
        import jax

        weights = ([v.value for v in group] for group in _variables(model))
        trainable, rest = weights
        step = jax.jit(lambda t, r, f, s: model.stateless_call(t, r, f, s)[0])
        return lambda f, s: step(trainable, rest, f, s)
    return _trace_torch(model, frames, state)


def _variables(model):
    return model.trainable_variables, model.non_trainable_variables


def _trace_torch(model, frames, state):
    """Records torch's operations once; replaying them skips Keras' overhead per layer."""
    import torch

    class Step(torch.nn.Module):
        def forward(self, frames, *flat):
            outputs, new = model(frames, tree.pack_sequence_as(state, list(flat)))
            return outputs, *tree.flatten(new)

    with torch.no_grad():
        traced = torch.jit.trace(Step(), (frames, *tree.flatten(state)), check_trace=False)
        traced = torch.jit.freeze(traced.eval())

    def step(frames, state):
        with torch.inference_mode():
            outputs, *flat = traced(frames, *tree.flatten(state))
        return outputs, tree.pack_sequence_as(state, flat)

    return step
