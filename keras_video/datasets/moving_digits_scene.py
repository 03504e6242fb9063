"""Drawing of the moving-digits videos with NumPy: digits, motions and the scene."""

import functools
import math

import numpy as np

from keras_video.checks import missing_extra

SPRITE = 96  # side of an enlarged digit, in pixels
TRAIN_DIGITS = 1437  # scikit-learn digits 0..1436 train, 1437..1796 test


@functools.cache
def digit_images(split):
    """Return the 8x8 digits of one split.

    Args:
        split: `"train"` (scikit-learn digits 0 to 1436) or `"test"` (1437 to
            1796).

    Returns:
        float32 array `(digits, 8, 8)`, values in `[0, 1]`.

    Raises:
        ImportError: if scikit-learn is missing.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        what = "moving_digits takes its digits from scikit-learn, which is not installed."
        raise missing_extra(what, "datasets") from error
    images = (load_digits().images / 16).astype("float32")
    return images[:TRAIN_DIGITS] if split == "train" else images[TRAIN_DIGITS:]


@functools.lru_cache(maxsize=64)
def _resample_matrix(new, old):
    """Return the matrix `(new, old)` of Catmull-Rom interpolation from `old` to `new` samples."""
    position = (np.arange(new) + 0.5) * old / new - 0.5
    d = np.abs(position[:, None] - np.arange(-1, old + 1))  # one sample of padding on each side
    near, far = 1.5 * d**3 - 2.5 * d**2 + 1, -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
    weights = np.where(d < 1, near, np.where(d < 2, far, 0))
    weights[:, 1] += weights[:, 0]  # the padding repeats the edge
    weights[:, -2] += weights[:, -1]
    matrix = weights[:, 1:-1]
    return (matrix / matrix.sum(1, keepdims=True)).astype("float32")


def digit_sprite(image):
    """Return a digit as an opacity map `(SPRITE, SPRITE)` in `[0, 1]`, zero on its border."""
    padded = np.zeros((10, 10), "float32")
    padded[1:9, 1:9] = image
    resample = _resample_matrix(SPRITE, 10)
    smooth = resample @ padded @ resample.T
    return np.clip(2.5 * smooth - 0.6, 0, 1)


# Motions of the even classes. `law(rng, progress)` draws poses of shape (2 digits, frames, 5) with
# the columns x, y, size, angle, opacity. The unit of length is the short side of the frame, the
# origin is its centre, and y points down. `progress` goes from 0 to 1.


def _still(rng, frames):
    """Draw two almost upright digits near the centre, the second one invisible."""
    poses = np.zeros((2, frames, 5))
    poses[:, :, 0:2] = rng.uniform(-0.08, 0.08, 2)
    poses[:, :, 2] = rng.uniform(0.42, 0.54)
    poses[:, :, 3] = rng.uniform(-15, 15, (2, 1))
    poses[0, :, 4] = 1
    return poses


def _limited_turn(rng, low, high, frames):
    """Draw the rotation over the clip in degrees, at most 60 from one frame to the next."""
    return min(rng.uniform(low, high), 60 * (frames - 1))


def _translation(degrees):
    def law(rng, progress):
        poses = _still(rng, len(progress))
        heading = math.radians(degrees + rng.uniform(-12, 12))
        forward = (progress - 0.5) * rng.uniform(0.5, 0.7)
        aside = rng.uniform(-0.15, 0.15)
        poses[:, :, 0] += forward * math.cos(heading) - aside * math.sin(heading)
        poses[:, :, 1] += forward * math.sin(heading) + aside * math.cos(heading)
        poses[:, :, 2] *= 0.9
        return poses

    return law


def _zoom(rng, progress):
    poses = _still(rng, len(progress))
    small, large = rng.uniform(0.2, 0.28), rng.uniform(0.75, 0.95)
    poses[:, :, 2] = small * (large / small) ** progress
    return poses


def _rotation(rng, progress):
    poses = _still(rng, len(progress))
    turn = _limited_turn(rng, 180, 300, len(progress))
    poses[:, :, 3] = rng.uniform(0, 360) + turn * progress
    poses[:, :, 2] *= 1.2
    return poses


def _orbit(rng, progress):
    poses = _still(rng, len(progress))
    turn = _limited_turn(rng, 300, 420, len(progress))
    phase = np.radians(rng.uniform(0, 360) + turn * progress)
    radius = rng.uniform(0.22, 0.3)
    poses[:, :, 0] += radius * np.cos(phase)
    poses[:, :, 1] += radius * np.sin(phase)
    poses[:, :, 2] *= 0.8
    return poses


def _meeting(rng, progress):
    poses = _still(rng, len(progress))
    axis = rng.uniform(0, 2 * math.pi)
    far, near = rng.uniform(0.36, 0.46), rng.uniform(0.08, 0.14)
    distance = far + (near - far) * progress
    for path, side in zip(poses, (-1, 1), strict=True):
        path[:, 0] += side * distance * math.cos(axis)
        path[:, 1] += side * distance * math.sin(axis)
    poses[:, :, 2] *= 0.75
    poses[:, :, 4] = 1
    return poses


def _fade(rng, progress):
    poses = _still(rng, len(progress))
    poses[0, :, 4] = progress
    return poses


LAWS = (
    _translation(180),
    _translation(-90),
    _translation(-135),
    _zoom,
    _rotation,
    _orbit,
    _meeting,
    _fade,
)


def draw_poses(label, rng, num_frames):
    """Draw the paths of both digits for one motion.

    Args:
        label: int in `[0, 16)`. An odd label gives the reversed path of the even
            label below it.
        rng: `numpy.random.Generator`.
        num_frames: int, at least 2.

    Returns:
        float array `(2, num_frames, 5)`: x, y, size, angle in degrees
        (clockwise), opacity. The unit of length is the short side of the frame.
    """
    time = np.linspace(0, 1, num_frames)
    progress = time + rng.uniform(-0.5, 0.5) * np.sin(2 * np.pi * time) / (2 * np.pi)
    poses = LAWS[label // 2](rng, progress)
    poses[:, :, 0:2] += np.outer(time - 0.5, rng.uniform(-0.06, 0.06, 2))  # a slow drift
    return poses[:, ::-1] if label % 2 else poses


class Scene:
    """Everything in a video except the motion: digits, colors, background, light, distractors.

    The constructor draws all of it except for the pixel noise, which `render` draws.

    Args:
        rng: `numpy.random.Generator`, used by the constructor and by `render`.
        size: `(height, width)` in pixels.
        split: `"train"` or `"test"`, the origin of the digits.
    """

    def __init__(self, rng, size, split):
        self.rng, self.size = rng, size
        digits = digit_images(split)
        self.sprites = [digit_sprite(digits[i]) for i in rng.integers(len(digits), size=2)]
        base = rng.uniform(60, 195)
        contrast = rng.uniform(85, 130) * (1 if base < 127 else -1)
        colors = base + contrast + rng.uniform(-35, 35, (2, 3))
        self.colors = np.clip(colors, 0, 255).astype("float32")
        self.drift = rng.uniform(-0.05, 0.05, 2) * min(size)  # background, pixels per video
        self.light = rng.uniform((0.03, 0.3, 0), (0.15, 1.0, 2 * np.pi))  # swing, cycles, phase
        self.noise = rng.uniform(8, 36)  # peak to peak
        self.blobs = rng.uniform(
            (-0.45, -0.45, -0.07, -0.07, 0.02, -70), (0.45, 0.45, 0.07, 0.07, 0.045, 70), (2, 6)
        )  # x, y, drift x, drift y, radius, brightness
        self.background = self._background(base)

    def _background(self, base):
        """Draw a textured canvas `(3, height + margin, width + margin)` with fixed distractors."""
        rng, side = self.rng, min(self.size)
        margin = 2 * math.ceil(0.05 * side)
        height, width = (length + margin for length in self.size)
        y = (np.arange(height, dtype="float32")[:, None] - height / 2) / side
        x = (np.arange(width, dtype="float32") - width / 2) / side
        coarse = rng.uniform(-35, 35, (3, 6, 6)).astype("float32")
        fine = rng.uniform(-14, 14, (24, 24)).astype("float32")
        canvas = _resample_matrix(height, 6) @ coarse @ _resample_matrix(width, 6).T
        gray = _resample_matrix(height, 24) @ fine @ _resample_matrix(width, 24).T + base
        kx, ky, phase, strength = rng.uniform((-40, -40, 0, 3), (40, 40, 2 * np.pi, 15))
        gray += strength * np.sin(kx * x + ky * y + phase, dtype="float32")
        for angle, offset, thickness, brightness in rng.uniform(
            (0, -0.45, 0.008, -55), (np.pi, 0.45, 0.016, 55), (2, 4)
        ):  # lines across the background
            line = np.abs(math.cos(angle) * x + math.sin(angle) * y - offset) < thickness
            gray += brightness * line.astype("float32")
        return canvas + gray

    def render(self, poses):
        """Draw the video.

        Args:
            poses: float array `(2, frames, 5)`, see `draw_poses`.

        Returns:
            uint8 array `(frames, height, width, 3)`.
        """
        height, width = self.size
        time = np.linspace(0, 1, poses.shape[1])
        margin = np.array(self.background.shape[1:]) - self.size
        shifts = np.rint(margin / 2 + np.outer(time - 0.5, self.drift)).astype(int)
        frames = np.empty((len(time), 3, height, width), "float32")
        for frame, (top, left) in zip(frames, shifts, strict=True):
            frame[:] = self.background[:, top : top + height, left : left + width]
        self._add_blobs(frames, time)
        for sprite, color, path in zip(self.sprites, self.colors, poses, strict=True):
            if path[:, 4].any():
                _add_digit(frames, sprite, color, path)
        swing, cycles, phase = self.light
        gain = 1 + swing * np.sin(2 * np.pi * cycles * time + phase)
        frames *= gain.astype("float32")[:, None, None, None]
        noise = np.frombuffer(self.rng.bytes(frames.size), "uint8").reshape(frames.shape)
        frames += np.multiply(noise, np.float32(self.noise / 255), dtype="float32")
        frames -= np.float32(self.noise / 2)
        np.clip(frames, 0, 255, out=frames)
        video = np.empty((len(time), height, width, 3), "uint8")
        for channel in range(3):
            np.copyto(video[..., channel], frames[:, channel], casting="unsafe")
        return video

    def _add_blobs(self, frames, time):
        """Add small soft spots that drift slowly, each in its own direction."""
        (height, width), side = self.size, min(self.size)
        for x, y, drift_x, drift_y, radius, brightness in self.blobs:
            reach = math.ceil(2.5 * radius * side)
            local = np.arange(-reach, reach + 1)
            for t, frame in enumerate(frames):
                center_x = (x + drift_x * (time[t] - 0.5)) * side + (width - 1) / 2
                center_y = (y + drift_y * (time[t] - 0.5)) * side + (height - 1) / 2
                left, top = int(center_x) - reach, int(center_y) - reach
                bump_x = np.exp(-0.5 * ((local + int(center_x) - center_x) / (radius * side)) ** 2)
                bump_y = np.exp(-0.5 * ((local + int(center_y) - center_y) / (radius * side)) ** 2)
                spot = (brightness * bump_y[:, None] * bump_x).astype("float32")
                window, rows, columns = _clipped(top, left, spot.shape, (height, width))
                frame[:, rows, columns] += spot[window]


def _add_digit(frames, sprite, color, path):
    """Draw a digit onto `frames` `(frames, 3, height, width)` along `path` `(frames, 5)`."""
    height, width = frames.shape[2:]
    side = min(height, width)
    x, y, size, angle, opacity = path.T.astype("float32")[..., None]  # each (frames, 1)
    center_x, center_y = x * side + (width - 1) / 2, y * side + (height - 1) / 2
    left, top = np.floor(center_x).astype(int), np.floor(center_y).astype(int)
    reach = math.ceil(0.6 * float(size.max()) * side) + 1
    local = np.arange(-reach, reach + 1, dtype="float32")
    scale = SPRITE / (size * side)
    cosine, sine = np.cos(np.radians(angle)) * scale, np.sin(np.radians(angle)) * scale
    dx, dy = local + (left - center_x).astype("float32"), local + (top - center_y).astype("float32")
    # Place of each pixel of the window in the sprite. The sprite is smooth, so that its nearest
    # pixel is accurate enough.
    u = (cosine * dx)[:, None, :] + (sine * dy + SPRITE / 2)[:, :, None]
    v = (-sine * dx)[:, None, :] + (cosine * dy + SPRITE / 2)[:, :, None]
    np.clip(u, 0, SPRITE - 1, out=u)
    np.clip(v, 0, SPRITE - 1, out=v)
    position = v.astype("int32")
    position *= SPRITE
    position += u.astype("int32")
    alpha = sprite.ravel().take(position)
    alpha *= opacity[:, :, None]
    for t, frame in enumerate(frames):
        window, rows, columns = _clipped(
            int(top[t, 0]) - reach, int(left[t, 0]) - reach, alpha.shape[1:], (height, width)
        )
        patch = frame[:, rows, columns]
        patch += alpha[t][window] * (color[:, None, None] - patch)


def _clipped(top, left, shape, size):
    """Clip a window of `shape` at `(top, left)` to the frame.

    Returns:
        Slices of the window, slice of the frame's rows, slice of its columns.
    """
    rows = slice(max(top, 0), max(min(top + shape[0], size[0]), 0))
    columns = slice(max(left, 0), max(min(left + shape[1], size[1]), 0))
    window = (
        slice(rows.start - top, max(rows.stop - top, 0)),
        slice(columns.start - left, max(columns.stop - left, 0)),
    )
    return window, rows, columns
