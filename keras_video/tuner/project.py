"""`Project`: the folder of a search, which belongs to one search and no other."""

import dataclasses
import os

from keras_tuner import HyperParameters

from keras_video.tuner import files, records
from keras_video.tuner.declared import DeclaredSpace, SearchHyperParameters

FORMAT = "keras_video search 1"


class Project:
    """Reads and writes the files of a search.

    `oracle.json` says which search it is, and is written once. Everything else is in the files of
    the trials, so that whatever is written last leaves nothing behind that contradicts it.

    Args:
        folder: string, exists.
    """

    def __init__(self, folder):
        self.folder = folder
        self.path = os.path.join(folder, "oracle.json")

    @property
    def exists(self):
        """bool, whether a search was begun here."""
        return os.path.exists(self.path)

    def begin(self, identity, hyperparameters):
        """Writes what the search is.

        Args:
            identity: dict of plain values, see `check`.
            hyperparameters: `keras_tuner.HyperParameters`, the declared space.
        """
        space = HyperParameters.get_config(hyperparameters)["space"]
        content = {"format": FORMAT, **identity, "hyperparameters": space}
        files.write_json(self.path, content)

    def check(self, identity, space):
        """Makes sure that the folder is that of this search, or of none.

        Args:
            identity: dict of plain values: `objective`, `constraints` and so on. A seed that is
                `None` agrees with all.
            space: `DeclaredSpace`; without hyperparameters it agrees with all.

        Returns:
            What was written, with `hyperparameters` made again; or `None` if the folder is new.

        Raises:
            ValueError: saying what differs.
        """
        if not self.exists:
            if files.trial_paths(self.folder):
                raise ValueError(
                    f"project: {self.folder} holds trials but no oracle.json. {WAY_OUT}"
                )
            return None
        content = files.read_json(self.path)
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ValueError(
                f"project: expected {self.path} to be that of a search of keras_video "
                f"({FORMAT!r}), got one of another kind. {WAY_OUT}"
            )
        stored = HyperParameters.from_config({"space": content["hyperparameters"], "values": {}})
        content["hyperparameters"] = SearchHyperParameters.of(stored)
        if space.parameters:
            _compare_spaces(self.folder, DeclaredSpace(stored).lines(), space.lines())
        for name, value in identity.items():
            if content.get(name) != value and not (name == "seed" and value is None):
                raise ValueError(
                    f"project: {self.folder} holds another search: its {name} is "
                    f"{content.get(name)!r}, expected {value!r}. {WAY_OUT}"
                )
        return content

    def save(self, trial, record):
        """Writes the file of a trial."""
        content = {**records.to_dict(trial), "record": dataclasses.asdict(record)}
        files.write_json(files.trial_path(self.folder, trial.trial_id), content)

    def load(self, hyperparameters):
        """Reads all trials.

        Args:
            hyperparameters: `SearchHyperParameters` of the space, which the trials get copies of.

        Returns:
            Pairs `(trial, record)`, by id.

        Raises:
            ValueError: naming a file that is damaged.
        """
        found = []
        for path in files.trial_paths(self.folder).values():
            content = files.read_json(path)
            try:
                trial = records.from_dict(content, hyperparameters.copy())
                found.append((trial, records.Record(**content["record"])))
            except (KeyError, TypeError) as error:
                raise ValueError(
                    f"{path}: expected a trial of keras_video, got something else ({error!r}). "
                    "Remove its folder to have the trial run again."
                ) from error
        return found


WAY_OUT = "Choose another project_name, or pass overwrite=True to begin anew."


def _compare_spaces(folder, theirs, ours):
    """Raises unless two lists of lines are alike."""
    if theirs == ours:
        return
    only_theirs = [line for line in theirs if line not in set(ours)]
    only_ours = [line for line in ours if line not in set(theirs)]
    raise ValueError(
        f"project: {folder} holds another search, one in another space: it has {len(theirs)} "
        f"hyperparameters, of which {len(only_theirs)} are not in this space of {len(ours)}; "
        f"there {only_theirs[:1]}, here {only_ours[:1]}. {WAY_OUT}"
    )
