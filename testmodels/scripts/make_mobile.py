"""A small MobileNetV2 for CIFAR-10: trained with PyTorch, written by its TorchScript exporter.

    python make_mobile.py OUT.onnx [EPOCHS]

It is not kept in this folder: quantise.py studies it. Two minutes on one core.
"""

import sys

import torch
from torch.nn.functional import cross_entropy, pad

import data
from nets import accuracy, mobile


def batches(x, y, generator, batch=64):
    """Every image once, each batch shifted by up to 4 pixels, every other one mirrored."""
    x = pad(x, (4, 4, 4, 4))
    for rows in torch.randperm(len(x), generator=generator).split(batch):
        a, b, mirrored = torch.randint(0, 8, (3,), generator=generator).tolist()
        seen = x[rows, :, a : a + 32, b : b + 32]
        yield seen.flip(3) if mirrored % 2 else seen, y[rows]


def make(path, epochs=10):
    """Trains and exports; the share of right answers on the test images."""
    x, y, x_test, y_test = data.cifar10()
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    torch.manual_seed(1)
    net, generator = mobile().to(memory_format=torch.channels_last), torch.Generator().manual_seed(1)
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 8e-3, epochs=epochs, steps_per_epoch=-(-len(x) // 64))
    for i in range(epochs):
        net.train()
        for seen, labels in batches(x, y, generator):
            optimizer.zero_grad()
            cross_entropy(net(seen), labels).backward()
            optimizer.step()
            schedule.step()
        net.eval()
        score = accuracy(net, x_test, y_test)
        print(f"epoch {i + 1}: test accuracy {score:.4f}", file=sys.stderr, flush=True)
    torch.onnx.export(
        net, torch.from_numpy(x_test[:1]), path, dynamo=False, opset_version=17, input_names=["input"], output_names=["output"],
        dynamic_axes={"input": {0: "batch"}, "output": {0: "batch"}},
    )  # fmt: skip
    return score


if __name__ == "__main__":
    make(sys.argv[1], *map(int, sys.argv[2:]))
