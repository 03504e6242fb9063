"""The command `keras-video`."""


def main(argv=None):
    """Run the command line.

    Args:
        argv: list of strings, the words after `keras-video`. Default: those of the process.

    Returns:
        int, the exit code: 0, 1 if the demo predicts wrongly, or 2 after an error.
    """
    from keras_video.cli.commands import main as run

    return run(argv)
