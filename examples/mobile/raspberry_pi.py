"""Classify the frames of a camera with a LiteRT file of `keras-video export --streaming`.

It needs numpy, ai-edge-litert and, for the camera, opencv-python, but neither Keras nor TensorFlow:

    python raspberry_pi.py digits.tflite
"""

import json
import sys
import time
import zipfile

import numpy as np
from ai_edge_litert.interpreter import Interpreter


class StreamClassifier:
    """Take one frame at a time and return predictions. The object keeps the state."""

    def __init__(self, path, threads=4):
        with zipfile.ZipFile(path) as archive:  # at the end of the same file
            self.info = json.loads(archive.read("keras_video.json"))
            self.labels = archive.read("labels.txt").decode().splitlines()
        self.network = Interpreter(model_path=path, num_threads=threads)
        self.network.allocate_tensors()
        self.step = self.network.get_signature_runner()
        self.inputs, self.outputs = self.step.get_input_details(), self.step.get_output_details()
        self.reset()

    def reset(self):
        """Start a new stream. In quantized tensors the zero point stands for zero."""
        self.count, self.state = 0, {}
        for name in self.info["state"]:
            wanted = self.inputs[name]
            self.state[name] = np.full(wanted["shape"], wanted["quantization"][1], wanted["dtype"])

    def classify(self, frame):
        """Return the predictions for the next frame, `(height, width, 3)` in RGB bytes."""
        pixels = frame[None] * np.float32(self.info["pixels"] / 255)
        scale, zero = self.inputs["frames"]["quantization"]
        if scale:
            pixels = np.clip(np.rint(pixels / scale) + zero, -128, 127)
        clocks = {"inverse_count": 1 / (self.count + 1), "position": self.count}
        clocks = {k: np.full((1, 1, 1, 1), v, "float32") for k, v in clocks.items()}
        clocks = {name: value for name, value in clocks.items() if name in self.inputs}
        pixels = pixels.astype(self.inputs["frames"]["dtype"])
        results = self.step(frames=pixels, **clocks, **self.state)
        for name, old in self.state.items():  # append the output, drop the oldest
            both = np.concatenate([old, results[name]], axis=1)
            self.state[name] = both[:, -old.shape[1] :]
        self.count += 1
        scale, zero = self.outputs["predictions"]["quantization"]
        answer = results["predictions"][0]
        return (answer.astype("float32") - zero) * scale if scale else answer


def main(path, camera=0):
    import cv2

    network = StreamClassifier(path)
    height, width, period = (network.info[k] for k in ("height", "width", "frame_rate"))
    period = 1 / period
    video = cv2.VideoCapture(camera)
    while True:
        begin = time.monotonic()
        there, frame = video.read()
        if not there:
            break
        side = min(frame.shape[:2])
        top, left = ((n - side) // 2 for n in frame.shape[:2])
        frame = cv2.resize(frame[top : top + side, left : left + side], (width, height))
        answer = network.classify(frame[..., ::-1])  # OpenCV gives colours in the order BGR
        print(network.labels[int(answer.argmax())], flush=True)
        time.sleep(max(0.0, period - (time.monotonic() - begin)))


if __name__ == "__main__":
    main(sys.argv[1])
