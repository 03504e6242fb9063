"""Checks of arguments, and of optional packages.

Every error about an argument reads `name: expected X, got Y.` Every error about a package that is
missing ends with `install_hint`.
"""

import importlib.util
import math
import numbers


def check_int(name, value, least=1, most=None):
    """Return `value` as an int.

    Args:
        name: string, the argument.
        value: int, or an integer of NumPy.
        least, most: bounds, both allowed; `most=None` sets no upper one.

    Raises:
        ValueError: for other types, also bool, and outside of the bounds.
    """
    # Searches check millions of ints: the exact type is asked first, which is faster.
    whole = type(value) is int or (
        isinstance(value, numbers.Integral) and not isinstance(value, bool)
    )
    if not whole or value < least or (most is not None and value > most):
        bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{name}: expected an int {bounds}, got {value!r}.")
    return int(value)


def check_number(name, value, least=-math.inf, most=math.inf, above=None, none=False, below=None):
    """Return `value`, a finite int or float.

    Args:
        name: string, the argument.
        value: number.
        least, most: bounds, both allowed.
        above, below: bounds that are themselves not allowed; they replace `least` and `most`.
        none: bool, whether `None` is allowed as well.

    Raises:
        ValueError: for other types, also bool, for NaN and infinities, and outside of the bounds.
    """
    if none and value is None:
        return None
    number = type(value) in (int, float) or (
        isinstance(value, numbers.Real) and not isinstance(value, bool)
    )
    fits = number and math.isfinite(value)
    fits = fits and (value >= least if above is None else value > above)
    if not (fits and (value <= most if below is None else value < below)):
        bounds = []
        if above is not None or least > -math.inf:
            bounds.append(f"of at least {least:g}" if above is None else f"above {above:g}")
        if below is not None or most < math.inf:
            bounds.append(f"of at most {most:g}" if below is None else f"below {below:g}")
        expected = f"a finite number {' and '.join(bounds)}".strip()
        if above is None and below is None and len(bounds) == 2:
            expected = f"a finite number from {least:g} to {most:g}"
        elif below is None and len(bounds) == 2:
            expected = f"a finite number above {above:g}, up to {most:g}"
        raise ValueError(f"{name}: expected {expected}{' or None' if none else ''}, got {value!r}.")
    return value


def check_rate(name, rate, none=False):
    """Return a rate per second: a finite number above 0, or `None` where that is allowed."""
    return check_number(name, rate, above=0, none=none)


def check_range(name, value, least=-math.inf, most=math.inf, above=None):
    """Return a pair of floats `(low, high)` with `low <= high`, each within the bounds.

    Args and errors are those of `check_number`.
    """
    try:
        low, high = (float(check_number(name, v, least, most, above)) for v in value)
    except (TypeError, ValueError):
        low, high = 1.0, 0.0
    if low > high:
        start = least if above is None else above
        words = f" {'above' if above is not None else 'of at least'} {start:g}"
        words = "" if start == -math.inf else words
        limit = "" if most == math.inf else f" up to {most:g}"
        raise ValueError(
            f"{name}: expected an ascending pair of numbers{words}{limit}, got {value!r}."
        )
    return low, high


def check_size(name, size, least=1):
    """Return the size of a frame as a pair of ints `(height, width)`.

    Args:
        name: string, the argument.
        size: pair of ints `(height, width)`, or an int for a square.
        least: int, lower bound of both, allowed.

    Raises:
        ValueError: for anything else.
    """
    try:
        sides = (size, size) if isinstance(size, numbers.Integral) else size
        height, width = (check_int(name, side, least) for side in sides)
    except (TypeError, ValueError):
        raise ValueError(
            f"{name}: expected an int or a pair (height, width) of ints, each at least {least}, "
            f"got {size!r}."
        ) from None
    return height, width


def check_choice(name, value, choices):
    """Return `value`; raises `ValueError` unless it is one of `choices`."""
    choices = tuple(choices)
    if not any(
        value is choice or (type(value) is type(choice) and value == choice) for choice in choices
    ):
        listed = ", ".join(map(repr, choices))
        raise ValueError(f"{name}: expected one of {listed}, got {value!r}.")
    return value


