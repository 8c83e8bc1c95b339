"""Prints the share of MNIST's test images that a model gets wrong in ONNX Runtime.

    python onnxruntime_error.py MODEL FOLDER

FOLDER has t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, plain or gzipped.
Pixels are divided by 255.
"""

import gzip
import pathlib
import sys

import numpy as np
import onnxruntime


def read(folder, name, header):
    path = pathlib.Path(folder) / name
    raw = path.read_bytes() if path.exists() else gzip.decompress(path.with_name(name + ".gz").read_bytes())
    return np.frombuffer(raw, np.uint8, offset=header)


model, folder = sys.argv[1:]
y = read(folder, "t10k-labels-idx1-ubyte", 8)
x = read(folder, "t10k-images-idx3-ubyte", 16).reshape(len(y), -1).astype(np.float32) / 255
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
port = session.get_inputs()[0]
# A batch where the shape lets one in, else one image at a time.
step = len(x) if isinstance(port.shape[0], str) or port.shape[0] is None else port.shape[0]
shape = [step] + [int(d) for d in port.shape[1:]]
wrong = 0
for at in range(0, len(x), step):
    out = session.run(None, {port.name: x[at : at + step].reshape(shape)})[0]
    wrong += int((out.reshape(step, -1).argmax(1) != y[at : at + step]).sum())
print(wrong / len(x))
