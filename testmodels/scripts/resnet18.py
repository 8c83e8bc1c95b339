"""Export a randomly initialised torchvision ResNet-18 by both PyTorch exporters,
with its path norms computed by PyTorch.

    python resnet18.py DIR

writes DIR/torchscript.onnx, DIR/dynamo.onnx (batch normalization kept as nodes)
and DIR/norms.json: for p = 1 and 2 the p-norm of the path vector, that is
(sum over outputs of N(1))^(1/p), where N is the network in evaluation mode with
each weight w replaced by |w|^p, maximum pooling by the sum over its window and
biases left out, in float64, on an input of ones; and the seconds that one such
evaluation takes, the fastest of several.

The running statistics are drawn too: those of a new network, 0 and 1, would
hide a mistake in batch normalization.
"""

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


class SumPool(torch.nn.Module):
    """The sum over the windows of a maximum pooling: it counts every path."""

    def __init__(self, pool):
        super().__init__()
        self.pool = torch.nn.AvgPool2d(pool.kernel_size, pool.stride, pool.padding, divisor_override=1)

    def forward(self, x):
        return self.pool(x)


def path_network(net, p):
    """The network whose output on ones is the p-th power of the path norms."""
    import copy

    net = copy.deepcopy(net).double()
    for name, m in list(net.named_modules()):
        if isinstance(m, torch.nn.BatchNorm2d):
            scale = m.weight.data / torch.sqrt(m.running_var + m.eps)
            m.weight.data = scale.abs() ** p
            m.bias.data.zero_()
            m.running_mean.zero_()
            m.running_var.fill_(1)
            m.eps = 0.0
        elif isinstance(m, (torch.nn.Conv2d, torch.nn.Linear)):
            m.weight.data = m.weight.data.abs() ** p
            if m.bias is not None:
                m.bias.data.zero_()
        elif isinstance(m, torch.nn.AdaptiveAvgPool2d):
            size = 7  # of the value at 224 x 224

            class Mean(torch.nn.Module):
                def forward(self, x):
                    return x.sum((2, 3), keepdim=True) * (1 / (size * size)) ** p

            net.avgpool = Mean()
    net.maxpool = SumPool(net.maxpool)
    return net


def main(out):
    net = network(1)
    x = torch.randn(1, 3, 224, 224)
    torch.onnx.export(net, (x,), str(out / "torchscript.onnx"), dynamo=False, training=torch.onnx.TrainingMode.PRESERVE,
                      do_constant_folding=False, input_names=["x"], output_names=["y"], opset_version=17,
                      dynamic_axes={"x": {0: "n"}, "y": {0: "n"}})
    torch.onnx.export(net, (x,), str(out / "dynamo.onnx"), dynamo=True, external_data=False, optimize=False,
                      input_names=["x"], output_names=["y"])
    result = {"torch": torch.__version__, "threads": torch.get_num_threads(), "norms": {}, "seconds": {}}
    ones = torch.ones(1, 3, 224, 224, dtype=torch.float64)
    with torch.no_grad():
        for p in (1, 2):
            best = float("inf")
            for _ in range(5):
                start = time.perf_counter()
                n = path_network(net, p)(ones)
                best = min(best, time.perf_counter() - start)
            result["norms"][str(p)] = float(n.sum() ** (1 / p))
            result["seconds"][str(p)] = best
        y = net(x)
        result["input"], result["output"] = x.flatten().tolist(), y.flatten().tolist()
    (out / "norms.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
