"""Compares relupath with the pip package weightwatcher on what both define.

    python weightwatcher_compare.py RELUPATH MODEL.onnx [REPEAT]
    python weightwatcher_compare.py MODEL.onnx

The second form is weightwatcher alone, to be timed as a whole process.

RELUPATH is the built binary. The torch model is made of the file's 2-D weights,
one Linear a layer; weightwatcher analyses it, relupath audits the file, and both
sets of Frobenius norms, spectral norms and stable ranks are printed with the
largest relative difference and the times. weightwatcher's time is that of its
analyze() alone, once, with what of it the singular values took; relupath's is the
median of REPEAT (default 5) whole processes. Seconds of all processors together
follow, which other programs disturb less. Needs torch, onnx and
weightwatcher (0.7 names its columns norm, spectral_norm, stable_rank; where norm
holds the squared Frobenius norm, its root is taken).
"""

import json
import logging
import math
import os
import statistics
import subprocess
import sys
import time

import numpy as np
import onnx
import scipy
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
    """weightwatcher's (frobenius, spectral, stable rank) of each layer, the seconds, those of the singular
    values, and the CPU seconds."""
    seq = []
    for _, w in ws:
        lin = torch.nn.Linear(w.shape[1], w.shape[0], bias=False)
        lin.weight.data = torch.from_numpy(w)
        seq.append(lin)
    watcher = weightwatcher.WeightWatcher(model=torch.nn.Sequential(*seq))
    svd_seconds = 0.0
    svd_vals = weightwatcher.weightwatcher.svd_vals

    def timed(*args, **kwargs):
        nonlocal svd_seconds
        start = time.perf_counter()
        try:
            return svd_vals(*args, **kwargs)
        finally:
            svd_seconds += time.perf_counter() - start

    weightwatcher.weightwatcher.svd_vals = timed
    start, start_cpu = time.perf_counter(), time.process_time()
    details = watcher.analyze(min_evals=1, randomize=False, mp_fit=False, plot=False)
    seconds, cpu = time.perf_counter() - start, time.process_time() - start_cpu
    by_layer = {}
    for _, row in details.sort_values("layer_id").iterrows():
        spectral, rank = float(row["spectral_norm"]), float(row["stable_rank"])
        by_layer[len(by_layer)] = (float(row["norm"]), spectral, rank)
    return by_layer, seconds, svd_seconds, cpu


def audit(relupath, model, repeat):
    """relupath's values of each layer, and the median, least and largest seconds, and the
    median CPU seconds."""
    seconds, cpu = [], []
    for _ in range(repeat):
        start, before = time.perf_counter(), os.times()
        out = subprocess.run([relupath, "audit", model, "--measures", "frobenius,spectral,stable_rank", "--format", "json"],
                             check=True, capture_output=True).stdout
        seconds.append(time.perf_counter() - start)
        after = os.times()
        cpu.append(after.children_user + after.children_system - before.children_user - before.children_system)
    found = []
    for layer in json.loads(out)["models"][0]["layers"]:
        v = {m["name"]: m["value"] for m in layer["measures"]}
        found.append((layer["name"], v["frobenius"], v["spectral"], v["stable_rank"]))
    return found, (statistics.median(seconds), min(seconds), max(seconds), statistics.median(cpu))


def main():
    logging.disable(logging.WARNING)
    if len(sys.argv) == 2:
        print(watch(list(layers(sys.argv[1])))[0])
        return
    relupath, model = sys.argv[1:3]
    ws = list(layers(model))
    repeat = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    ours, (t_ours, least, most, cpu_ours) = audit(relupath, model, repeat)
    theirs, t_theirs, t_svd, cpu_theirs = watch(ws)
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
    print(f"weightwatcher {weightwatcher.__version__}, torch {torch.__version__}, scipy {scipy.__version__}, numpy {np.__version__}")
    print(f"relupath {t_ours:.3f} s (process, median of {repeat}, {least:.3f} to {most:.3f})")
    print(f"weightwatcher {t_theirs:.3f} s (analyze), singular values {t_svd:.3f} s of it: {t_theirs / t_ours:.1f} times, {t_svd / t_ours:.1f} times")
    print(f"CPU: relupath {cpu_ours:.2f} s, weightwatcher {cpu_theirs:.2f} s: {cpu_theirs / cpu_ours:.1f} times")


main()
