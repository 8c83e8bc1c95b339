"""Networks that others trained, for data at hand: MNIST and USPS.

    make_pretrained.py DIR

The pip package ccexam 1.0.0 has weights of classifiers of digits, in PyTorch's format. They are
downloaded and unpacked in DIR, nothing is installed or run; the networks are built from the shapes of
the weights and written to DIR as ccexam_mnist.onnx and ccexam_usps.onnx. What the package does to its
pictures is in front of them, so that they take values as relupath's data specs give them: those of MNIST
on 0..1, those of USPS on -1..1.

Wants torch.
"""

import pathlib
import sys

import torch
from torch import nn

import pretrained


class Scaled(nn.Module):
    """Pictures as flat vectors times a factor plus a constant, as planes."""

    def __init__(self, side, factor, constant):
        super().__init__()
        self.side, self.factor, self.constant = side, factor, constant

    def forward(self, x):
        return x.reshape(-1, 1, self.side, self.side) * self.factor + self.constant


def network(weights):
    """Convolutions of kernel 3 with what follows them, each halved, and two matrices."""
    features, normalised = [], "features.1.running_mean" in weights
    for at in range(0, 8, 4) if normalised else range(0, 6, 3):
        outer, inner = weights[f"features.{at}.weight"].shape[:2]
        features += [nn.Conv2d(inner, outer, 3, padding=1), *([nn.BatchNorm2d(outer)] if normalised else []), nn.ReLU(), nn.MaxPool2d(2)]
    names = ("classifier.1", "classifier.4") if normalised else ("classifier.0", "classifier.2")
    (mid, inner), (outer, _) = (weights[n + ".weight"].shape for n in names)
    lines = [nn.Linear(inner, mid), nn.ReLU(), nn.Linear(mid, outer)]
    net = nn.ModuleDict({"features": nn.Sequential(*features), "classifier": nn.Sequential(*lines)})
    for k, n in enumerate(names):
        for what in ("weight", "bias"):
            weights[f"new.{2 * k}.{what}"] = weights.pop(f"{n}.{what}")
    net.load_state_dict({k.replace("new.", "classifier."): v for k, v in weights.items()})
    return nn.Sequential(net["features"], nn.Flatten(), net["classifier"])


def main():
    folder = pathlib.Path(sys.argv[1])
    package = pretrained.download(folder, "ccexam", "1.0.0")
    # Mean and deviation of the package's pictures on 0..1, and where those of relupath lie.
    for name, side, mean, deviation, low in (("mnist", 28, 0.1307, 0.3081, 0), ("usps", 16, 0.2471, 0.2994, -1)):
        weights = torch.load(package / "ccexam" / "weights" / f"{name}.pth", map_location="cpu", weights_only=True)
        net = nn.Sequential(Scaled(side, 1 / (1 - low) / deviation, (-low / (1 - low) - mean) / deviation), *network(weights)).eval()
        out = folder / f"ccexam_{name}.onnx"
        torch.onnx.export(
            net, (torch.zeros(1, side * side),), str(out), input_names=["x"], output_names=["scores"], dynamic_axes={"x": {0: "n"}, "scores": {0: "n"}}, dynamo=False
        )
        print(out)


main()
