"""The command `keras-video`."""
