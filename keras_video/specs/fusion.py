"""Rows that bring a dense stream's video to the frames of a sparse one, and their names."""

from dataclasses import dataclass

from keras_video.specs.primitives import Conv, Row


class TimeStridedConv(Conv):
    """A convolution over frames with a stride; by `make` the one of SlowFast."""

    @classmethod
    def make(cls, name, channels, stride):
        """Five frames of the dense stream to one of twice its channels, every `stride` frames."""
        return cls(name, channels, 2 * channels, (5, 1, 1), (stride, 1, 1))


@dataclass(frozen=True)
class _Rearrangement(Row):
    """What picks or packs frames: no weights, no multiply-adds."""

    name: str
    channels: int
    stride: int

    @classmethod
    def make(cls, name, channels, stride):
        """The row for a stream of `channels`."""
        return cls(name, channels, stride)

    @property
    def filters(self):
        """int, channels that come out."""
        return self.channels

    def weight_shapes(self):
        return {}

    def output_shape(self, shape):
        return (shape[0] // self.stride, *shape[1:3], self.filters)

    def macs(self, shape):
        return 0


class TimeStridedSampling(_Rearrangement):
    """Every `stride`-th frame."""


class TimeToChannel(_Rearrangement):
    """The `stride` frames of every window side by side in the channels."""

    @property
    def filters(self):
        return self.channels * self.stride


# The fusions of SlowFast (Feichtenhofer et al. 2019, section 3.3) by their names in a spec.
FUSIONS = {
    "none": None,
    "time_strided_conv": TimeStridedConv,
    "time_to_channel": TimeToChannel,
    "time_strided_sampling": TimeStridedSampling,
}
