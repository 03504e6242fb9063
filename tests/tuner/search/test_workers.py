"""A chief and its workers: they may be killed, and nothing is lost or done twice."""

import collections
import json
import random
import re
import socket
import time

import pytest

from keras_video.tuner.search import trials as files
from tests.tuner.nursery import wait_until


class Team:
    """A chief and workers in one project."""

    def __init__(self, nursery, folder, **options):
        self.nursery, self.folder = nursery, folder
        self.journal = folder / "journal"
        self.journal.touch()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.options = {
            "directory": str(folder), "project_name": "search", "seed": 3, "lease": 2.0,
            "journal": str(self.journal), **options,
        }  # fmt: skip

    def start(self, name, **options):
        env = {
            "KERASTUNER_TUNER_ID": name,
            "KERASTUNER_ORACLE_IP": "127.0.0.1",
            "KERASTUNER_ORACLE_PORT": str(self.port),
        }
        log = self.folder / f"{name}.log"
        return self.nursery.start(log, env, **{**self.options, **options})

    def lines(self):
        """What the workers wrote down: `[what, trial, worker]`."""
        return [line.split() for line in self.journal.read_text().splitlines()]

    def runs(self):
        """How often each trial was run to its end by a worker."""
        return collections.Counter(trial for what, trial, _ in self.lines() if what == "ends")

    def begun(self, worker):
        """How many trials a worker has begun."""
        return sum(what == "begins" and name == worker for what, _, name in self.lines())

    def check(self, trials):
        paths = files.trial_paths(self.folder / "search")
        found = [json.loads(open(path).read()) for path in paths.values()]
        assert len(found) == trials
        assert {trial["status"] for trial in found} == {"COMPLETED"}
        assert sorted(t["record"]["order"] for t in found) == list(range(trials))
        networks = {json.dumps(network(trial["values"]), sort_keys=True) for trial in found}
        assert len(networks) == trials
        return found


def network(values):
    return {k: v for k, v in values.items() if not k.startswith("tuner/")}


def test_ten_workers_share_the_trials(nursery, tmp_path):
    team = Team(nursery, tmp_path, max_trials=80, seconds=0.02)
    workers = [team.start(f"worker{i}") for i in range(10)]
    chief = team.start("chief")
    assert [child.wait() for child in (*workers, chief)] == [0] * 11
    found = team.check(80)
    assert set(team.runs().values()) == {1}
    assert len({trial["record"]["worker"] for trial in found}) > 5
    assert all(trial["record"]["run"] == 1 for trial in found)
    # Nobody prints what is sent.
    assert len(workers[0].output.splitlines()) < 3
    assert len(chief.output.splitlines()) < 85


def test_two_of_four_workers_are_killed(nursery, tmp_path):
    team = Team(nursery, tmp_path, max_trials=16, seconds=0.2, lease=0.6)
    chief = team.start("chief")
    workers = [team.start(f"worker{i}") for i in range(4)]
    for i in range(2):  # right after they began their second trial
        wait_until(lambda i=i: team.begun(f"worker{i}") == 2)
        workers[i].kill()
    assert [child.wait() for child in (*workers[2:], chief)] == [0] * 3
    found = team.check(16)
    assert chief.output.count("is silent; trial") == 2
    # What they held was run by others, and only that.
    lost = {trial["trial_id"] for trial in found if trial["record"]["lost"]}
    assert len(lost) == 2
    assert all(team.runs()[t["trial_id"]] == 1 for t in found if t["trial_id"] not in lost)


def test_a_trial_may_take_longer_than_a_lease(nursery, tmp_path):
    team = Team(nursery, tmp_path, max_trials=2, seconds=1.2, lease=0.5)
    children = [team.start(name) for name in ("chief", "worker0", "worker1")]
    assert [child.wait() for child in children] == [0] * 3
    assert all(not trial["record"]["lost"] for trial in team.check(2))
    assert set(team.runs().values()) == {1}


def test_the_chief_is_killed_and_started_again(nursery, tmp_path):
    team = Team(nursery, tmp_path, max_trials=36, seconds=0.05)
    chief = team.start("chief")
    workers = [team.start(f"worker{i}") for i in range(4)]
    for count in (6, 14, 22):
        wait_until(lambda count=count: len(team.runs()) > count)
        chief.kill()
        time.sleep(0.2)
        chief = team.start("chief")
    assert [child.wait() for child in (*workers, chief)] == [0] * 5
    team.check(36)
    assert set(team.runs().values()) == {1}


