"""What a model wants to see: `VideoInput`, kept in `model.info` and in exported files."""

import math
from dataclasses import dataclass, replace

from keras_video.checks import check_choice, check_int, check_number, check_rate

SAMPLING = ("window", "strided", "multi_clip", "segments", "blvnet_tam", "tvn", "whole")
WINDOWS = ("window", "strided", "multi_clip", "tvn")  # frames at a fixed distance
# Keys of `info` that pass to another form of a model: about its clips, and about its answers.
CLIP_KEYS = ("clip", "frame_rate", "frame_stride", "step", "resize_side", "crop", "sampling")
ANSWER_KEYS = ("labels", "measured", "multi_label")


@dataclass(frozen=True)
class VideoInput:
    """The clips that a model was made for, and how they are cut out of a video.

    Args:
        frames: int, frames of a clip, `None` if not known. A stream takes any number; this is the
            clip that it was trained or measured on.
        height, width: ints, size of the frames in pixels, or `None`.
        frame_rate: number, frames per second at which the video is read; `None` for its own rate.
        frame_stride: int, distance of two frames of the clip, counted in frames at that rate.
        sampling: string, the sampling rule, as in `keras_video.data.VideoDataset`.
        resize_side: int, length to which the smaller side is resized before `height` and `width`
            are cut out; `None` resizes no further than needed.
        crop: bool. `True` keeps the aspect ratio and cuts out the centre, `False` squeezes.
        pixels: 255 or 1, the largest value of a pixel; `None` for pixels that are normalised by
            `mean` and `std`.
        mean, std: numbers or tuples of them, for pixels in [0, 1]: `(pixel - mean) / std`.

    Raises:
        ValueError: if a value is invalid.
    """

    frames: int | None = None
    height: int | None = None
    width: int | None = None
    frame_rate: float | None = None
    frame_stride: int = 1
    sampling: str = "window"
    resize_side: int | None = None
    crop: bool = True
    pixels: int | None = 255
    mean: tuple | float | None = None
    std: tuple | float | None = None

    def __post_init__(self):
        for name in ("frames", "height", "width", "resize_side"):
            if getattr(self, name) is not None:
                check_int(name, getattr(self, name))
        check_rate("frame_rate", self.frame_rate, none=True)
        check_int("frame_stride", self.frame_stride)
        check_choice("sampling", self.sampling, SAMPLING)
        check_choice("crop", self.crop, (True, False))
        check_choice("pixels", self.pixels, (255, 1, None))

    @property
    def size(self):
        """`(height, width)`, or `None` if one of them is not known."""
        return None if None in (self.height, self.width) else (self.height, self.width)

    @property
    def spread(self):
        """bool, whether the frames are spread over the video instead of having a distance."""
        return self.sampling not in WINDOWS

    def rate(self, video_rate):
        """Return how many frames per second are taken from a video of `video_rate`."""
        check_number("video_rate", video_rate, above=0)
        return (self.frame_rate or video_rate) / self.frame_stride

    def clip_options(self):
        """Return the arguments of `VideoDataset` that cut out these clips, as far as known."""
        options = {
            "num_frames": self.frames,
            "image_size": self.size,
            "frame_rate": self.frame_rate,
            "step": self.frame_stride,
            "sampling": self.sampling,
            "resize_side": self.resize_side,
            "crop_to_aspect_ratio": self.crop,
        }
        kept = {"frame_rate", "resize_side"}  # there, `None` is a value
        return {k: v for k, v in options.items() if v is not None or k in kept}

    def with_clip_options(self, options):
        """Return the input for clips of a data set, the reverse of `clip_options`."""
        height, width = options["image_size"]
        return replace(
            self,
            frames=options["num_frames"],
            height=height,
            width=width,
            frame_rate=options["frame_rate"],
            frame_stride=options["step"],
            sampling=options["sampling"],
            resize_side=options["resize_side"],
            crop=options["crop_to_aspect_ratio"],
        )

    def to_info(self, channels=3):
        """Return the entries of `model.info` that `from_info` reads."""
        return {
            "clip": [self.frames, self.height, self.width, channels],
            "frame_rate": self.frame_rate,
            "frame_stride": self.frame_stride,
            "step": self.frame_stride,
            "resize_side": self.resize_side,
            "crop": self.crop,
            "sampling": None if self.sampling == "window" else self.sampling,
            "pixels": self.pixels,
            "mean": list(self.mean) if isinstance(self.mean, tuple) else self.mean,
            "std": list(self.std) if isinstance(self.std, tuple) else self.std,
        }

    @classmethod
    def from_info(cls, info):
        """Read the `info` of a model, or the description in a LiteRT file.

        Returns:
            `VideoInput`, or `None` if the model was not made by this library.
        """
        clip = info.get("clip") or [info.get(key) for key in ("frames", "height", "width")]
        if all(value is None for value in clip[:3]):
            return None
        rate = info.get("frame_rate")
        # Old files may have both a rate and a stride; then the rate is that of the clip.
        stride = info.get("step") or (1 if rate else info.get("frame_stride") or 1)
        return cls(
            *clip[:3],
            frame_rate=rate,
            frame_stride=stride,
            sampling=info.get("sampling") or "window",
            resize_side=info.get("resize_side"),
            crop=info.get("crop", True),
            pixels=info.get("pixels", 255),
            mean=_frozen(info.get("mean")),
            std=_frozen(info.get("std", info.get("deviation"))),
        )

    def __str__(self):
        """Describe the clip, as in `50 frames of 172 x 172 at 5 frames/s`."""
        frames = "frames" if self.frames is None else f"{self.frames} frames"
        size = f" of {self.width} x {self.height}" if self.size else ""
        if self.spread:
            return f"{frames}{size} spread over the video"
        if self.frame_rate:
            rate = self.frame_rate / self.frame_stride
            return f"{frames}{size} at {round(rate, 6):g} frames/s"
        every = "every frame" if self.frame_stride == 1 else f"1 frame of {self.frame_stride}"
        return f"{frames}{size}, {every}"


def _frozen(value):
    if value is None or isinstance(value, (int, float)):
        return value if value is None or math.isfinite(value) else None
    return tuple(value)
