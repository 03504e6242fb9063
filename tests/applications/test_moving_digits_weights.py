"""The weights that come with the library, measured again on a part of the test clips."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_video
from keras_video.applications import movinet, tiny_video_net
from keras_video.datasets import moving_digits

FOLDER = Path(keras_video.__file__).parent
CLIPS = 160
LEAST = {"MoViNet-A0 base": 95, "MoViNet-A0 stream": 95, "Tiny Video Network": 94}


def movinet_case(streaming):
    record = movinet.weights_record("movinet_a0", "moving_digits", streaming)
    model = keras_video.applications.MoViNetA0(
        weights="moving_digits", causal=streaming, input_shape=(record.frames, *record.size, 3)
    )
    options = {"num_frames": record.frames, "size": record.size}
    return record, model, options, lambda clips: clips


def tvn_case():
    """The network found by the library's own search, on the clips of that search."""
    pytest.importorskip("keras_tuner")
    from keras_video.tuner.spaces.base import cut

    config = tiny_video_net.CONFIGS["tiny_video_net_moving_digits"]
    record = tiny_video_net.weights_record(config.name, "moving_digits")
    model = keras_video.applications.TinyVideoNetMovingDigits(weights="moving_digits")
    options = {"num_frames": 16, "size": (40, 40)}
    return record, model, options, lambda x: cut(x, *config.clip[:3], config.frame_stride)


CASES = {
    "base": lambda: movinet_case(streaming=False),
    "stream": lambda: movinet_case(streaming=True),
    "tvn": tvn_case,
}


# On JAX the two MoViNets take 20 seconds; test_movinet.py compares them with official logits there.
MEASURED = ["tvn"] if keras.backend.backend() == "jax" else list(CASES)


@pytest.fixture(scope="module", params=MEASURED)
def measured(request):
    """The record, the model card, and predictions for clips, reversed clips and shuffled clips."""
    record, model, options, sample = CASES[request.param]()
    (_, _), (clips, labels) = moving_digits.load_data(num_train=16, num_test=CLIPS, **options)
    clips = sample(clips)
    random = np.random.default_rng(0)
    shuffled = np.stack([clip[random.permutation(len(clip))] for clip in clips])
    answers = [
        model.predict(np.ascontiguousarray(x), batch_size=40, verbose=0)
        for x in (clips, clips[:, ::-1], shuffled)
    ]
    card = json.loads((FOLDER / record.file).with_suffix(".json").read_text())
    return record, card, labels, answers


def test_card_and_record_agree(measured):
    record, card, _, _ = measured
    assert record.top1 == card["top1"] and card["top1"] >= LEAST[card["network"]]


def test_top1_is_that_of_the_card(measured):
    _, card, labels, (answers, _, _) = measured
    top1 = 100 * (answers.argmax(-1) == labels).mean()
    p = card["top1"] / 100
    assert abs(top1 - card["top1"]) < 400 * (p * (1 - p) / CLIPS) ** 0.5 + 1  # 4 standard errors


def test_reversed_clips_get_the_partner(measured):
    _, card, labels, (_, answers, _) = measured
    partners = np.array([moving_digits.partner(label) for label in labels])
    assert (answers.argmax(-1) == partners).mean() > LEAST[card["network"]] / 100 - 0.06


def test_shuffled_frames_fall_to_chance_within_the_pair(measured):
    _, _, labels, (_, _, answers) = measured
    partners = np.array([moving_digits.partner(label) for label in labels])
    rows = np.arange(len(labels))
    right = (answers[rows, labels] > answers[rows, partners]).mean()
    assert 0.3 < right < 0.7


def test_files_are_small():
    assert sum(path.stat().st_size for path in FOLDER.glob("applications/*/files/*.npz")) < 10e6
