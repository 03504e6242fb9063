"""Fixtures of the searches."""

import pytest

pytest.importorskip("keras_tuner", reason="needs keras-video[tuner]")

from tests.tuner.nursery import Nursery  # noqa: E402


@pytest.fixture(scope="session")
def nursery():
    """Searches in processes of their own."""
    nursery = Nursery()
    yield nursery
    nursery.close()
