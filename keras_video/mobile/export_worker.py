"""The process on TensorFlow that `export_process` starts: `python -m ... FOLDER`."""

import os
import sys

import keras
import numpy as np

from keras_video.files import read_json, write_json
from keras_video.mobile.export import export_litert
from keras_video.mobile.export_process import CLIPS, MODEL, OPTIONS, RESULT


def main(folder):
    """Export the model in a folder.

    Args:
        folder: string, where `export_process.run` saved the model, the clips and the options. The
            result is written there as well.

    Returns:
        0, or 1 after an error, which is printed as one line on `sys.stderr`.
    """
    options = read_json(os.path.join(folder, OPTIONS))
    model = keras.saving.load_model(os.path.join(folder, MODEL))
    path = os.path.join(folder, CLIPS)
    clips = np.load(path) if os.path.exists(path) else None
    try:
        result = export_litert(model, options.pop("path"), representative_data=clips, **options)
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 1
    write_json(os.path.join(folder, RESULT), result._asdict())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
