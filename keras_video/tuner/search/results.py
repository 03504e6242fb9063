"""What a search found: a table, the Pareto front, and the ancestors of a network.

Everything is read from the files of the trials. A search can therefore be examined while it runs,
after it was killed, and on another machine.
"""

import csv
import io
import os
import re
from typing import NamedTuple

from keras_video.checks import check_choice
from keras_video.files import read_json
from keras_video.tuner.search import trials

QUALITIES = ("val_top1", "val_top5", "val_accuracy")
COSTS = ("latency_ms", "params", "macs", "memory_mb")
HEADINGS = {"latency_ms": "ms", "memory_mb": "MB", "params": "params (M)", "macs": "MACs (M)"}


class ResultsTable(list):
    """Rows of a search as dicts, best first. `print(table)` shows them.

    A row has `"trial"`, `"status"`, `"fitness"` (the objective, also if it has another name), the
    metrics, `"parent"` and `"mutation"` (`None` for a random network) and `"values"`.

    Attributes:
        objective: string, the name of the objective.
        direction: `"max"` or `"min"`.
        limits: dict of the limits by constraint.
        rejected: list of dicts, the networks that were measured and rejected: `"trial"`,
            `"constraint"`, the measured number under the constraint's name, and `"values"`.
        counts: dict, number of rejected networks by cause.
    """

    def __init__(self, rows=(), objective="fitness", direction="max", limits=None):
        super().__init__(rows)
        self.objective, self.direction = objective, direction
        self.limits = dict(limits or {})
        self.rejected, self.counts = [], {}

    def __str__(self):
        return format_table(self, 20)

    def to_csv(self):
        """Return the table as comma-separated values, with a column for each hyperparameter."""
        rows = [{**row, **row["values"]} for row in self]
        names = dict.fromkeys(name for row in rows for name in row if name != "values")
        text = io.StringIO()
        writer = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()


class Step(NamedTuple):
    """One ancestor in the line of a network.

    Args:
        trial: string, its id.
        mutation: string, the change of its parent; `None` for the first, a random network.
        fitness: float.
        gain: float, by how much it is better than its parent; 0 for the first.
        costs: dict of the known `COSTS`.
    """

    trial: str
    mutation: str | None
    fitness: float
    gain: float
    costs: dict


def results_table(search):
    """Read the results of a search.

    Args:
        search: a tuner, or the folder of its project.

    Returns:
        `ResultsTable`.

    Raises:
        ValueError: if the folder holds no search, or a damaged one.
    """
    folder = os.fspath(getattr(search, "project_dir", search))
    path = os.path.join(folder, "oracle.json")
    if not os.path.exists(path):
        raise ValueError(f"search: expected a tuner or a folder with an oracle.json, got {folder}.")
    identity = read_json(path)
    name, direction = _objective(identity)
    constraints = identity.get("constraints") or ()
    limits = {c["name"]: c["limit"] for c in constraints if "name" in c and "limit" in c}
    table = ResultsTable((), name, direction, limits)
    for trial, path in trials.trial_paths(folder).items():
        content = read_json(path)
        if content["values"].get("tuner/kind") == "chunk":
            continue  # it trains a super-network and is not a network of its own
        table.append(_row(trial, content, name))
        record = content.get("record", {})
        for item in record.get("measured", ()):
            number = {item["name"]: item["number"]}
            values = item["values"]
            table.rejected.append(
                {"trial": trial, "constraint": item["name"], "values": values, **number}
            )
            _count(table.counts, {item["name"]: 1})
        _count(table.counts, record.get("rejected", {}))
    sign = 1 if direction == "max" else -1
    table.sort(key=lambda row: (row["status"] != "COMPLETED", -sign * (row["fitness"] or 0)))
    return table


