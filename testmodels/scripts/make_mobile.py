"""A small MobileNetV2 for CIFAR-10: trained with PyTorch, written by its TorchScript exporter.

    python make_mobile.py OUT.onnx [EPOCHS]

It is not kept in this folder: quantise.py studies it. Four minutes on one core.
"""

import sys

import torch

import data
from nets import mobile, train


def augmented(x, generator):
    """Each image shifted by up to 4 pixels, every other one mirrored."""
    x = torch.nn.functional.pad(torch.from_numpy(x), (4, 4, 4, 4))
    out = torch.empty(len(x), 3, 32, 32)
    for i, (a, b, flip) in enumerate(torch.randint(0, 18, (len(x), 3), generator=generator).tolist()):
        image = x[i, :, a // 2 : a // 2 + 32, b // 2 : b // 2 + 32]
        out[i] = image.flip(2) if flip % 2 else image
    return out.numpy()


def make(path, epochs=16):
    """Trains and exports; the share of right answers on the test images."""
    x, y, x_test, y_test = data.cifar10()
    torch.manual_seed(1)
    net, generator = mobile().to(memory_format=torch.channels_last), torch.Generator().manual_seed(1)
    for i in range(epochs):  # each on images shifted anew, with a step that falls to nothing at the end
        left, after = 1 - i / epochs, 1 - (i + 1) / epochs
        seen = augmented(x, generator)
        scores = train(net, (seen, y, x_test, y_test), 1, 4e-3 * left, seed=i, lr_end=after / left)
        print(f"epoch {i + 1}: test accuracy {scores[1]:.4f}", file=sys.stderr, flush=True)
    torch.onnx.export(
        net.eval(), torch.from_numpy(x_test[:1]), path, dynamo=False, opset_version=17, input_names=["input"], output_names=["output"],
        dynamic_axes={"input": {0: "batch"}, "output": {0: "batch"}},
    )  # fmt: skip
    return scores[1]


if __name__ == "__main__":
    make(sys.argv[1], *map(int, sys.argv[2:]))
