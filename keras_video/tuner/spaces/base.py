"""`Space`: what a search needs to know of a family of networks."""

from typing import NamedTuple

import keras_tuner

from keras_video.tuner.spaces.clips import adapt


class Slots(NamedTuple):
    """A group of copies that can grow and shrink, as the blocks of a network do.

    Args:
        count: name of the hyperparameter that says how many there are.
        prefix: what the names of a copy's hyperparameters begin with: `prefix`, a number, `"/"`.
        start: int, number of the first copy.
    """

    count: str
    prefix: str
    start: int = 0


class Space(keras_tuner.HyperModel):
    """A family of networks: hyperparameters, their costs without building, the built network.

    `values` is everywhere the plain dict of the active hyperparameters. Keys that begin with
    `"tuner/"` are the tuner's own.

    Attributes:
        name: string, written into the project, so that a search is not continued in another space.
        slots: tuple of `Slots`. The copies of a group must be declared alike, each on the
            condition that the count is large enough.
    """

    slots = ()

    def declare(self, hp):
        """Declares all hyperparameters with their conditions, in one pass; builds nothing.

        Args:
            hp: `keras_tuner.HyperParameters`.
        """
        raise NotImplementedError

    def invalid(self, values):
        """`None`, or a string that says why these values make no network."""
        return None

    def costs(self, values):
        """`{"macs": int, "params": int, "memory": bytes}`, from the values alone."""
        raise NotImplementedError

    def cost(self, values, name):
        """One of the costs; a space may count it without the others."""
        return self.costs(values)[name]

    def features(self, values):
        """Float array `(features,)` of the values, from which a latency can be predicted."""
        raise NotImplementedError

    def build(self, hp):
        """The uncompiled network.

        Args:
            hp: `keras_tuner.HyperParameters`, anything else with `.values`, or a dict of values.
        """
        raise NotImplementedError

    def clip(self, values):
        """`(frames, height, width, frame_stride)` of the clips the network takes.

        `None` stands for clips that are taken as they come.
        """
        return None

    def fit(self, hp, model, x=None, y=None, validation_data=None, **kwargs):
        """Trains a network on clips cut to its own frames, frame stride and size.

        One data set of long, large clips then serves all networks of the space: each sees every
        `frame_stride`-th frame from the middle of a clip, resized with antialiasing.

        Args:
            hp: as in `build`.
            model: what `build` returned, compiled.
            x, y: arrays `(clips, frames, height, width, 3)` and `(clips,)`; or `x` alone, a
                `keras.utils.PyDataset` of such pairs.
            validation_data: the pair of arrays, or a `PyDataset`.
            **kwargs: further arguments of `model.fit`.

        Returns:
            The `History`.

        Raises:
            ValueError: if the clips have too few frames.
        """
        clip = self.clip(values_of(hp))
        if clip is not None:
            x = adapt(x, *clip)
            if isinstance(validation_data, (tuple, list)):
                first, *rest = validation_data
                validation_data = (adapt(first, *clip), *rest)
            elif validation_data is not None:
                validation_data = adapt(validation_data, *clip)
        return model.fit(x, y, validation_data=validation_data, **kwargs)


def values_of(hp):
    """The dict of values of a `HyperParameters`, or the dict itself, without the tuner's keys."""
    values = hp if isinstance(hp, dict) else getattr(hp, "values", None)
    if not isinstance(values, dict):
        raise ValueError(
            f"hp: expected HyperParameters or a dict of values, got {type(hp).__name__}."
        )
    return {name: value for name, value in values.items() if not name.startswith("tuner/")}
