"""Fixtures of the searches."""

import pytest

pytest.importorskip("keras_tuner", reason="needs keras-video[tuner]")

from tests.tuner.nursery import Nursery  # noqa: E402


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    """What guards against power cuts takes most of the time of searches that do nothing else."""
    monkeypatch.setattr("os.fsync", lambda file: None)
    # Nor is there memory to be freed after each of these networks.
    monkeypatch.setattr("keras.backend.clear_session", lambda: None)


@pytest.fixture(scope="session")
def nursery():
    """Searches in processes of their own."""
    nursery = Nursery()
    yield nursery
    nursery.close()
