"""Image layers of Keras on clips: all frames are treated alike; other layers are rejected."""

import concurrent.futures
import os
import pickle

import keras
import numpy as np
import pytest

from keras_video.data.augmentation import KerasAugmentation
from keras_video.data.augmentation.keras import FOLDS

LAYERS = {
    "AutoContrast": {},
    "RandomBrightness": {"factor": 0.5},
    "RandomColorDegeneration": {"factor": 1.0},
    "RandomColorJitter": {
        "brightness_factor": 0.3,
        "contrast_factor": 0.4,
        "saturation_factor": (0.2, 0.8),
        "hue_factor": 0.2,
    },
    "RandomContrast": {"factor": 0.8},
    "RandomFlip": {"mode": "horizontal_and_vertical"},
    "RandomGaussianBlur": {"factor": 1.0},
    "RandomHue": {"factor": 0.5, "value_range": (0, 255)},
    "RandomInvert": {"factor": 0.5},
    "RandomPerspective": {"factor": 1.0},
    "RandomPosterization": {"factor": (1, 8)},
    "RandomRotation": {"factor": 0.1},
    "RandomSaturation": {"factor": (0.1, 0.9), "value_range": (0, 255)},
    "RandomSharpness": {"factor": 1.0},
    "RandomTranslation": {"height_factor": 0.3, "width_factor": 0.3},
    "RandomZoom": {"height_factor": 0.3},
    "Solarization": {"threshold_factor": 0.5, "addition_factor": 0.3},
}


def still_clips(batch=6, frames=3):
    rng = np.random.default_rng(0)
    images = rng.integers(20, 200, (batch, 1, 24, 28, 3), dtype="uint8")
    return images.repeat(frames, axis=1)


def augmentation(name):
    return KerasAugmentation(getattr(keras.layers, name)(**LAYERS[name]))


@pytest.mark.parametrize("name", sorted(FOLDS))
def test_all_frames_of_a_clip_are_treated_alike(name):
    augment, clips = augmentation(name), still_clips()
    out, labels = augment(clips, "labels", np.random.default_rng(1))
    assert out.dtype == np.uint8 and out.shape[:2] == clips.shape[:2] and labels == "labels"
    assert (out == out[:, :1]).all()
    assert out.shape != clips.shape or (out != clips).any()
    again, _ = augment(clips, "labels", np.random.default_rng(1))
    np.testing.assert_array_equal(out, again)
    if name == "AutoContrast":
        return  # nothing random
    # Equal clips get different parameters, so the frames of a clip would, too, if not folded.
    twins, _ = augment(clips[:1].repeat(12, axis=0), None, np.random.default_rng(2))
    assert (twins != twins[:1]).any()
    other, _ = augment(clips, None, np.random.default_rng(3))
    assert (out != other).any()


def test_frames_keep_their_order():
    clips = np.arange(24, dtype="uint8").reshape(2, 12, 1, 1, 1)
    clips = np.tile(clips, (1, 1, 8, 8, 3))
    for name in ("RandomFlip", "RandomRotation", "RandomSharpness"):
        out, _ = augmentation(name)(clips, None, np.random.default_rng(0))
        np.testing.assert_array_equal(out[:, :, 4, 4], clips[:, :, 4, 4])
    augment = KerasAugmentation(keras.layers.RandomBrightness((0.25, 0.25)))
    out, _ = augment(clips, None, np.random.default_rng(0))
    np.testing.assert_allclose(out, clips + 63.75, atol=0.51)


def test_threads_make_the_same_clips():
    augment, clips = augmentation("RandomRotation"), still_clips()
    expected = [augment(clips, None, np.random.default_rng(i))[0] for i in range(8)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(augment, clips, None, np.random.default_rng(i)) for i in range(8)]
        for job, clip in zip(jobs, expected, strict=True):
            np.testing.assert_array_equal(job.result(120)[0], clip)


def test_pickled_it_does_the_same():
    augment, clips = augmentation("RandomColorJitter"), still_clips()
    twin = pickle.loads(pickle.dumps(augment))
    expected, _ = augment(clips, None, np.random.default_rng(0))
    np.testing.assert_array_equal(twin(clips, None, np.random.default_rng(0))[0], expected)


def test_a_forked_process_gets_an_error_and_no_hang(monkeypatch):
    augment, process = augmentation("RandomFlip"), os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: process + 1)
    with pytest.raises(RuntimeError, match="RandomFlip cannot run in a forked process"):
        augment(still_clips(), None, np.random.default_rng(0))
    twin = pickle.loads(pickle.dumps(augment))  # as in a spawned process
    twin(still_clips(), None, np.random.default_rng(0))


@pytest.mark.parametrize(
    "make",
    [
        lambda: keras.layers.RandAugment(),
        lambda: keras.layers.MixUp(),
        lambda: keras.layers.CutMix(),
        lambda: keras.layers.RandomErasing(),
        lambda: keras.layers.Equalization(),
        lambda: keras.layers.RandomCrop(8, 8),
        lambda: keras.layers.RandomShear(0.1, 0.1),
        lambda: keras.layers.Dense(3),
        lambda: keras.layers.RandomFlip,
        lambda: None,
    ],
)
def test_other_layers_are_refused(make):
    with pytest.raises(ValueError, match="layer: expected one of the Keras layers"):
        KerasAugmentation(make())
