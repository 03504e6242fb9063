"""Checks of arguments: what they accept, what they return, and what their errors say."""

import numpy as np
import pytest

from keras_video.checks import check_choice, check_int, check_labels, check_number, check_range


def test_numbers():
    assert check_int("n", np.int32(3)) == 3 and type(check_int("n", np.int32(3))) is int
    assert check_number("x", 0.5, 0, 1) == 0.5 and check_number("x", None, none=True) is None
    assert check_range("r", [1, 2]) == (1.0, 2.0)


@pytest.mark.parametrize(
    "check, message",
    [
        (lambda: check_int("n", 0), "n: expected an int of at least 1, got 0."),
        (lambda: check_int("n", True), "n: expected an int of at least 1, got True."),
        (lambda: check_int("n", 5, 0, 4), "n: expected an int from 0 to 4, got 5."),
        (lambda: check_number("x", 0, above=0), "x: expected a finite number above 0, got 0."),
        (lambda: check_number("x", float("nan")), "x: expected a finite number, got nan."),
        (lambda: check_number("x", 2, 0, 1), "x: expected a finite number from 0 to 1, got 2."),
        (lambda: check_range("r", (2, 1)), r"r: expected an ascending pair of numbers, got \(2, 1"),
        (lambda: check_choice("c", "z", "xy"), "c: expected one of 'x', 'y', got 'z'."),
        (lambda: check_choice("c", True, (1, 3)), "c: expected one of 1, 3, got True."),
    ],
)
def test_errors_name_the_argument_and_its_value(check, message):
    with pytest.raises(ValueError, match=message):
        check()


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "float32"])
def test_class_numbers(dtype):
    for shape in ((3,), (3, 1)):
        labels = check_labels("y", np.array([0, 2, 1], dtype).reshape(shape), 3, videos=3)
        assert labels.dtype == np.int64 and labels.tolist() == [0, 2, 1]


def test_rows_of_zeros_and_ones_become_bools():
    hot = np.array([[0, 1, 0], [1, 1, 0], [0, 0, 0]], "float32")
    labels = check_labels("y", hot, 3)
    assert labels.dtype == bool
    np.testing.assert_array_equal(labels, hot)


@pytest.mark.parametrize(
    "labels, message",
    [
        ([0, 1, 3], r"y: expected whole numbers from 0 to 2.*got 3 at index 2"),
        ([0, -1, 2], r"y: .*got -1 at index 1"),
        ([0.5, 1], r"whole numbers.*got 0\.5"),
        ([np.nan, 1], "whole numbers.*got nan"),
        ([[0, 1]], "expected 3 columns.*got 2"),
        ([[0, 0.9, 0.1]], "zeros and ones, got .*0.9"),
        ([[[0]]], "got int64 of shape"),
        (["a", "b"], "got <U1 of shape"),
    ],
)
def test_labels_that_do_not_fit(labels, message):
    with pytest.raises(ValueError, match=message):
        check_labels("y", np.array(labels), 3)
    with pytest.raises(ValueError, match="y: expected 2, one for each video, got 1"):
        check_labels("y", [0], videos=2)
