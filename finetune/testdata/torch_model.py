"""Writes one of torchvision's networks and times its training steps in PyTorch: the peer of BenchmarkModel.

    OMP_WAIT_POLICY=PASSIVE python3 torch_model.py NAME PIXELS FILE [steps]

Random weights, ten classes, BatchNormalization folded into the convolutions as the exporter does, batch 20, float32, two threads, plain SGD. Prints the
median and the least in milliseconds.
"""
import statistics
import sys
import time
import warnings

import torch
import torchvision
from torch.fx.experimental.optimization import fuse

warnings.filterwarnings("ignore")
torch.set_num_threads(2)
torch.manual_seed(0)
name, pixels, file = sys.argv[1], int(sys.argv[2]), sys.argv[3]
net = fuse(getattr(torchvision.models, name)(weights=None, num_classes=10).eval())
x, y = torch.randn(20, 3, pixels, pixels), torch.randint(0, 10, (20,))
torch.onnx.export(net, x, file, dynamo=False, input_names=["x"], output_names=["y"], dynamic_axes={"x": {0: "n"}, "y": {0: "n"}})
opt = torch.optim.SGD(net.parameters(), lr=1e-4)
loss = torch.nn.CrossEntropyLoss()
times = []
for k in range(int(sys.argv[4]) + 1 if len(sys.argv) > 4 else 11):
    t = time.perf_counter()
    opt.zero_grad()
    loss(net(x), y).backward()
    opt.step()
    if k > 0:
        times.append(1e3 * (time.perf_counter() - t))
print(f"torch {torch.__version__} {name} at {pixels} pixels, sgd: median {statistics.median(times):.1f} ms, least {min(times):.1f} ms")
