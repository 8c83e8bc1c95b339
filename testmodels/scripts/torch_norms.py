"""Computes in PyTorch what `relupath audit` computes in one pass, and prints the times.

    python torch_norms.py MODEL.onnx [REPEAT]

The model is a chain of Gemm layers with biases and ReLUs, as `relupath init`
writes it. Path norms of p = 1, 2 and inf with biases, the group norms (1, inf),
(2, inf), (1, 1), (2, 1), (2, 2), Frobenius and max |w| are computed from float32
weights with sums in float64, two threads, the straightforward way: one expression a norm.
"""

import sys
import time

import onnx
import torch
from onnx import numpy_helper

INF = float("inf")


def layers(path):
    graph = onnx.load(path).graph
    stored = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    for node in graph.node:
        if node.op_type == "Gemm":
            trans = any(a.name == "transB" and a.i for a in node.attribute)
            w = stored[node.input[1]]
            yield torch.from_numpy((w if trans else w.T).copy()), torch.from_numpy(stored[node.input[2]].copy())


def path_norm(ws, p):
    h = torch.ones(ws[0][0].shape[1], dtype=torch.float64)
    for w, b in ws:
        w, b = w.double().abs(), b.double().abs()
        if p == INF:
            h = torch.maximum((w * h).amax(1), b)
        else:
            h = w.pow(p) @ h + b.pow(p)
    return h.amax().item() if p == INF else h.sum().pow(1 / p).item()


def group_norm(ws, p, q):
    rows = [torch.cat([w, b[:, None]], 1).double().norm(p, dim=1) for w, b in ws]
    return torch.cat(rows).norm(q).item()


def measures(ws):
    out = {f"path_norm({p})": path_norm(ws, p) for p in (1, 2, INF)}
    for p, q in ((1, INF), (2, INF), (1, 1), (2, 1), (2, 2)):
        out[f"group_norm({p},{q})"] = group_norm(ws, p, q)
    out["frobenius"] = sum(w.double().pow(2).sum().item() for w, _ in ws) ** 0.5
    out["max_abs"] = max(w.abs().max().item() for w, _ in ws)
    return out


def main():
    torch.set_num_threads(2)
    start = time.perf_counter()
    ws = list(layers(sys.argv[1]))
    print(f"reading {time.perf_counter() - start:.3f} s")
    times = []
    for _ in range(int(sys.argv[2]) if len(sys.argv) > 2 else 5):
        start = time.perf_counter()
        out = measures(ws)
        times.append(time.perf_counter() - start)
    for name, value in out.items():
        print(f"{name:20} {value:.12g}")
    print(f"measuring {sorted(times)[len(times) // 2]:.3f} s (median of {len(times)})")


if __name__ == "__main__":
    main()
