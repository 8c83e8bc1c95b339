"""Times training steps of convolutional networks in PyTorch: the peer of BenchmarkConv.

    OMP_WAIT_POLICY=PASSIVE python3 torch_conv.py [steps]

CIFAR's size, batch 100, float32, two threads: a 3 x 3 convolution to 16 channels, six
blocks of two 3 x 3 convolutions at 16, 32 and 64 channels (strides 2 and 1 x 1 shortcuts
between them), biases, ReLU, the mean over positions, and ten scores; the same with five
inverted residuals of 16, 24 and 32 channels, six times as many within; plain SGD. Prints
the median and the least in milliseconds.
"""
import statistics
import sys
import time

import torch
from torch import nn

torch.set_num_threads(2)
torch.manual_seed(1)


class Block(nn.Module):
    def __init__(self, i, o, stride):
        super().__init__()
        self.a = nn.Conv2d(i, o, 3, stride, 1)
        self.b = nn.Conv2d(o, o, 3, 1, 1)
        self.short = nn.Conv2d(i, o, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x):
        return torch.relu(self.b(torch.relu(self.a(x))) + self.short(x))


class Inverted(nn.Module):
    def __init__(self, i, o, stride):
        super().__init__()
        self.expand, self.deep = nn.Conv2d(i, 6 * i, 1), nn.Conv2d(6 * i, 6 * i, 3, stride, 1, groups=6 * i)
        self.project, self.skips = nn.Conv2d(6 * i, o, 1), i == o and stride == 1

    def forward(self, x):
        y = self.project(torch.relu(self.deep(torch.relu(self.expand(x)))))
        return x + y if self.skips else y


def measure(name, blocks, last):
    net = nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1), nn.ReLU(), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(last, 10))
    opt = torch.optim.SGD(net.parameters(), lr=1e-4)
    loss = nn.CrossEntropyLoss()
    x, y = torch.randn(100, 3, 32, 32), torch.randint(0, 10, (100,))
    times = []
    for k in range(int(sys.argv[1]) + 1 if len(sys.argv) > 1 else 11):
        t = time.perf_counter()
        opt.zero_grad()
        loss(net(x), y).backward()
        opt.step()
        if k > 0:
            times.append(1e3 * (time.perf_counter() - t))
    print(f"torch {torch.__version__} {name} sgd: median {statistics.median(times):.1f} ms, least {min(times):.1f} ms")


measure("residual network", [Block(*k) for k in [(16, 16, 1), (16, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1)]], 64)
measure("inverted residuals", [Inverted(*k) for k in [(16, 16, 1), (16, 24, 2), (24, 24, 1), (24, 32, 2), (32, 32, 1)]], 32)
