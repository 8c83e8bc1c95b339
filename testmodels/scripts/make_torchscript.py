"""Networks trained with PyTorch and written by its TorchScript exporter.

    python3 make_torchscript.py [name ...]

One CPU thread and fixed seeds; another build of PyTorch may round otherwise.
"""

import sys

import numpy as np
import torch
from torch import nn

import data
import record

torch.set_num_threads(1)


def train(net, parts, epochs, lr, seed, batch=100, lr_end=0.05):
    """Adam on the cross-entropy of the logits, the step falling linearly to lr_end of lr."""
    dtype = next(net.parameters()).dtype
    x, y = torch.from_numpy(parts[0]).to(dtype), torch.from_numpy(parts[1])
    optimizer = torch.optim.Adam(net.parameters(), lr=lr)
    generator = torch.Generator().manual_seed(seed)
    steps, step = epochs * -(-len(x) // batch), 0
    net.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(x), generator=generator).split(batch):
            for group in optimizer.param_groups:
                group["lr"] = lr * (1 - (1 - lr_end) * step / steps)
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x[rows]), y[rows]).backward()
            optimizer.step()
            step += 1
    net.eval()
    with torch.no_grad():
        return [
            float((net(torch.from_numpy(a).to(dtype)).argmax(1).numpy() == b).mean())
            for a, b in (parts[:2], parts[2:])
        ]


def linear_relu(*widths, bias=True):
    """widths[0]-...-widths[-1] with ReLU between the linear layers."""
    layers = []
    for i, (a, b) in enumerate(zip(widths, widths[1:])):
        layers += [nn.Linear(a, b, bias=bias)] + ([nn.ReLU()] if i < len(widths) - 2 else [])
    return layers


def mnist_mlp():
    return nn.Sequential(nn.Flatten(), *linear_relu(784, 32, 32, 10))


# name: (constructor, data, training settings, export settings, what it shows)
DYNAMIC = {"dynamic_axes": {"input": {0: "batch"}, "output": {0: "batch"}}}
MODELS = {
    "mnist_mlp": (mnist_mlp, data.mnist, dict(epochs=12, lr=2e-3), DYNAMIC, "Flatten, biases, dynamic batch"),
}


def make(name):
    build, read, settings, export, shows = MODELS[name]
    settings = dict(settings, seed=1)
    torch.manual_seed(settings["seed"])
    net, parts = build(), read()
    scores = train(net, parts, **settings)
    export = dict(export)
    wrap = export.pop("wrap", None)
    shape = export.pop("shape", (1,) + parts[0].shape[1:])
    dtype = next(net.parameters()).dtype
    final = wrap(net).eval() if wrap else net
    sample = torch.from_numpy(np.resize(parts[2], shape)).to(dtype)
    torch.onnx.export(
        final, sample, record.model_path(name), input_names=["input"], output_names=["output"],
        opset_version=export.pop("opset_version", 13), **export,
    )
    record.write(
        name, script="make_torchscript.py", data=read.__name__, shows=shows,
        training=f"Adam lr {settings['lr']:g}, {settings['epochs']} epochs, batch {settings.get('batch', 100)}, seed 1",
        train_accuracy=round(scores[0], 4), test_accuracy=round(scores[1], 4),
    )


if __name__ == "__main__":
    for wanted in sys.argv[1:] or MODELS:
        make(wanted)
