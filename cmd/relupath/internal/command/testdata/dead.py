"""The models of testdata/dead: networks with dead units, as PyTorch exports them. And, with two
folders, ONNX Runtime's judgement of what prune --remove-dead made of those of the first.

    python dead.py                  # makes them (PyTorch 2.15)
    python dead.py FOLDER FOLDER    # compares
"""
import os
import sys

import numpy as np


def compare(before, after):
    """Prints models whose outputs differ by more than 1e-6 of the largest."""
    import onnx
    import onnxruntime as ort

    wrong = 0
    for name in sorted(os.listdir(after)):
        onnx.checker.check_model(os.path.join(after, name), full_check=True)
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = 1
        a, b = (ort.InferenceSession(os.path.join(d, name), options, providers=["CPUExecutionProvider"]) for d in (before, after))
        shape = [64] + a.get_inputs()[0].shape[1:]
        x = {"x": np.random.default_rng(1).normal(size=shape).astype(np.float32)}
        y, z = a.run(None, x)[0], b.run(None, x)[0]
        d = np.abs(y - z).max() / np.abs(y).max()
        if not d <= 1e-6 or y.shape != z.shape:
            print(name, d)
            wrong += 1
    return wrong


if len(sys.argv) == 3:
    sys.exit(compare(*sys.argv[1:]) > 0)

import torch
from torch import nn

torch.manual_seed(0)

class Residual(nn.Module):
    def __init__(s):
        super().__init__()
        s.a, s.b, s.c, s.d = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 3)
    def forward(s, x):
        x = torch.relu(s.a(x))
        x = torch.relu(x + s.c(torch.relu(s.b(x))))
        return s.d(x)
class Cat(nn.Module):
    def __init__(s, pad):
        super().__init__()
        s.a, s.b = nn.Conv2d(2, 4, 3, padding=pad), nn.Conv2d(2, 5, 3, padding=pad)
        s.c, s.f = nn.Conv2d(9, 6, 3, padding=pad), nn.Linear(6 * (8 if pad else 4) ** 2 // 4, 3)
    def forward(s, x):
        x = torch.cat([torch.relu(s.a(x)), torch.relu(s.b(x))], 1)
        x = torch.max_pool2d(torch.relu(s.c(x)), 2)
        return s.f(x.flatten(1))
class Depthwise(nn.Module):
    def __init__(s):
        super().__init__()
        s.n = nn.Sequential(nn.Conv2d(3, 6, 1, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 6, 3, padding=1, groups=6, bias=False),
            nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 5, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 3))
    def forward(s, x): return s.n(x)
class View(nn.Module):
    def __init__(s):
        super().__init__()
        s.a, s.f = nn.Conv2d(2, 4, 3), nn.Linear(4 * 36, 3)
    def forward(s, x): return s.f(torch.relu(s.a(x)).view(-1, 4 * 36))
class ResConv(nn.Module):
    def __init__(s):
        super().__init__()
        s.a, s.b, s.c, s.f = nn.Conv2d(2, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1), nn.Linear(6, 3)
        s.bn = nn.BatchNorm2d(6); s.slope = nn.PReLU(6)
    def forward(s, x):
        x = torch.relu(s.a(x))
        x = s.slope(s.bn(x + s.c(torch.relu(s.b(x)))))
        return s.f(x.mean((2, 3)))

def seq(*l): return nn.Sequential(*l)
def zero_in(w, *us):  # incoming weights
    for u in us: w.weight.data[u] = 0
def zero_out(w, *us):
    for u in us: w.weight.data[:, u] = 0
def case(name, net, shape):
    torch.onnx.export(net.eval(), torch.randn(2, *shape), os.path.join(os.path.dirname(__file__), "dead", name + ".onnx"), dynamo=False,
        input_names=["x"], output_names=["y"], dynamic_axes={"x": {0: "n"}}, do_constant_folding=False, training=torch.onnx.TrainingMode.PRESERVE)

m = seq(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 7), nn.LeakyReLU(.1), nn.Linear(7, 3)); zero_in(m[0], 1, 2); zero_out(m[2], 5); zero_in(m[2], 0); zero_out(m[4], 6); m[0].bias.data[1] = 2; m[0].bias.data[2] = -1
case("dense", m, (6,))
m = seq(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)); zero_in(m[0], 1); m[1].running_mean.data.uniform_(-1, 1); m[1].running_var.data.uniform_(.5, 2); m[1].weight.data.uniform_(.5, 2); m[1].bias.data.uniform_(0, 1); m[1].weight.data[4] = 0
case("norm", m, (6,))
m = Residual(); zero_in(m.b, 3); zero_out(m.c, 3); zero_out(m.d, 5); zero_out(m.b, 5); zero_out(m.d, 6)  # 6 is read by b, 5 by nothing
case("residual", m, (6,))
m = Residual(); zero_in(m.a, 2); zero_in(m.c, 2)
case("residual_constant", m, (6,))
m = Residual(); zero_in(m.a, 2)
case("residual_half", m, (6,))
m = Cat(0); zero_in(m.a, 1); zero_in(m.b, 2); zero_in(m.c, 0, 3); m.a.bias.data[1] = 1; m.b.bias.data[2] = .5; m.c.bias.data[0] = 1
case("concat", m, (2, 8, 8))
m = Cat(1); zero_in(m.a, 1); zero_in(m.b, 2); m.a.bias.data[1] = 1; m.b.bias.data[2] = -.5; zero_out(m.c, 6)
case("padding", m, (2, 8, 8))
m = Depthwise(); zero_out(m.n[6], 2); zero_in(m.n[3], 4); m.n[4].bias.data[4] = -1; zero_in(m.n[6], 1)
for b in (m.n[1], m.n[4]): b.running_mean.data.uniform_(-.1, .1); b.running_var.data.uniform_(.5, 2)
m.n[4].running_mean.data[4] = 0
case("depthwise", m, (3, 6, 6))
m = View(); zero_in(m.a, 3); m.a.bias.data[3] = 1
case("view", m, (2, 8, 8))
m = ResConv(); zero_out(m.f, 2); zero_out(m.b, 2); zero_out(m.c, 4)
case("residual_convolutions", m, (2, 6, 6))
m = seq(nn.ConvTranspose2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 1, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2)); zero_out(m[5], *range(36, 72))
case("groups", m, (2, 4, 4))
m = seq(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2)); m[0].weight.data[:] = 0
case("all", m, (4,))

# The first as an old file, in which initializers are inputs too.
import onnx

folder = os.path.join(os.path.dirname(__file__), "dead")
old = onnx.load(os.path.join(folder, "dense.onnx"))
old.ir_version, old.opset_import[0].version = 3, 9
for x in old.graph.initializer:
    old.graph.input.append(onnx.helper.make_tensor_value_info(x.name, x.data_type, x.dims))
onnx.save(old, os.path.join(folder, "old.onnx"))
