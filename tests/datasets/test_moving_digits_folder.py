"""Moving digits as a folder of video files."""

import numpy as np
import pytest

from keras_video.data import VideoReader
from keras_video.datasets.moving_digits import SEQUENCES, make_video, write_folder


def test_files_hold_the_videos(tmp_path):
    names = write_folder(tmp_path, num_videos=10, frames_per_motion=3, size=(32, 48), seed=2)
    assert len(names) == len(set(names)) == len(SEQUENCES) == 8
    assert names[0] == "move_left_then_move_up"
    files = sorted(tmp_path.rglob("*.mp4"))
    assert len(files) == 10
    expected = [
        make_video(SEQUENCES[i % 8], 3, (32, 48), "test", seed=3_000_000 + i).astype(int)
        for i in range(10)
    ]
    for i in (0, 1, 7, 9):
        clip = VideoReader(tmp_path / names[i % 8] / f"{i // 8:04d}.mp4").clip(6)
        assert clip.shape == expected[i].shape
        distances = [np.abs(clip - video).mean() for video in expected]
        assert np.argmin(distances) == i and sorted(distances)[1] > 2 * distances[i]


def test_a_second_call_writes_what_is_missing(tmp_path):
    options = {"sequences": [(0, 1), (1, 0)], "num_videos": 4, "frames_per_motion": 2}
    write_folder(tmp_path, size=(16, 16), **options)
    files = sorted(tmp_path.rglob("*.mp4"))
    before = {file: file.stat().st_mtime_ns for file in files}
    files[0].unlink()
    write_folder(tmp_path, size=(16, 16), **options)
    assert sorted(tmp_path.rglob("*.mp4")) == files
    assert all(file.stat().st_mtime_ns == before[file] for file in files[1:])


def test_wrong_arguments(tmp_path):
    with pytest.raises(ValueError, match="sequences: expected an int from 0 to 15"):
        write_folder(tmp_path, sequences=[(0, 99)])
    with pytest.raises(ValueError, match="sequences: expected at least one, all different"):
        write_folder(tmp_path, sequences=[(0, 1), (0, 1)])
    with pytest.raises(ValueError, match="num_videos: expected an int of at least 8"):
        write_folder(tmp_path, num_videos=3)
    assert not list(tmp_path.iterdir())
