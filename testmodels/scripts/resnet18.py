"""Export a randomly initialised torchvision ResNet-18 by both PyTorch exporters,
with its path norms computed by PyTorch.

    python resnet18.py DIR

writes DIR/torchscript.onnx and DIR/dynamo.onnx, in which batch normalization stays
a node, DIR/torchscript_folded.onnx and DIR/dynamo_folded.onnx, the exporters'
defaults, which fold it into the convolutions in float32, and DIR/norms.json: for p = 1 and 2 the p-norm of the path vector, with biases and
without. It is (sum of the outputs of N(1))^(1/p), where N is the network in
evaluation mode with each weight and bias w replaced by |w|^p and maximum pooling
by the sum over its window, in float64, on an input of ones. Beside it stand the
seconds that making N and evaluating it take, and evaluating alone, the fastest
of several.

The running statistics are drawn too: those of a new network, 0 and 1, would
hide a mistake in batch normalization.
"""

import copy
import json
import sys
import time
import warnings
from pathlib import Path

import torch
import torchvision

warnings.filterwarnings("ignore")


def network(seed):
    torch.manual_seed(seed)
    net = torchvision.models.resnet18(weights=None)
    for m in net.modules():
        if isinstance(m, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(m.weight, 1, 0.3)
            torch.nn.init.normal_(m.bias, 0, 0.3)
            torch.nn.init.normal_(m.running_mean, 0, 0.3)
            torch.nn.init.uniform_(m.running_var, 0.5, 2)
    return net.eval()


class Mean(torch.nn.Module):
    """Global average pooling of 7 x 7 positions with |1/49|^p as its weights."""

    def __init__(self, p):
        super().__init__()
        self.weight = (1 / 49) ** p

    def forward(self, x):
        assert x.shape[2:] == (7, 7)
        return x.sum((2, 3), keepdim=True) * self.weight


def path_network(net, p, bias):
    """The network whose outputs on ones sum to the p-th power of the path norm."""
    net = copy.deepcopy(net).double()
    for m in net.modules():
        if isinstance(m, torch.nn.BatchNorm2d):
            scale = m.weight.data / torch.sqrt(m.running_var + m.eps)
            shift = m.bias.data - scale * m.running_mean
            m.weight.data, m.bias.data = scale.abs() ** p, shift.abs() ** p * bias
            m.running_mean.zero_()
            m.running_var.fill_(1)
            m.eps = 0.0
        elif isinstance(m, (torch.nn.Conv2d, torch.nn.Linear)):
            m.weight.data = m.weight.data.abs() ** p
            if m.bias is not None:
                m.bias.data = m.bias.data.abs() ** p * bias
    pool = net.maxpool
    net.maxpool = torch.nn.AvgPool2d(pool.kernel_size, pool.stride, pool.padding, divisor_override=1)
    net.avgpool = Mean(p)
    return net


def timed(f, repeat=5):
    """What f gives and the fewest seconds that it took."""
    best = float("inf")
    for _ in range(repeat):
        start = time.perf_counter()
        result = f()
        best = min(best, time.perf_counter() - start)
    return result, best


def main(out):
    net = network(1)
    x = torch.randn(1, 3, 224, 224)
    names = {"input_names": ["x"], "output_names": ["y"]}
    batch = {"dynamic_axes": {"x": {0: "n"}, "y": {0: "n"}}}
    keep = {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}
    torch.onnx.export(net, (x,), str(out / "torchscript.onnx"), dynamo=False, **names, **batch, **keep)
    torch.onnx.export(net, (x,), str(out / "torchscript_folded.onnx"), dynamo=False, **names, **batch)
    torch.onnx.export(net, (x,), str(out / "dynamo.onnx"), dynamo=True, external_data=False, optimize=False, **names)
    torch.onnx.export(net, (x,), str(out / "dynamo_folded.onnx"), dynamo=True, external_data=False, **names)
    result = {"torch": torch.__version__, "threads": torch.get_num_threads(), "norms": {}, "make": {}, "evaluate": {}}
    ones = torch.ones(1, 3, 224, 224, dtype=torch.float64)
    with torch.no_grad():
        for p in (1, 2):
            for bias in (0, 1):
                key = f"p={p},bias={bias}"
                n, result["make"][key] = timed(lambda: path_network(net, p, bias))
                y, result["evaluate"][key] = timed(lambda: n(ones))
                result["norms"][key] = float(y.sum() ** (1 / p))
        result["input"], result["output"] = x.flatten().tolist(), net(x).flatten().tolist()
    (out / "norms.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
