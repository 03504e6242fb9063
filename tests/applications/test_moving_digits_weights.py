"""The weights that ship with the library, measured again on a part of the test clips."""

import json
from pathlib import Path

import numpy as np
import pytest

import keras_video
from keras_video.applications import movinet
from keras_video.datasets import moving_digits

FILES = Path(keras_video.__file__).parent / "applications" / "movinet" / "files"
CLIPS = 160


@pytest.fixture(scope="module", params=["base", "stream"])
def measured(request):
    """The record, the model card, and what the network says to clips, reversed and shuffled."""
    streaming = request.param == "stream"
    record = movinet.weights_record("movinet_a0", "moving_digits", streaming)
    model = keras_video.applications.MoViNetA0(
        weights="moving_digits",
        causal=streaming,
        input_shape=(record.frames, *record.size, 3),
    )
    (_, _), (clips, labels) = moving_digits.load_data(
        num_train=16, num_test=CLIPS, num_frames=record.frames, size=record.size
    )
    random = np.random.default_rng(0)
    shuffled = np.stack([clip[random.permutation(record.frames)] for clip in clips])
    answers = [
        model.predict(np.ascontiguousarray(x), batch_size=40, verbose=0)
        for x in (clips, clips[:, ::-1], shuffled)
    ]
    card = json.loads(Path(FILES / Path(record.file).name).with_suffix(".json").read_text())
    return record, card, labels, answers


def test_card_and_record_agree(measured):
    record, card, _, _ = measured
    assert record.top1 == card["top1"] and card["top1"] >= 95


def test_top1_is_that_of_the_card(measured):
    _, card, labels, (answers, _, _) = measured
    top1 = 100 * (answers.argmax(-1) == labels).mean()
    assert abs(top1 - card["top1"]) < 4  # three standard errors of 160 clips at 97 %


def test_reversed_clips_get_the_partner(measured):
    _, _, labels, (_, answers, _) = measured
    partners = np.array([moving_digits.partner(label) for label in labels])
    assert (answers.argmax(-1) == partners).mean() > 0.93


def test_shuffled_frames_fall_to_chance_within_the_pair(measured):
    _, _, labels, (_, _, answers) = measured
    partners = np.array([moving_digits.partner(label) for label in labels])
    rows = np.arange(len(labels))
    right = (answers[rows, labels] > answers[rows, partners]).mean()
    assert 0.3 < right < 0.7


def test_files_are_small():
    assert sum(path.stat().st_size for path in FILES.glob("*.npz")) < 10e6