def test_workers_and_chief_killed_at_random(nursery, tmp_path):
    rng = random.Random(0)
    team = Team(nursery, tmp_path, max_trials=60, seconds=0.05, lease=0.6)
    team_of = {name: team.start(name) for name in ("chief", "worker0", "worker1", "worker2")}
    for count in range(6, 48, 6):
        wait_until(lambda count=count: len(team.runs()) > count)
        name = rng.choice(sorted(team_of))
        team_of[name].kill()
        team_of[name] = team.start(name)
    assert [child.wait() for child in team_of.values()] == [0] * 4
    team.check(60)


def test_a_worker_with_another_space_is_refused(nursery, tmp_path):
    team = Team(nursery, tmp_path, max_trials=12, seconds=0.05)
    chief = team.start("chief")
    stranger = team.start("stranger", blocks=3)
    assert stranger.wait() == 1
    assert re.search(r"ValueError: space: expected the chief's .* 'stranger'", stranger.output)
    worker = team.start("worker")
    assert [worker.wait(), chief.wait()] == [0, 0]
    assert chief.output.count("refused: space: expected") == 1
    team.check(12)


def test_a_limit_nothing_meets_ends_all(nursery, tmp_path):
    team = Team(nursery, tmp_path, max_trials=12, limits=5)
    children = [team.start(name) for name in ("chief", "worker0", "worker1")]
    assert [child.wait() for child in children] == [1, 1, 1]
    for child in children:
        found = re.findall(r"params \(rejected [\d,]+; limit 5, closest found 10\)", child.output)
        assert len(found) == 1
        assert "ValueError: No network found that may be tried, 10,000 rejected" in child.output


def test_a_failure_has_its_reason_at_the_chief(nursery, tmp_path):
    team = Team(nursery, tmp_path, max_trials=12, answer="raise")
    children = [team.start(name) for name in ("chief", "worker0")]
    assert [child.wait() for child in children] == [1, 1]
    for child in children:
        assert "RuntimeError: 3 trials in a row failed; the last, 00002:" in child.output
        assert "ValueError: no such kernel" in child.output
    trial = json.loads((tmp_path / "search" / "trial_00000" / "trial.json").read_text())
    assert "Traceback" in trial["message"] and "toy.py" in trial["message"]


def test_what_is_fatal_for_one_ends_all(nursery, tmp_path):
    team = Team(nursery, tmp_path, max_trials=12, answer="wrong")
    children = [team.start(name) for name in ("chief", "worker0", "worker1")]
    assert [child.wait() for child in children] == [1, 1, 1]
    for child in children:
        assert (
            "fitness: expected it among the metrics of the trial, got ['accuracy']" in child.output
        )
    trials = files.trial_paths(tmp_path / "search").values()
    assert all(json.loads(open(path).read())["status"] == "RUNNING" for path in trials)
    team = Team(nursery, tmp_path, max_trials=12)  # mended
    children = [team.start(name) for name in ("chief", "worker0", "worker1")]
    assert [child.wait() for child in children] == [0, 0, 0]
    team.check(12)


def test_a_worker_does_not_wait_for_ever(nursery, tmp_path):
    team = Team(nursery, tmp_path, patience=0.5)
    worker = team.start("worker")
    assert worker.wait(20) == 1
    assert "ConnectionError: chief: expected a chief at 127.0.0.1" in worker.output


def test_two_chiefs_at_one_port(nursery, tmp_path):
    team = Team(nursery, tmp_path, max_trials=12, seconds=0.05)
    chief = team.start("chief")
    wait_until(lambda: (tmp_path / "search" / "oracle.json").exists())
    second = team.start("chief2", project_name="other")
    assert second.wait() == 1
    assert "Is another chief running there?" in second.output
    third = team.start("chief3")
    assert third.wait() == 1
    assert "expected a folder that no other process searches in" in third.output
    worker = team.start("worker", overwrite=True)  # which is for the chief to do
    assert [worker.wait(), chief.wait()] == [0, 0]
    team.check(12)


def test_incomplete_environment(monkeypatch, tmp_path):
    from tests.tuner.toy import ToyTuner

    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    with pytest.raises(ValueError, match="KERASTUNER_ORACLE_PORT"):
        ToyTuner(directory=tmp_path)