def pareto_front(rows, cost="latency_ms", fitness="fitness", direction="max"):
    """Return the rows that no other row beats in both fitness and cost.

    Args:
        rows: `ResultsTable`, or list of dicts. Rows without both numbers are left out.
        cost: string, the number that should be small.
        fitness: string, the number that should be large, or small with `direction="min"`.
        direction: `"max"` or `"min"`.

    Returns:
        List of rows, sorted by cost.

    Raises:
        ValueError: for another direction.
    """
    check_choice("direction", direction, ("max", "min"))
    sign = 1 if direction == "max" else -1
    known = [row for row in rows if row.get(cost) is not None and row.get(fitness) is not None]
    front = []
    for row in sorted(known, key=lambda row: (row[cost], -sign * row[fitness])):
        if not front or sign * row[fitness] > sign * front[-1][fitness]:
            front.append(row)
    return front


def family_tree(table, trial=None):
    """Return the line of ancestors of a network.

    Args:
        table: `ResultsTable` of an evolution.
        trial: string, the id of the network; default the best.

    Returns:
        List of `Step`, from the random network to the given one.

    Raises:
        ValueError: if there is no such completed trial.
    """
    rows = {row["trial"]: row for row in table if row["status"] == "COMPLETED"}
    if trial is None and rows:
        trial = next(iter(rows))
    if trial not in rows:
        raise ValueError(f"trial: expected the id of a completed trial, got {trial!r}.")
    line = []
    while trial in rows and rows[trial] not in line:
        line.insert(0, rows[trial])
        trial = rows[trial]["parent"]
    sign = 1 if table.direction == "max" else -1
    steps = []
    for row in line:
        gain = sign * (row["fitness"] - steps[-1].fitness) if steps else 0.0
        costs = {name: row[name] for name in COSTS if row.get(name) is not None}
        steps.append(Step(row["trial"], row["mutation"], row["fitness"], gain, costs))
    return steps


def format_table(table, most=20):
    """Return the first rows as text, followed by limits and rejections."""
    names = (*QUALITIES, "cost_ratio", *COSTS)
    known = [name for name in names if any(name in row for row in table)]
    lines = [("trial", table.objective, *(HEADINGS.get(name, name) for name in known), "origin")]
    for row in table[:most]:
        origin = f"{row['parent']}: {row['mutation']}" if row["parent"] else row["mutation"]
        origin = origin or "random"
        origin = origin if row["status"] == "COMPLETED" else row["status"].lower()
        cells = [_number(name, row.get(name)) for name in ("fitness", *known)]
        lines.append((row["trial"], *cells, origin))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = [
        "  ".join([*map(str.rjust, line[:-1], widths[:-1]), line[-1]]).rstrip() for line in lines
    ]
    if len(table) > most:
        text.append(f"... and {len(table) - most} more")
    if table.limits:
        limits = (f"{name} <= {limit:,g}" for name, limit in table.limits.items())
        text.append(f"limits: {', '.join(limits)}")
    if table.counts:
        causes = sorted(table.counts.items(), key=lambda item: -item[1])
        text.append(f"rejected: {', '.join(f'{name} {count:,}' for name, count in causes)}")
    return "\n".join(text)


def _number(name, value):
    if value is None:
        return "-"
    if name in ("params", "macs"):
        return f"{value / 1e6:.3f}"
    return f"{value:.4f}" if name in ("fitness", "cost_ratio", *QUALITIES) else f"{value:.2f}"


def _row(trial, content, objective):
    values = content["values"]
    row = {"trial": trial, "status": content["status"], "fitness": content["score"]}
    for name, metric in content["metrics"].items():
        observed = metric["observations"]
        if name != objective and observed:
            numbers = observed[-1]["value"]
            row[name] = sum(numbers) / len(numbers)
    row["parent"] = values.get("tuner/parent")
    row["mutation"] = values.get("tuner/mutation", values.get("tuner/origin"))
    row["values"] = {n: v for n, v in values.items() if not n.startswith("tuner/")}
    return row


def _objective(identity):
    """Return name and direction of the objective, from the text in the file."""
    found = re.search(r'name="(.+)", direction="(min|max)"', str(identity.get("objective")))
    return found.groups() if found else ("fitness", "max")


def _count(counts, more):
    for name, count in more.items():
        counts[name] = counts.get(name, 0) + count
