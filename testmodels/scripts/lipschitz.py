"""lipschitz_path against slopes that gradient ascent finds in PyTorch.

    python lipschitz.py RELUPATH [COUNT]

Exports COUNT random networks of Linear layers and curves (tanh, sigmoid, GELU, SiLU,
HardSwish, Mish, softplus, ReLU6, ReLU), audits each, and compares lipschitz_path with the
largest slope found, from the maximum norm of the input to the 1-norm of the outputs, by
Adam on the sum of |Jacobian| from six starts; networks of ReLU alone have to give
path_norm without biases. Ends with an error if a slope is larger than its bound.
"""

import itertools
import json
import random
import subprocess
import sys
import tempfile
import warnings

import torch
from torch import nn

CURVES = [nn.Tanh, nn.Sigmoid, nn.GELU, nn.SiLU, nn.Hardswish, nn.ReLU, nn.Mish, lambda: nn.GELU(approximate="tanh"), nn.ReLU6, nn.Softplus]


def network(seed):
    torch.manual_seed(seed)
    random.seed(seed)
    widths = [random.randint(1, 8) for _ in range(random.randint(2, 5))]
    layers, curves = [], []
    for i, (a, b) in enumerate(itertools.pairwise(widths)):
        layers.append(nn.Linear(a, b))
        if i < len(widths) - 2:
            layers.append(random.choice(CURVES)())
            curves.append(type(layers[-1]).__name__)
    return nn.Sequential(*layers), widths[0], curves


def steepest(net, inputs):
    """The largest slope from the maximum norm to the 1-norm that ascent finds."""
    net, best, h = net.double(), 0.0, 1e-6
    for _ in range(6):
        x = (2 * torch.randn(1, inputs, dtype=torch.float64)).requires_grad_(True)
        adam = torch.optim.Adam([x], lr=0.1)
        for _ in range(60):
            jacobian = torch.autograd.functional.jacobian(lambda z: net(z)[0], x, create_graph=True)
            adam.zero_grad()
            (-jacobian.abs().sum()).backward()
            adam.step()
        with torch.no_grad():
            for signs in itertools.product([-1, 1], repeat=inputs):
                u = torch.tensor(signs, dtype=torch.float64)
                best = max(best, float((net(x + h * u) - net(x - h * u)).abs().sum() / (2 * h)))
    return best


def main():
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    relupath, count = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 100
    closest, bad = 0.0, 0
    with tempfile.TemporaryDirectory() as folder:
        file = folder + "/m.onnx"
        for seed in range(count):
            net, inputs, curves = network(seed)
            torch.onnx.export(net, torch.zeros(1, inputs), file, input_names=["x"], dynamic_axes={"x": {0: "n"}}, dynamo=False,
                              opset_version=random.choice([13, 17, 20]))
            line = [relupath, "audit", file, "--format", "json", "--measures", "lipschitz_path,path_norm", "--p", "1", "--bias", "exclude"]
            found = json.loads(subprocess.run(line, capture_output=True, text=True, check=True).stdout)["models"][0]["measures"]
            value = {m["name"]: m.get("value") for m in found if m.get("p") in (None, "1")}
            bound, slope = value["lipschitz_path"], steepest(net, inputs)
            # Central differences of numbers near 1 are off by 1e-10.
            wrong = bound is None or slope > float(bound) * (1 + 1e-8)
            if set(curves) <= {"ReLU"} and abs(float(value["path_norm"]) / float(bound) - 1) > 1e-12:
                wrong = True
            if wrong:
                bad += 1
                print(f"seed {seed}, {curves}: slope {slope}, lipschitz_path {bound}, path_norm {value['path_norm']}")
            else:
                closest = max(closest, slope / float(bound))
    print(f"{count} networks, {bad} wrong; the largest slope is {closest:.9f} of its bound")
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
