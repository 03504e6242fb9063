"""Weights of two-stream networks: none were published. This module needs no Keras."""

RECORDS = {}  # by network, for those who look weights up


def weights_record(name, weights):
    """What is known of a set of weights.

    Args:
        name: string, for example `"auto_tsnet_s"`.
        weights: string.

    Raises:
        ValueError: always; there are no published weights.
    """
    raise ValueError(
        f"weights: {name} has no {weights!r} weights, nor is that an existing path. None were "
        "published."
    )


def labels(record):
    """Class names of a `WeightsRecord`: there is none to have any."""
    raise ValueError(f"labels: expected weights with class names, got {record!r}.")
