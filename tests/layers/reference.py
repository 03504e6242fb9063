"""Slow convolution, pooling and batch norm in float64, as loops that follow the papers."""

import numpy as np


def same_padding(size, kernel, stride):
    """Return zeros before and after, and the output size, by the `same` rule of TensorFlow."""
    out = -(-size // stride)
    total = max((out - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2, out


def symmetric_padding(size, kernel, stride):
    """Return zeros before and after, and the output size, by the rule of PyTorch."""
    half = kernel // 2
    return half, half, (size + 2 * half - kernel) // stride + 1


def convolve(x, kernel, strides=(1, 1), causal=False, groups=1, bias=None, symmetric=False):
    """3D convolution of `(batch, frames, height, width, channels)`, one output pixel at a time.

    The strides are those over height and width, or three with that over frames in front.
    """
    padding = symmetric_padding if symmetric else same_padding
    x, kernel = np.asarray(x, "float64"), np.asarray(kernel, "float64")
    *frame_stride, rows, columns = strides
    frame_stride, strides = (frame_stride or [1])[0], (rows, columns)
    past = kernel.shape[0] - 1
    top, bottom, height = padding(x.shape[2], kernel.shape[1], strides[0])
    left, right, width = padding(x.shape[3], kernel.shape[2], strides[1])
    *time, frames = padding(x.shape[1], kernel.shape[0], frame_stride)
    time = (past, 0) if causal else time
    x = np.pad(x, ((0, 0), time, (top, bottom), (left, right), (0, 0)))
    batch = x.shape[0]
    filters = kernel.shape[-1]
    inputs, outputs = kernel.shape[3], filters // groups
    y = np.zeros((batch, frames, height, width, filters))
    for t in range(frames):
        for i in range(height):
            for j in range(width):
                row, column = i * strides[0], j * strides[1]
                first = t * frame_stride
                window = x[:, first : first + past + 1, row : row + kernel.shape[1]]
                window = window[:, :, :, column : column + kernel.shape[2]]
                for g in range(groups):
                    piece = window[..., g * inputs : (g + 1) * inputs].reshape(batch, -1)
                    taps = kernel[..., g * outputs : (g + 1) * outputs].reshape(-1, outputs)
                    y[:, t, i, j, g * outputs : (g + 1) * outputs] = piece @ taps
    return y if bias is None else y + np.asarray(bias, "float64")


def batch_norm(y, gamma, beta, mean, variance, epsilon=1e-3):
    """Batch norm of the last axis."""
    return gamma * (y - mean) / np.sqrt(variance + epsilon) + beta


def average_pool(x, size, stride):
    """Average the real pixels of every window; the padding does not count."""
    x = np.asarray(x, "float64")
    top, _, height = same_padding(x.shape[2], size, stride)
    left, _, width = same_padding(x.shape[3], size, stride)
    y = np.zeros((*x.shape[:2], height, width, x.shape[-1]))
    for i in range(height):
        for j in range(width):
            rows = slice(max(i * stride - top, 0), max(i * stride - top + size, 0))
            columns = slice(max(j * stride - left, 0), max(j * stride - left + size, 0))
            y[:, :, i, j] = x[:, :, rows, columns].mean((2, 3))
    return y


def activate(name, x):
    """Activations and gates as formulas (movinet.md 1.1 and 2.4)."""
    sigmoid = 1 / (1 + np.exp(-x))
    return {
        None: x,
        "relu": np.maximum(x, 0),
        "relu6": np.clip(x, 0, 6),
        "swish": x * sigmoid,
        "hard_swish": x * np.clip(x + 3, 0, 6) / 6,
        "sigmoid": sigmoid,
        "hard_sigmoid": np.clip(x + 3, 0, 6) / 6,
        "hard_sigmoid_keras2": np.clip(0.2 * x + 0.5, 0, 1),
        "hard_sigmoid_tf_models": np.clip(x + 3, 0, 6) * 0.16667,
    }[name]
