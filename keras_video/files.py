"""Safe writing: a file appears under its name only when it is complete."""

import contextlib
import json
import os
import secrets


@contextlib.contextmanager
def replacing(path, sync=False):
    """Give a temporary path that becomes `path` when the block ends without an error.

    The temporary file lies in the folder of `path` and has its suffix. Its name is unique, so that
    two processes that write the same file do not share a partial one; the last to finish wins.
    After an error the temporary file is removed and an existing `path` is left as it was.

    Args:
        path: string or path. Missing folders are made.
        sync: bool, whether the contents must be on the disk before the file gets its name, to
            survive a power failure.

    Yields:
        String, the path to write to.

    Example:
    >>> with keras_video.files.replacing("weights.npz") as partial:
    ...     numpy.savez(partial, **arrays)
    """
    path = os.path.abspath(os.fspath(path))
    folder, name = os.path.split(path)
    if not os.path.isdir(folder):
        os.makedirs(folder, exist_ok=True)
    stem, suffix = os.path.splitext(name)
    partial = os.path.join(folder, f".{stem}.{os.getpid()}-{secrets.token_hex(4)}.partial{suffix}")
    try:
        yield partial
        if sync:
            with open(partial, "rb") as file:
                os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.remove(partial)
        raise


def write_text(path, text, sync=False):
    """Write a text file in UTF-8, see `replacing`."""
    with replacing(path) as partial, open(partial, "w", encoding="utf-8") as file:
        file.write(text)
        if sync:
            file.flush()
            os.fsync(file.fileno())


def write_json(path, content, sync=False, **options):
    """Write a JSON file, see `replacing`; the options are those of `json.dumps`."""
    write_text(path, json.dumps(content, **options), sync)


def read_json(path):
    """Return the content of a JSON file.

    Raises:
        ValueError: naming the file, if it is damaged.
    """
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except ValueError as error:  # also of the encoding
        raise ValueError(f"{path}: expected JSON, got a damaged file ({error}).") from error
