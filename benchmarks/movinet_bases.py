"""Computes the coefficients of the scaled MoViNet search spaces.

See `keras_video/tuner/spaces/movinet_bases.py` for the rule.
"""

import random
import statistics

from keras_video.tuner.spaces.choices import active_values
from keras_video.tuner.spaces.movinet import MoViNetSpace
from keras_video.tuner.spaces.movinet_bases import CLIPS, COEFFICIENTS, TARGETS, scaled


def median_macs_per_frame(base, samples=1001, seed=0):
    """Return the median multiply-adds per frame of uniformly drawn networks.

    Args:
        base: `MoViNetBase`.
        samples: int, number of networks.
        seed: int.
    """
    space = MoViNetSpace(base)
    table, rng = space.cost_table("macs"), random.Random(seed)
    drawn = (
        table.of(
            active_values(space.choices, [rng.randrange(len(c.values)) for c in space.choices])
        )
        for _ in range(samples)
    )
    return statistics.median(drawn) / base.clip[0]


def fitted(name, step=0.25):
    """Return the coefficient, a multiple of `step`, whose space has the median nearest the target.

    Smaller steps make no sense: widths and layers are integers, so the median is not continuous.
    """
    target, found = TARGETS[name], {}

    def error(coefficient):
        if coefficient not in found:
            median = median_macs_per_frame(scaled(name, coefficient))
            found[coefficient] = abs(median / target - 1)
        return found[coefficient]

    best = 0.0
    for stride in (8 * step, 4 * step, 2 * step, step):  # downhill, with ever smaller steps
        while True:
            near = min((best - stride, best, best + stride), key=error)
            if near == best:
                break
            best = near
    return best


if __name__ == "__main__":
    for name in CLIPS:
        print(f"{name}: found {fitted(name):g}, used {COEFFICIENTS[name]:g}")
