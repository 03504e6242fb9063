"""Operations on one clip `(frames, height, width, 3)` that treat all of its frames alike.

Operations on colors take float32 in 0..255 and may leave that range; `base.to_dtype` limits the
result. Operations that use statistics of the image (contrast, auto-contrast, equalize) compute them
over the whole clip: a pixel value is then mapped to the same value in every frame, and the clip
does not flicker.
"""

import numpy as np

from keras_video.data.augmentation.base import to_dtype

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as in image libraries


def resize(frames, size):
    """Resize by bilinear interpolation between pixel centres, without antialiasing.

    The result is that of `keras.ops.image.resize(antialias=False)` and of OpenCV. NumPy is used so
    that worker processes need no backend.

    Args:
        frames: array `(..., height, width, channels)`, uint8 or float.
        size: `(height, width)` of the result.

    Returns:
        Array `(..., *size, channels)` of the same dtype.
    """
    *lead, height, width, channels = frames.shape
    values = frames.reshape(-1, height, width * channels)
    if width != size[1]:  # the width first, while the values are still those of `frames`
        low, part = _neighbours(width, size[1])
        high = np.minimum(low + 1, width - 1)
        low, high = ((n[:, None] * channels + np.arange(channels)).ravel() for n in (low, high))
        values = _between(values.take(low, 2), values.take(high, 2), part.repeat(channels))
    if height != size[0]:
        low, part = _neighbours(height, size[0])
        high = np.minimum(low + 1, height - 1)
        values = _between(values.take(low, 1), values.take(high, 1), part[:, None])
    if frames.dtype == np.uint8 and values.dtype != np.uint8:
        values = np.rint(values, out=values)
    return values.astype(frames.dtype, copy=False).reshape(*lead, *size, channels)


def warp(frames, matrix, fill):
    """Move pixels by an affine map, with bilinear interpolation.

    Args:
        frames: array `(frames, height, width, 3)`, uint8 or float.
        matrix: array `(2, 3)`. The new value at `(x, y)` is the old one at `matrix @ (x, y, 1)`, in
            pixels from the centre of the frame.
        fill: number, value of the pixels from outside of the frame.

    Returns:
        Array of the shape and dtype of `frames`.
    """
    count, height, width, channels = frames.shape
    middle = (width - 1) / 2, (height - 1) / 2
    y, x = np.mgrid[:height, :width] - np.array(middle[::-1]).reshape(2, 1, 1)
    source = np.tensordot(matrix, np.stack([x, y, np.ones_like(x)]), 1)
    padded = np.full((count, height + 2, width + 2, channels), fill, frames.dtype)
    padded[:, 1:-1, 1:-1] = frames
    x = np.clip(source[0] + middle[0], -1, width)
    y = np.clip(source[1] + middle[1], -1, height)
    left = np.minimum(np.floor(x).astype(int), width - 1)
    top = np.minimum(np.floor(y).astype(int), height - 1)
    corner = (
        ((top + 1) * (width + 2) + left + 1)[..., None] * channels + np.arange(channels)
    ).ravel()
    x, y = (n.astype(np.float32).ravel().repeat(channels) for n in (x - left, y - top))
    flat, below = padded.reshape(count, -1), (width + 2) * channels

    def row(first):
        return _between(flat.take(first, 1), flat.take(first + channels, 1), x)

    out = _between(row(corner), row(corner + below), y)
    return to_dtype(out, frames.dtype).reshape(frames.shape)


def brightness(clip, factor):
    """Multiply all values; a factor of 0 gives black, 1 the clip itself."""
    return clip * np.float32(factor)


def contrast(clip, factor):
    """Scale the distance of all values from the mean brightness of the clip; 0 gives gray."""
    return _blend(np.mean(clip @ LUMA, dtype=np.float64), clip, factor)


def saturation(clip, factor):
    """Scale the distance of the colors from gray of the same brightness; 0 gives a gray clip."""
    return _blend((clip @ LUMA)[..., None], clip, factor)


def sharpness(clip, factor):
    """Scale the distance of the values from a smoothed frame (3x3, centre weight 5 of 13).

    The pixels of the border do not change.
    """
    out = clip.copy()
    rows = clip[:, :-2] + clip[:, 1:-1] + clip[:, 2:]
    inner = clip[:, 1:-1, 1:-1]
    smooth = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:] + 4 * inner
    out[:, 1:-1, 1:-1] = _blend(smooth / np.float32(13), inner, factor)
    return out


def hue(clip, turn):
    """Rotate the hue of the HSV model by `turn`, a fraction of the full circle."""
    red, green, blue = np.ascontiguousarray(np.moveaxis(clip, -1, 0))
    high = np.maximum(np.maximum(red, green), blue)
    low = np.minimum(np.minimum(red, green), blue)
    chroma = high - low
    some = np.where(chroma > 0, chroma, 1)
    sixth = np.where(
        high == red,
        (green - blue) / some,
        np.where(high == green, 2 + (blue - red) / some, 4 + (red - green) / some),
    ) + np.float32(6 * turn)
    out = np.empty_like(clip)
    for channel, start in enumerate((5, 3, 1)):
        place = sixth + start
        place -= 6 * np.floor(place / 6)  # several times faster than %
        out[..., channel] = high - chroma * np.clip(np.minimum(place, 4 - place), 0, 1)
    return out


def solarize(clip, threshold):
    """Invert the values of at least `threshold`; 256 does not change the clip."""
    return np.where(clip < threshold, clip, 255 - clip)


def posterize(clip, bits):
    """Keep the upper `bits` (0 to 8) of the eight bits of each value."""
    step = 2 ** (8 - bits)
    return np.floor(clip / np.float32(step)) * np.float32(step)


def auto_contrast(clip):
    """Stretch each channel from its minimum and maximum in the clip to 0..255."""
    out = np.empty_like(clip)
    for channel in range(clip.shape[-1]):
        values = clip[..., channel]
        low, high = values.min(), values.max()
        scale = np.float32(255) / (high - low) if high > low else np.float32(1)
        out[..., channel] = (values - (low if high > low else 0)) * scale
    return out


def equalize(clip):
    """Spread the values of each channel evenly over 0..255, by its histogram over the clip."""
    levels = to_dtype(clip, np.dtype(np.uint8))
    out = np.empty_like(clip)
    for channel in range(clip.shape[-1]):
        histogram = np.bincount(levels[..., channel].ravel(), minlength=256)
        step = (histogram.sum() - histogram[histogram > 0][-1]) // 255
        table = np.arange(256)
        if step:  # otherwise all pixels have the same value
            below = np.cumsum(histogram) - histogram
            table = np.minimum((step // 2 + below) // step, 255)
        out[..., channel] = table[levels[..., channel]]
    return out


def _blend(base, clip, factor):
    return base + np.float32(factor) * (clip - np.float32(base))


def _neighbours(old, new):
    """Return, for each of `new` pixels on a side of `old`, the pixel before it and the distance."""
    centre = np.clip((np.arange(new) + 0.5) * (old / new) - 0.5, 0, old - 1)
    low = centre.astype(int)
    return low, (centre - low).astype(np.float32)


def _between(first, second, part):
    """Return `first + part * (second - first)` in float32, computed in place."""
    out = np.subtract(second, first, dtype=np.float32)
    out *= part
    out += first
    return out