def check_labels(name, labels, num_classes=None, videos=None):
    """Return class labels as a NumPy array, in one of two forms.

    Args:
        name: string, the argument.
        labels: array. Class numbers `(videos,)` or `(videos, 1)`, or zeros and ones
            `(videos, num_classes)`.
        num_classes: int, or `None` if not known.
        videos: int, how many labels there must be, or `None` for any number.

    Returns:
        int64 array `(videos,)`, or bool array `(videos, num_classes)`.

    Raises:
        ValueError: for other shapes and types; for class numbers that are negative, fractional or
            not below `num_classes`; for values other than 0 and 1 in the second form.
    """
    import numpy as np

    labels = np.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim not in (1, 2) or labels.dtype.kind not in "biuf":
        raise ValueError(
            f"{name}: expected class numbers (videos,), or zeros and ones (videos, classes), got "
            f"{labels.dtype} of shape {labels.shape}."
        )
    if videos is not None and len(labels) != videos:
        raise ValueError(f"{name}: expected {videos}, one for each video, got {len(labels)}.")
    if labels.ndim == 2:
        if num_classes is not None and labels.shape[1] != num_classes:
            raise ValueError(
                f"{name}: expected {num_classes} columns, one for each class, got "
                f"{labels.shape[1]}."
            )
        wrong = ~np.isin(labels, (0, 1)).all(axis=1)
        expected = "zeros and ones"
    else:
        wrong = ~(labels >= 0) | (labels != np.floor(labels))
        expected = "whole numbers of at least 0"
        if num_classes is not None:
            wrong |= labels >= num_classes
            expected = f"whole numbers from 0 to {num_classes - 1}, for {num_classes} classes"
    if wrong.any():
        first = int(np.argmax(wrong))
        raise ValueError(f"{name}: expected {expected}, got {labels[first]} at index {first}.")
    return labels.astype("int64" if labels.ndim == 1 else bool)


# The modules that each extra of setup.cfg installs, as far as the library asks for them.
EXTRAS = {
    "datasets": ("sklearn",),
    "hub": ("huggingface_hub",),
    "litert": ("ai_edge_litert",),
    "mobile": ("tensorflow", "ai_edge_litert"),
    "plot": ("matplotlib", "PIL"),
    "tensorflow-cpu": ("tensorflow",),
    "tuner": ("keras_tuner", "six", "tensorboard"),
    "video": ("av",),
}


def install_hint(extras):
    """Return how to install extras of this library, one sentence for the end of an error.

    The library is on no package index yet. At the first release this becomes
    `pip install 'keras-video[...]'`, here and in the README ("Installing").

    Args:
        extras: string, one or several extras with commas, such as `"tuner"` or `"video,plot"`.
    """
    return (
        f"Install it with: pip install '.[{extras}]' in a clone of keras_video, or "
        f"pip install 'FILE.whl[{extras}]' with a built wheel."
    )


def missing_extra(what, extra):
    """Return an `ImportError` that says what needs which package, and how to install it.

    Args:
        what: string, a sentence such as `"Plots need matplotlib."`
        extra: string, the extra that installs the package, a key of `EXTRAS`.
    """
    return ImportError(f"{what} {install_hint(extra)}")


def check_extra(extra, what):
    """Raise an `ImportError` unless the packages of an extra are installed; imports none of them.

    For commands that would ask for a package only after minutes of work.

    Args:
        extra: string, a key of `EXTRAS`.
        what: string, what needs the package, such as `"--plots"`.
    """
    missing = [module for module in EXTRAS[extra] if not _is_installed(module)]
    if missing:
        raise missing_extra(f"{what} needs {' and '.join(missing)}.", extra)


def _is_installed(module):
    try:
        return importlib.util.find_spec(module) is not None
    except ValueError:  # a module without a specification, such as a stand-in of a test
        return True
