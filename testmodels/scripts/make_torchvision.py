"""Writes five networks of torchvision with random weights, BatchNormalization folded in, as ONNX files.

    make_torchvision.py DIR

Needs torch and torchvision.
"""

import pathlib
import sys

import torch
import torchvision

NAMES = ["mobilenet_v2", "resnet18", "resnet50", "shufflenet_v2_x1_0", "squeezenet1_1"]


def main():
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        torch.manual_seed(0)
        net = torchvision.models.get_model(name, weights=None).eval()
        torch.onnx.export(net, (torch.zeros(1, 3, 224, 224),), str(out / f"{name}.onnx"), dynamo=False, opset_version=17)


main()
