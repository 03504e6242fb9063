"""How a one-shot search went: one row per chunk, and one per stage.

Everything is read from the files of the trials, so that a search can be looked at while it runs,
after it was killed, and on another machine.
"""

import os

from keras_video.tuner import files

NUMBERS = ("cost_ratio", "val_accuracy", "reward", "policy_entropy", "loss")


class StageTable(list):
    """Rows of the stages that have ended or are under way, as dicts; `print(table)` shows them.

    A row has `"stage"`, `"chunks"`, `"searched"` (number of choices), `"target"`, `"cost"`,
    `"cost_ratio"`, `"val_accuracy"`, `"policy_entropy"` in nats, and `"values"`, all of them of the
    most probable network.
    """

    def __str__(self):
        lines = [("stage", "chunks", "choices", "target", "cost", "ratio", "accuracy", "entropy")]
        for row in self:
            numbers = [
                ("target", ",.6g"), ("cost", ",.6g"), ("cost_ratio", ".3f"),
                ("val_accuracy", ".4f"), ("policy_entropy", ".2f"),
            ]  # fmt: skip
            cells = ["-" if row[n] is None else format(row[n], form) for n, form in numbers]
            lines.append((row["stage"], str(row["chunks"]), str(row["searched"]), *cells))
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])])
            for line in lines
        )


def search_history(search):
    """What each chunk of training came to.

    Args:
        search: a tuner, or the folder of its project.

    Returns:
        List of dicts, in order: `"chunk"`, `"stage"`, the metrics (`"reward"`, `"val_accuracy"`,
        `"cost_ratio"` of the most probable network, `"mean_reward"` and so on of the drawn ones,
        `"policy_entropy"` in nats, `"loss"`), `"values"` of the most probable network, and
        `"policy"`, the logits of all choices.

    Raises:
        ValueError: if the folder holds no one-shot search, or a damaged one.
    """
    folder = _folder(search)
    rows = []
    for path in files.trial_paths(folder).values():
        content = files.read_json(path)
        values = content["values"]
        if values.get("tuner/kind") != "chunk" or content["status"] != "COMPLETED":
            continue
        metrics = {
            name: metric["observations"][-1]["value"][-1]
            for name, metric in content["metrics"].items()
            if metric["observations"]
        }
        rows.append(
            {
                "chunk": values["tuner/chunk"],
                "stage": values["tuner/stage"],
                **metrics,
                "values": {n: v for n, v in values.items() if not n.startswith("tuner/")},
                "decided": values["tuner/decided"],
                "certain": values["tuner/certain"],
                "policy": values["tuner/policy"],
            }
        )
    return sorted(rows, key=lambda row: row["chunk"])


def stage_table(search):
    """What each stage of a progressive search came to, as Auto-TSNet's table 5.

    Args:
        search: a tuner, or the folder of its project.

    Returns:
        `StageTable`.

    Raises:
        ValueError: as `search_history`.
    """
    history = search_history(search)
    plan = files.read_json(os.path.join(_folder(search), "oracle.json"))["algorithm"]
    table = StageTable()
    for stage, target in zip(plan["stages"], plan["targets"], strict=True):
        rows = [row for row in history if row["stage"] == stage["name"]]
        if not rows:
            continue
        last = rows[-1]
        free = [n for n in last["decided"] if n not in last["certain"]]
        table.append(
            {
                "stage": stage["name"],
                "chunks": len(rows),
                "searched": len(free),
                "target": target,
                "cost": last.get("cost"),
                **{name: last.get(name) for name in NUMBERS},
                "values": last["values"],
            }
        )
    return table


def plot_search(search, path, title=None):
    """Draws how reward, cost and entropy went. Needs matplotlib (extra `plot`).

    Args:
        search: a tuner, or the folder of its project.
        path: where the picture goes, for example `"search.png"` (or `.svg`, `.pdf`).
        title: string above the picture.

    Returns:
        The path.

    Raises:
        ValueError: as `search_history`; or if no chunk has ended yet.
    """
    from keras_video.utils.plotting_search import plot_history

    return plot_history(search_history(search), path, title=title)


def _folder(search):
    folder = os.fspath(getattr(search, "project_dir", search))
    path = os.path.join(folder, "oracle.json")
    found = files.read_json(path) if os.path.exists(path) else {}
    if "stages" not in (found.get("algorithm") or {}):
        raise ValueError(f"search: expected a one-shot tuner or its folder, got {folder}.")
    return folder
