"""Writes onestep.json: two steps of every optimizer on a small network with
biases and a skip connection, for TestStepsAgainstPyTorch.

    python3 onestep.py > onestep.json

Gradients come from PyTorch's autograd in double precision; kappa from a list of
all paths of the network: kappa_e = (sum over paths through e of the product of
|w|^p of the other edges)^(2/p), a bias being an edge from a constant unit.
Formulas: package finetune/internal/optim.
"""
import itertools
import json
import sys

import torch

torch.set_default_dtype(torch.float64)
torch.manual_seed(7)
IN, H, OUT, N = 4, 5, 3, 6
x = torch.randn(N, IN)
y = torch.randint(0, OUT, (N,))
start = [torch.randn(H, IN), torch.randn(H), torch.randn(H, H), torch.randn(H), torch.randn(OUT, H), torch.randn(OUT)]


def forward(w):
    h1 = torch.relu(x @ w[0].T + w[1])
    h2 = torch.relu(h1 @ w[2].T + w[3] + h1)  # the skip
    return h2 @ w[4].T + w[5]


def paths():
    """Every path as a list of edges (tensor, index)."""
    out = []
    # How a path reaches hidden unit j of the first layer.
    first = [([(0, (j, i))], j) for j in range(H) for i in range(IN)] + [([(1, (j,))], j) for j in range(H)]
    second = []
    for edges, j in first:
        second += [(edges + [(2, (k, j))], k) for k in range(H)] + [(edges, j)]  # the skip has no weight
    second += [([(3, (k,))], k) for k in range(H)]
    for edges, k in second:
        out += [edges + [(4, (o, k))] for o in range(OUT)]
    return out + [[(5, (o,))] for o in range(OUT)]


PATHS = paths()


def kappa(w, p):
    k = [torch.zeros_like(t) for t in w]
    for edges in PATHS:
        for t, i in edges:
            prod = 1.0
            for s, j in edges:
                if (s, j) != (t, i):
                    prod *= abs(w[s][j].item()) ** p
            k[t][i] += prod
    return [t ** (2 / p) for t in k]


def path_norm_p(w, p):
    """||pi||_p^p, differentiable: the dynamic programme."""
    a = [t.abs() ** p for t in w]
    g1 = a[0].sum(1) + a[1]
    g2 = a[2] @ g1 + a[3] + g1
    return (a[4] @ g2 + a[5]).sum()


def run(name, p, momentum, decay, penalty, maxnorm, eta=0.05, steps=2):
    w = [t.clone() for t in start]
    acc = [torch.zeros_like(t) for t in w]
    vel = [torch.zeros_like(t) for t in w]
    for _ in range(steps):
        leaves = [t.clone().requires_grad_(True) for t in w]
        loss = torch.nn.functional.cross_entropy(forward(leaves), y)
        if penalty:
            loss = loss + penalty / p * path_norm_p(leaves, p)
        grads = torch.autograd.grad(loss, leaves)
        k = kappa(w, p) if name.startswith("path") else [torch.ones_like(t) for t in w]
        for i, g in enumerate(grads):
            u = g / k[i]
            if name.endswith("adagrad"):
                acc[i] += g * g / k[i]
                u = u / (acc[i].sqrt() + 1e-10)
            vel[i] = momentum * vel[i] + eta * u
            w[i] = (1 - eta * decay) * w[i] - vel[i]
        if maxnorm:
            for i in (0, 2, 4):
                n = (w[i].abs() ** p).sum(1) ** (1 / p)
                w[i] = w[i] * torch.clamp(maxnorm / n, max=1)[:, None]
    return w


def flat(w):
    return [t.flatten().tolist() for t in w]


cases = []
for name, p in itertools.product(("path-sgd", "sgd", "adagrad", "path-adagrad"), (1, 2, 3)):
    for momentum, decay, penalty, maxnorm in ((0, 0, 0, 0), (0.5, 0.02, 0, 0), (0, 0.02, 0.001, 0), (0, 0, 0, 2)):
        w = run(name, p, momentum, decay, penalty, maxnorm)
        cases.append(dict(optimizer=name, p=p, momentum=momentum, decay=decay, penalty=penalty, max_norm=maxnorm, after=flat(w)))
leaves = [t.clone().requires_grad_(True) for t in start]
loss = torch.nn.functional.cross_entropy(forward(leaves), y)
json.dump(dict(torch=torch.__version__, x=x.flatten().tolist(), y=y.tolist(), start=flat(start), loss=loss.item(),
               gradient=flat(torch.autograd.grad(loss, leaves)), eta=0.05, steps=2, cases=cases), sys.stdout)
print()
