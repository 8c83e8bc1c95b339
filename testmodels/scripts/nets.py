"""The PyTorch networks of this folder and how they learn; the exporters are elsewhere.

Runs with PyTorch 1.13 and 2.x. One CPU thread and fixed seeds; another build of
PyTorch may round otherwise.
"""

import torch
from torch import nn

torch.set_num_threads(1)


def train(net, parts, epochs, lr, seed, batch=100, lr_end=0.05):
    """Adam on the cross-entropy of the logits, the step falling linearly to lr_end of lr.

    Returns the shares of right answers on the training and the test part.
    """
    x, y = torch.from_numpy(parts[0]), torch.from_numpy(parts[1])
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
    return [accuracy(net, a, b) for a, b in (parts[:2], parts[2:])]


def accuracy(net, x, y):
    with torch.no_grad():
        return float((net(torch.from_numpy(x)).argmax(1).numpy() == y).mean())


def linear_relu(*widths, bias=True):
    """widths[0]-...-widths[-1] with ReLU between the linear layers."""
    layers = []
    for i, (a, b) in enumerate(zip(widths, widths[1:])):
        layers += [nn.Linear(a, b, bias=bias)] + ([nn.ReLU()] if i < len(widths) - 2 else [])
    return nn.Sequential(*layers)


def batch_norm(*widths):
    """Linear (no bias), BatchNormalization, ReLU; the last layer is linear with a bias."""
    layers = []
    for a, b in zip(widths, widths[1:-1]):
        layers += [nn.Linear(a, b, bias=False), nn.BatchNorm1d(b), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(*widths[-2:]))


def leaky(inputs, width, outputs):
    """One layer of PReLU with a slope a unit, one of LeakyReLU."""
    return nn.Sequential(
        nn.Linear(inputs, width), nn.PReLU(width),
        nn.Linear(width, width), nn.LeakyReLU(0.1),
        nn.Linear(width, outputs),
    )  # fmt: skip


class Image(nn.Module):
    """Rows of side * side values as images of one channel."""

    def __init__(self, side):
        super().__init__()
        self.side = side

    def forward(self, x):
        return x.view(-1, 1, self.side, self.side)


def conv():
    """16 x 16 images: two convolutions, one with stride 2, max-pooling, one linear layer."""
    return nn.Sequential(
        Image(16),
        nn.Conv2d(1, 6, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(6, 12, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(192, 10),
    )  # fmt: skip


class Normalized(nn.Module):
    """(x - mean) / std, the network, softmax."""

    def __init__(self, net, mean, std):
        super().__init__()
        self.net, self.mean, self.std = net, mean, std

    def forward(self, x):
        return torch.softmax(self.net((x - self.mean) / self.std), dim=1)


class Residual(nn.Module):
    """blocks of h + W2 relu(W1 h) between a first and a last linear layer."""

    def __init__(self, inputs, width, outputs, blocks=2):
        super().__init__()
        self.first = nn.Linear(inputs, width)
        self.blocks = nn.ModuleList(linear_relu(width, width, width) for _ in range(blocks))
        self.last = nn.Linear(width, outputs)

    def forward(self, x):
        h = torch.relu(self.first(x))
        for block in self.blocks:
            h = torch.relu(h + block(h))
        return self.last(h)


class Dense(nn.Module):
    """Every layer sees the input and all layers before it, strung together."""

    def __init__(self, inputs, width, outputs, layers=2):
        super().__init__()
        self.hidden = nn.ModuleList(nn.Linear(inputs + i * width, width) for i in range(layers))
        self.last = nn.Linear(inputs + layers * width, outputs)

    def forward(self, x):
        for layer in self.hidden:
            x = torch.cat([x, torch.relu(layer(x))], dim=1)
        return self.last(x)


class Tied(nn.Module):
    """The middle layer runs twice with the same weights."""

    def __init__(self, inputs, width, outputs):
        super().__init__()
        self.first = nn.Linear(inputs, width)
        self.middle = nn.Linear(width, width)
        self.last = nn.Linear(width, outputs)

    def forward(self, x):
        h = torch.relu(self.first(x))
        for _ in range(2):
            h = torch.relu(self.middle(h))
        return self.last(h)


class Inverted(nn.Module):
    """A block of MobileNetV2: widened by a 1 x 1 convolution, 3 x 3 in each channel, narrowed
    without an activation; added to its input where the shapes agree."""

    def __init__(self, inputs, outputs, stride, widen):
        super().__init__()
        wide, self.skip = inputs * widen, stride == 1 and inputs == outputs
        self.body = nn.Sequential(
            nn.Conv2d(inputs, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6(),
            nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False), nn.BatchNorm2d(wide), nn.ReLU6(),
            nn.Conv2d(wide, outputs, 1, bias=False), nn.BatchNorm2d(outputs),
        )  # fmt: skip

    def forward(self, x):
        return x + self.body(x) if self.skip else self.body(x)


def mobile(classes=10):
    """MobileNetV2 in small, for images of 32 x 32: ReLU6, depthwise convolutions, skips."""
    shapes = [(16, 24, 2), (24, 24, 1), (24, 32, 1), (32, 32, 1), (32, 64, 2), (64, 64, 1)]
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU6(),
        *(Inverted(i, o, s, 4) for i, o, s in shapes),
        nn.Conv2d(64, 128, 1, bias=False), nn.BatchNorm2d(128), nn.ReLU6(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, classes),
    )  # fmt: skip
