"""Fixtures of the searches."""

import pytest

pytest.importorskip("keras_tuner", reason="needs the extra tuner")

from tests.tuner.nursery import Nursery  # noqa: E402


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    """Skip `fsync`, which takes most of the time of searches without training."""
    monkeypatch.setattr("os.fsync", lambda file: None)
    # Small models need not be freed after each trial.
    monkeypatch.setattr("keras.backend.clear_session", lambda: None)


@pytest.fixture(scope="session")
def nursery():
    """Run searches in processes of their own."""
    nursery = Nursery()
    yield nursery
    nursery.close()
