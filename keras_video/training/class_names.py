"""Finds the classes of a data set among the outputs of a model, by name."""

import difflib

import numpy as np


def match_classes(model_names, data_names, classes):
    """Finds the classes of a data set among the outputs of a model.

    Args:
        model_names: list of names of the outputs, or `None` for those of the data set.
        data_names: list of the names of the data set's classes, or `None` if it has none.
        classes: int, number of outputs.

    Returns:
        The pair of the names of all outputs and an int array, the output of each class of the data.

    Raises:
        ValueError: if numbers of classes differ, or a class of the data is not among the outputs.
    """
    if model_names is not None and len(model_names) != classes:
        raise ValueError(
            f"`class_names` must name each of the {classes} outputs of the model. Received: "
            f"{len(model_names)} names"
        )
    if data_names is None or model_names is None:
        names = model_names or data_names or [str(k) for k in range(classes)]
        if len(names) != classes:
            raise ValueError(
                f"The data set has {len(names)} classes ({', '.join(map(str, names[:3]))}, ..) and "
                f"the model {classes} outputs. Give the names of the outputs as `class_names`, to "
                "find the classes of the data among them."
            )
        return [str(name) for name in names], np.arange(classes)
    places = {_key(name): place for place, name in enumerate(model_names)}
    for name in data_names:
        if _key(name) not in places:
            close = difflib.get_close_matches(_key(name), places, 1)
            hint = f" Did you mean {model_names[places[close[0]]]!r}?" if close else ""
            raise ValueError(
                f"The class {name!r} of the data set is not among the {classes} classes of the "
                f"model ({', '.join(model_names[:3])}, ..).{hint}"
            )
    return model_names, np.array([places[_key(name)] for name in data_names])


def _key(name):
    return str(name).casefold().replace("_", " ").replace("-", " ").strip()
