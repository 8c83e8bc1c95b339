"""Compares relupath with the pip package weightwatcher on what both define.

    python weightwatcher_compare.py RELUPATH MODEL.onnx

RELUPATH is the built binary. The torch model is made of the file's 2-D weights,
one Linear a layer; weightwatcher analyses it, relupath audits the file, and both
sets of Frobenius norms, spectral norms and stable ranks are printed with the
largest relative difference and the times. weightwatcher's time is that of its
analyze() alone, relupath's that of a whole process. Needs torch, onnx and
weightwatcher (0.7 names its columns norm, spectral_norm, stable_rank; where norm
holds the squared Frobenius norm, its root is taken).
"""

import json
import logging
import math
import subprocess
import sys
import time

import numpy as np
import onnx
import torch
import weightwatcher
from onnx import numpy_helper


def layers(path):
    """Yields (node name, W out x in) of each matrix product with a stored weight."""
    graph = onnx.load(path).graph
    stored = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    for node in graph.node:
        for k, name in enumerate(node.input):
            w = stored.get(name)
            if node.op_type not in ("Gemm", "MatMul") or w is None or w.ndim != 2:
                continue
            out_in = node.op_type == "Gemm" and any(a.name == "transB" and a.i for a in node.attribute)
            out_in = out_in or (node.op_type == "MatMul" and k == 0)
            yield node.name or node.output[0], np.ascontiguousarray(w if out_in else w.T).astype(np.float32)


def watch(ws):
    """weightwatcher's (frobenius, spectral, stable rank) of each layer, and seconds."""
    seq = []
    for _, w in ws:
        lin = torch.nn.Linear(w.shape[1], w.shape[0], bias=False)
        lin.weight.data = torch.from_numpy(w)
        seq.append(lin)
    watcher = weightwatcher.WeightWatcher(model=torch.nn.Sequential(*seq))
    start = time.perf_counter()
    details = watcher.analyze(min_evals=1, randomize=False, mp_fit=False, plot=False)
    seconds = time.perf_counter() - start
    by_layer = {}
    for _, row in details.sort_values("layer_id").iterrows():
        spectral, rank = float(row["spectral_norm"]), float(row["stable_rank"])
        by_layer[len(by_layer)] = (float(row["norm"]), spectral, rank)
    return by_layer, seconds


def audit(relupath, model):
    start = time.perf_counter()
    out = subprocess.run([relupath, "audit", model, "--measures", "frobenius,spectral,stable_rank", "--format", "json"],
                         check=True, capture_output=True).stdout
    seconds = time.perf_counter() - start
    found = []
    for layer in json.loads(out)["models"][0]["layers"]:
        v = {m["name"]: m["value"] for m in layer["measures"]}
        found.append((layer["name"], v["frobenius"], v["spectral"], v["stable_rank"]))
    return found, seconds


def main():
    logging.disable(logging.WARNING)
    relupath, model = sys.argv[1:3]
    ws = list(layers(model))
    ours, t_ours = audit(relupath, model)
    theirs, t_theirs = watch(ws)
    worst = 0.0
    print(f"{'layer':24} {'measure':12} {'relupath':>22} {'weightwatcher':>22} {'difference':>11}")
    for k, (name, fro, spec, rank) in enumerate(ours):
        if k not in theirs:
            print(f"{name:24} weightwatcher leaves it out")
            continue
        norm, max_eig, stable = theirs[k]
        # weightwatcher reports eigenvalues of W^T W in some versions and columns.
        for label, a, b in [("frobenius", fro, norm), ("spectral", spec, max_eig), ("stable_rank", rank, stable)]:
            if label != "stable_rank" and abs(math.sqrt(b) - a) < abs(b - a):
                b = math.sqrt(b)
            rel = abs(a - b) / abs(b)
            worst = max(worst, rel)
            print(f"{name:24} {label:12} {a:22.15g} {b:22.15g} {rel:11.2g}")
    print(f"largest relative difference {worst:.2g}")
    print(f"relupath {t_ours:.3f} s (process), weightwatcher {t_theirs:.3f} s (analyze): {t_theirs / t_ours:.1f} times")


main()
