"""Running a command of `keras-video` in this process."""

from keras_video.cli import commands


def run(capsys, *words):
    """Return the exit code of a command, and what it printed to stdout and stderr."""
    code = commands.main([str(word) for word in words])
    out, err = capsys.readouterr()
    return code, out, err


def fails(capsys, *words):
    """Run a command that must fail with one line on stderr; return the line."""
    code, _, err = run(capsys, *words)
    assert code == 2
    assert err.startswith("keras-video: ") and err.count("\n") == 1 and err.endswith("\n")
    return err
