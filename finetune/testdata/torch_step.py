"""Times a training step in PyTorch: the peer of BenchmarkStep.

    OMP_WAIT_POLICY=PASSIVE python3 torch_step.py [width] [steps]

Batch 100, float32, two threads, 784-width-width-10, cross-entropy. Four steps:
plain SGD (autograd and torch.optim.SGD), Path-SGD written plainly (kappa as an
outer product a layer), SGD fused into the products by hand, and Path-SGD fused
in the same way (MEASURES: D over g_out, X over g_in, one addmm_ a layer).
Prints the median and the least of each in milliseconds.
"""
import statistics
import sys
import time

import torch

torch.set_num_threads(2)
width = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
steps = int(sys.argv[2]) if len(sys.argv) > 2 else 20
sizes = [784, width, width, 10]
torch.manual_seed(1)
x = torch.randn(100, 784).clamp_(min=0)
y = torch.randint(0, 10, (100,))
eta = 1e-4


def fresh():
    ws = [torch.randn(o, i) / i ** 0.5 for i, o in zip(sizes, sizes[1:])]
    return ws, [torch.zeros(o) for o in sizes[1:]]


def model(ws, bs):
    layers = []
    for k, (w, b) in enumerate(zip(ws, bs)):
        layer = torch.nn.Linear(w.shape[1], w.shape[0])
        layer.weight.data, layer.bias.data = w, b
        layers += [layer] + ([torch.nn.ReLU()] if k + 1 < len(ws) else [])
    return torch.nn.Sequential(*layers)


def sums(ws, bs):
    g = [torch.ones(784)]
    for w, b in zip(ws, bs):
        g.append(w.square().mv(g[-1]) + b.square())
    out = [torch.ones(10)]
    for w in reversed(ws[1:]):
        out.insert(0, w.square().t().mv(out[0]))
    return g, out


def plain_sgd():
    net = model(*fresh())
    opt = torch.optim.SGD(net.parameters(), lr=eta)
    loss = torch.nn.CrossEntropyLoss()

    def step():
        opt.zero_grad()
        loss(net(x), y).backward()
        opt.step()
    return step


def plain_path_sgd():
    net = model(*fresh())
    lin = [m for m in net if isinstance(m, torch.nn.Linear)]
    loss = torch.nn.CrossEntropyLoss()

    def step():
        for p in net.parameters():
            p.grad = None
        with torch.no_grad():
            g, out = sums([m.weight for m in lin], [m.bias for m in lin])
        loss(net(x), y).backward()
        with torch.no_grad():
            for k, m in enumerate(lin):
                m.weight.addcdiv_(m.weight.grad, torch.outer(out[k], g[k]), value=-eta)
                m.bias.addcdiv_(m.bias.grad, out[k], value=-eta)
    return step


def fused(path):
    ws, bs = fresh()

    @torch.no_grad()
    def step():
        if path:
            g, out = sums(ws, bs)
        hs = [x]
        for k, (w, b) in enumerate(zip(ws, bs)):
            z = torch.addmm(b, hs[-1], w.t())
            hs.append(z.clamp_(min=0) if k + 1 < len(ws) else z)
        d = torch.softmax(hs[-1], 1)
        d[torch.arange(100), y] -= 1
        d /= 100
        for k in reversed(range(len(ws))):
            back = d.mm(ws[k]).mul_(hs[k] > 0) if k > 0 else None
            db = d.sum(0)
            if path:
                bs[k].addcdiv_(db, out[k], value=-eta)
                ws[k].addmm_((d / out[k]).t(), hs[k] / g[k], alpha=-eta)
            else:
                bs[k].add_(db, alpha=-eta)
                ws[k].addmm_(d.t(), hs[k], alpha=-eta)
            d = back
    return step


kinds = {"plain sgd": plain_sgd(), "plain path-sgd": plain_path_sgd(), "fused sgd": fused(False), "fused path-sgd": fused(True)}
times = {k: [] for k in kinds}
for f in kinds.values():
    f()
for _ in range(steps):
    for k, f in kinds.items():
        t = time.perf_counter()
        f()
        times[k].append(1e3 * (time.perf_counter() - t))
for k, v in times.items():
    print(f"torch {torch.__version__} width {width} {k}: median {statistics.median(v):.2f} ms, least {min(v):.2f} ms")
