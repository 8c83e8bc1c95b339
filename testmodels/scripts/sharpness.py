"""The sharpness measures of mnist_mlp beside projected gradient ascent in PyTorch.

    sharpness.py RELUPATH [LIMIT]

PyTorch looks for the worst noise |u_i| <= alpha, and <= alpha |w_i|, on the first LIMIT (1000) training
examples, with its own derivatives: 40 signed steps from each of five starts, of the loss of the examples that
are still right. It prints both alphas and ends with 1 where relupath's, an upper bound to 1 %, is the larger
one by more than 5 %.
"""

import json
import subprocess
import sys

import numpy as np
import torch

import data
import record
from body import Body


def main():
    relupath, limit = sys.argv[1], int((sys.argv[2:] + ["1000"])[0])
    model = record.model_path("mnist_mlp")
    x, y = data.mnist()[:2]
    x, y = torch.tensor(x[:limit].reshape(limit, -1), dtype=torch.float64), torch.tensor(y[:limit])
    w = [torch.tensor(np.asarray(a, np.float64)) for l in Body(model).layers for a in (l.W, l.b)]

    def logits(at):
        z = x
        for k in range(0, len(at), 2):
            z = (z.clamp(min=0) if k else z) @ at[k].T + at[k + 1]
        return z

    def error(f):
        return (f.argmax(1) != y).double().mean().item()

    most = error(logits(w)) + 0.1

    def passes(alpha, part):
        radius = [alpha * (a.abs() if part else torch.ones_like(a)) for a in w]
        for start in range(5):
            torch.manual_seed(start)
            u = [r * (2 * torch.rand_like(r) - 1) * (start > 0) for r in radius]
            for step in range(40):
                at = [(a + v).requires_grad_() for a, v in zip(w, u)]
                f = logits(at)
                if error(f) > most:
                    return True
                right = f.argmax(1) == y
                torch.nn.functional.cross_entropy(f[right], y[right], reduction="sum").backward()
                size = 2.0 ** (1 - step // 8)
                u = [torch.clamp(v + size * r * a.grad.sign(), -r, r) for v, r, a in zip(u, radius, at)]
        return False

    names = ["sharpness_flatness", "sharpness_magnitude_flatness"]
    out = subprocess.run([relupath, "audit", model, "--data", f"mnist:{data.DATASETS / 'mnist'},limit={limit}", "--measures", ",".join(names),
                          "--format", "json", "--quiet"], check=True, capture_output=True).stdout
    found = {m["name"]: float(m["value"]) ** -0.5 for m in json.loads(out)["models"][0]["measures"]}
    bad = False
    for part, name in enumerate(names):
        low, high = 0.0, 4 * found[name]
        while high - low > 0.002 * high:
            mid = (low + high) / 2
            low, high = (low, mid) if passes(mid, part) else (mid, high)
        bad |= found[name] > 1.05 * high
        print(f"{name}: alpha {found[name]:.5g}, PyTorch {high:.5g}")
    sys.exit(bad)


main()
