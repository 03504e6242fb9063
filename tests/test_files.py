"""Safe writing: a file is there whole or not at all."""

import os
import threading

import pytest

from keras_video.files import read_json, replacing, write_json


def test_a_write_that_was_killed_leaves_the_old_file(tmp_path):
    path = tmp_path / "new" / "file.json"
    write_json(path, {"a": 1}, sync=True)
    with pytest.raises(KeyboardInterrupt), replacing(path) as partial:
        with open(partial, "w") as file:
            file.write('{"a": ')
        assert read_json(path) == {"a": 1} and os.path.splitext(partial)[1] == ".json"
        raise KeyboardInterrupt
    assert read_json(path) == {"a": 1}
    write_json(path, {"a": 2})
    assert read_json(path) == {"a": 2}
    assert os.listdir(tmp_path / "new") == ["file.json"]


def test_two_writers_do_not_share_a_partial_file(tmp_path):
    path = tmp_path / "file.json"
    with replacing(path) as partial, replacing(path) as other:
        assert partial != other
        for name, text in ((partial, "[1]"), (other, "[2]")):
            with open(name, "w") as file:
                file.write(text)
    assert read_json(path) == [1]  # the outer block ends last


def test_a_reader_never_sees_half_a_file(tmp_path):
    path, ended = tmp_path / "file.json", threading.Event()
    write_json(path, [0] * 1000)

    def write():
        for number in range(200):
            write_json(path, [number] * 1000)
        ended.set()

    thread = threading.Thread(target=write)
    thread.start()
    while not ended.is_set():
        found = read_json(path)
        assert len(found) == 1000 and len(set(found)) == 1
    thread.join()


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "file.json"
    for content in (b"[1, 2", b"\xff\xfe"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="file.json: expected JSON, got a damaged file"):
            read_json(path)
