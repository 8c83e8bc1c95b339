"""Networks trained with PyTorch and written by its dynamo exporter (PyTorch 2.9 and later).

    python3 make_dynamo.py [name ...]
"""

import pathlib
import re
import sys

import onnx
import torch

import data
import record
from nets import Dense, Residual, Tied, accuracy, linear_relu, train

DYNAMIC = {"dynamic_shapes": ({0: torch.export.Dim("batch")},)}
# name: (constructor, data, training settings, export settings, what it shows).
# Export setting dtype: the trained net is rounded to it before the export.
MODELS = {
    "digits_residual": (lambda: Residual(64, 24, 10), data.digits, dict(epochs=40, lr=3e-3), {}, "residual blocks: skip additions tie the units"),
    "digits_half": (lambda: linear_relu(64, 24, 10), data.digits, dict(epochs=40, lr=5e-3), dict(dtype=torch.float16), "float16 weights"),
    "digits_external": (lambda: linear_relu(64, 16, 10), data.digits, dict(epochs=40, lr=5e-3), dict(external_data=True), "weights in a file beside the model"),
    "satellite_concat": (lambda: Dense(36, 20, 6), data.satellite, dict(epochs=20, lr=5e-3), DYNAMIC, "Concat: every layer sees all before it; dynamic batch"),
    "letter_tied": (lambda: Tied(16, 40, 26), data.letter, dict(epochs=25, lr=8e-3), DYNAMIC, "one layer's weights used twice"),
}  # fmt: skip


def forget_paths(path):
    """Cuts the folders of the machine out of the exporter's stack traces; nothing else changes."""
    model = onnx.load(path, load_external_data=False)
    for node in model.graph.node:
        for entry in node.metadata_props:
            entry.value = re.sub(r'"[^"\n]*/(site-packages|scripts)/', '"', entry.value)
    pathlib.Path(path).write_bytes(model.SerializeToString())


def make(name):
    build, read, settings, export, shows = MODELS[name]
    settings, export = dict(settings, seed=1), dict(export)
    torch.manual_seed(settings["seed"])
    net, parts = build(), read()
    train(net, parts, **settings)
    dtype = export.pop("dtype", torch.float32)
    # The accuracies are those of the rounded weights, computed in float32.
    scores = [accuracy(net.to(dtype).float(), a, b) for a, b in (parts[:2], parts[2:])]
    net = net.to(dtype)
    export.setdefault("external_data", False)
    rows = 1 if "dynamic_shapes" not in export else 2
    torch.onnx.export(
        net, (torch.from_numpy(parts[2][:rows]).to(dtype),), record.model_path(name), dynamo=True,
        input_names=["input"], output_names=["output"], **export,
    )  # fmt: skip
    forget_paths(record.model_path(name))
    record.write(
        name, script="make_dynamo.py", exporter=f"torch.onnx dynamo, PyTorch {torch.__version__}",
        data=read.__name__, shows=shows, training=record.adam(settings),
        train_accuracy=round(scores[0], 4), test_accuracy=round(scores[1], 4),
    )  # fmt: skip


if __name__ == "__main__":
    for wanted in sys.argv[1:] or MODELS:
        make(wanted)
