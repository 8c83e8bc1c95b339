"""Networks trained with PyTorch and written by its TorchScript exporter (PyTorch 1.13).

    python3 make_torchscript.py [name ...]
"""

import sys

import torch
from torch import nn

import data
import record
from nets import Normalized, batch_norm, conv, leaky, linear_relu, train


def mnist_mlp():
    return nn.Sequential(nn.Flatten(), *linear_relu(784, 32, 32, 10))


def usps_batchnorm():
    return batch_norm(256, 24, 24, 10)


def letter_leaky():
    return leaky(16, 40, 26)


def digits_nobias():
    return linear_relu(64, 24, 24, 10, bias=False)


def normalized(net, parts):
    mean = torch.from_numpy(parts[0].mean(0))
    return Normalized(net, mean, torch.tensor(float(parts[0].std())))


# name: (constructor, data, training settings, export settings, what it shows).
# Export setting wrap: a module made of the trained net and the data is exported.
DYNAMIC = {"dynamic_axes": {"input": {0: "batch"}, "output": {0: "batch"}}}
MODELS = {
    "mnist_mlp": (mnist_mlp, data.mnist, dict(epochs=12, lr=2e-3), DYNAMIC, "Flatten, biases, dynamic batch"),
    "digits_nobias": (digits_nobias, data.digits, dict(epochs=60, lr=5e-3), {}, "no biases, MatMul by transposed weights, fixed batch of 1"),
    "digits_softmax": (
        lambda: linear_relu(64, 24, 10), data.digits_raw, dict(epochs=40, lr=5e-3), dict(DYNAMIC, wrap=normalized),
        "preamble Sub, Div; head Softmax",
    ),
    "usps_batchnorm": (
        usps_batchnorm, data.usps, dict(epochs=20, lr=5e-3),
        dict(DYNAMIC, do_constant_folding=False, opset_version=15), "BatchNormalization not folded, linear layers without bias",
    ),
    "usps_conv": (conv, data.usps, dict(epochs=15, lr=5e-3), DYNAMIC, "convolutions, stride, padding, MaxPool"),
    "letter_leaky": (letter_leaky, data.letter, dict(epochs=25, lr=8e-3), dict(DYNAMIC, opset_version=9), "PReLU, LeakyReLU, opset 9"),
}  # fmt: skip


def make(name):
    build, read, settings, export, shows = MODELS[name]
    settings, export = dict(settings, seed=1), dict(export)
    torch.manual_seed(settings["seed"])
    wrap = export.pop("wrap", None)
    net, parts = build(), read()
    if wrap:
        final = wrap(net, parts)
        inside = [((x - final.mean.numpy()) / final.std.numpy()) for x in parts[::2]]
        scores = train(net, (inside[0], parts[1], inside[1], parts[3]), **settings)
    else:
        final = net
        scores = train(net, parts, **settings)
    torch.onnx.export(
        final.eval(), torch.from_numpy(parts[2][:1]), record.model_path(name),
        input_names=["input"], output_names=["output"], opset_version=export.pop("opset_version", 13), **export,
    )  # fmt: skip
    record.write(
        name, script="make_torchscript.py", exporter=f"torch.onnx TorchScript, PyTorch {torch.__version__}",
        data=read.__name__, shows=shows, training=record.adam(settings),
        train_accuracy=round(scores[0], 4), test_accuracy=round(scores[1], 4),
    )  # fmt: skip


if __name__ == "__main__":
    for wanted in sys.argv[1:] or MODELS:
        make(wanted)
