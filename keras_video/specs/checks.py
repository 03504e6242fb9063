"""Checks of arguments: one clear error that names the argument, what was expected and what came."""

import math


def check_int(name, value, least=1):
    """The value; raises `ValueError` unless it is an int of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name}: expected an int of at least {least}, got {value!r}.")
    return value


def check_number(name, value, least=-math.inf, most=math.inf, none=False):
    """Raises unless the value is a number within the bounds, or `None` where that is allowed."""
    if none and value is None:
        return
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not least <= value <= most:
        raise ValueError(
            f"{name}: expected a number from {least:g} to {most:g}{' or None' if none else ''}, "
            f"got {value!r}."
        )
