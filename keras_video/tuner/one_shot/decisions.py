"""What a policy comes to: its entropy, its most probable network, further networks; in NumPy."""

import math

import numpy as np

from keras_video.tuner.spaces.choices import active_values


def probabilities(choices, logits, fixed=None, temperature=1.0):
    """Probabilities of the values of each choice: list of float64 arrays.

    Args:
        choices: sequence of `Choice`.
        logits: array `(choices, values)`; what is beyond a choice's values is not looked at.
        fixed: dict of values that are certain.
        temperature: float; high ones make all values more alike.
    """
    found = []
    for choice, row in zip(choices, np.asarray(logits, "float64"), strict=True):
        row = row[: len(choice.values)] / temperature
        powers = np.exp(row - row.max())
        row = powers / powers.sum()
        if fixed and choice.name in fixed:
            row = np.eye(len(row))[choice.index(fixed[choice.name])]
        found.append(row)
    return found


def most_probable(choices, logits, fixed=None, cost=None, limit=None):
    """The values of the most probable network, or of one near it that keeps a limit.

    Where the most probable values cost too much, values are exchanged one by one, each time the
    one that loses least log-probability for the cost it saves.

    Args:
        choices, logits, fixed: see `probabilities`.
        cost: function of a dict of values; needed with a limit.
        limit: float, the highest cost, or `None`.

    Returns:
        Dict of all choices' values, those without effect included. It may exceed the limit where
        no single exchange saves anything more.
    """
    chances = probabilities(choices, logits, fixed)
    picks = [int(np.argmax(row)) for row in chances]

    def named(picks):
        return {c.name: c.values[i] for c, i in zip(choices, picks, strict=True)}

    if limit is None:
        return named(picks)
    present = cost(active_values(choices, picks))
    while present > limit:
        best = (math.inf, None, None)
        active = active_values(choices, picks)
        for row, choice in enumerate(choices):
            if choice.name not in active or choice.name in (fixed or {}):
                continue
            for index in range(len(choice.values)):
                other = [*picks[:row], index, *picks[row + 1 :]]
                changed = cost(active_values(choices, other))
                saved = present - changed
                if saved <= 1e-12 * abs(present):
                    continue
                # To leave all that is allowed unused counts as much as one nat.
                lost = math.log(chances[row][picks[row]]) - math.log(chances[row][index] + 1e-300)
                lost += max(0.0, 1 - changed / limit)
                price = lost / min(saved, present - limit)
                best = min(best, (price, other, changed), key=lambda item: item[0])
        if best[1] is None:
            break
        _, picks, present = best
    return named(picks)


def draw(choices, logits, rng, fixed=None, temperature=1.0):
    """Draws a network: dict of the values of its active choices.

    Args:
        choices, logits, fixed, temperature: see `probabilities`.
        rng: `random.Random`.
    """
    picks = [
        min(int(np.searchsorted(np.cumsum(row), rng.random(), side="right")), len(row) - 1)
        for row in probabilities(choices, logits, fixed, temperature)
    ]
    return active_values(choices, picks)


def only_active(choices, values):
    """The values of the active choices, from those of these or of more choices."""
    return active_values(
        choices, [c.index(values[c.name]) if c.name in values else 0 for c in choices]
    )
