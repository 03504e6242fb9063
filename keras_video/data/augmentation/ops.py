"""Operations on one clip `(frames, height, width, 3)` that treat all of its frames alike.

Those on colours take float32 in 0..255 and may leave that range; `to_dtype` of `augmentation_base`
brings the result back. Where an operation rests on the statistics of an image (contrast,
auto-contrast, equalisation), these are taken over the whole clip: a pixel value is then mapped to
the same value in every frame, and the clip does not flicker.
"""

import numpy as np

from keras_video.data.augmentation.base import to_dtype

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as in image libraries


def resize(frames, size):
    """Resizes by bilinear interpolation between pixel centres, without smoothing.

    The rule of `keras.ops.image.resize` without antialiasing, and of OpenCV; in NumPy, so that
    worker processes need no backend.

    Args:
        frames: array `(..., height, width, channels)`, uint8 or float.
        size: `(height, width)` wanted.

    Returns:
        array `(..., *size, channels)` of the same dtype.
    """
    *lead, height, width, channels = frames.shape
    values = frames.reshape(-1, height, width * channels)
    if width != size[1]:  # first, on integers where frames are
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
    """Takes each pixel from where an affine map sends it, by bilinear interpolation.

    Args:
        frames: array `(frames, height, width, 3)`, uint8 or float.
        matrix: array `(2, 3)`; the value at `(x, y)` is the one at `matrix @ (x, y, 1)`, in pixels
            from the centre of the frame.
        fill: number, the value of all that lies outside.

    Returns:
        array of the shape and dtype of `frames`.
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
    """Multiplies all values; 0 gives black, 1 the clip itself."""
    return clip * np.float32(factor)


def contrast(clip, factor):
    """Moves all values away from the mean brightness of the clip; 0 gives grey."""
    return _blend(np.mean(clip @ LUMA, dtype=np.float64), clip, factor)


def saturation(clip, factor):
    """Moves colours away from the grey of the same brightness; 0 gives a black-and-white clip."""
    return _blend((clip @ LUMA)[..., None], clip, factor)


def sharpness(clip, factor):
    """Moves values away from those of the smoothed frame (3x3, centre weight 5 of 13).

    The outermost pixels stay as they are.
    """
    out = clip.copy()
    rows = clip[:, :-2] + clip[:, 1:-1] + clip[:, 2:]
    inner = clip[:, 1:-1, 1:-1]
    smooth = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:] + 4 * inner
    out[:, 1:-1, 1:-1] = _blend(smooth / np.float32(13), inner, factor)
    return out


def hue(clip, turn):
    """Turns the hue of the hexcone model (HSV) by a part of the full circle."""
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
        place -= 6 * np.floor(place / 6)  # several times as fast as %
        out[..., channel] = high - chroma * np.clip(np.minimum(place, 4 - place), 0, 1)
    return out


def solarize(clip, threshold):
    """Inverts the values from `threshold` on; 256 leaves the clip as it is."""
    return np.where(clip < threshold, clip, 255 - clip)


def posterize(clip, bits):
    """Keeps the upper `bits` (0 to 8) of the eight of each value."""
    step = 2 ** (8 - bits)
    return np.floor(clip / np.float32(step)) * np.float32(step)


def auto_contrast(clip):
    """Stretches each channel to 0..255, by its least and greatest value in the clip."""
    out = np.empty_like(clip)
    for channel in range(clip.shape[-1]):
        values = clip[..., channel]
        low, high = values.min(), values.max()
        scale = np.float32(255) / (high - low) if high > low else np.float32(1)
        out[..., channel] = (values - (low if high > low else 0)) * scale
    return out


def equalize(clip):
    """Spreads the values of each channel evenly over 0..255, by its histogram over the clip."""
    levels = to_dtype(clip, np.dtype(np.uint8))
    out = np.empty_like(clip)
    for channel in range(clip.shape[-1]):
        histogram = np.bincount(levels[..., channel].ravel(), minlength=256)
        step = (histogram.sum() - histogram[histogram > 0][-1]) // 255
        table = np.arange(256)
        if step:  # else there is nothing to spread
            below = np.cumsum(histogram) - histogram
            table = np.minimum((step // 2 + below) // step, 255)
        out[..., channel] = table[levels[..., channel]]
    return out


def _blend(base, clip, factor):
    return base + np.float32(factor) * (clip - np.float32(base))


def _neighbours(old, new):
    """For each of `new` pixels along a side of `old`: the pixel before its centre, and how far."""
    centre = np.clip((np.arange(new) + 0.5) * (old / new) - 0.5, 0, old - 1)
    low = centre.astype(int)
    return low, (centre - low).astype(np.float32)


def _between(first, second, part):
    """`first + part * (second - first)` in float32, in the memory of the difference."""
    out = np.subtract(second, first, dtype=np.float32)
    out *= part
    out += first
    return out
