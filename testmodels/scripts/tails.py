"""Compares the tails of spectra with the pip package weightwatcher, layer by layer.

    python tails.py RELUPATH [--no-bulk] [--positions] MODEL.onnx...
    python tails.py --record OUT.json MODEL.onnx...
    python tails.py --recorded OUT.json RELUPATH MODEL.onnx...

The first form audits each file with RELUPATH, the built binary, gives weightwatcher the same
matrices as torch layers (BatchNormalization folded in, as relupath has them), once as they
are and once with convolutions flattened, and prints for each model the number of layers and
the largest relative difference of each column. It fails where one is above 1e-6. --no-bulk
leaves the Marchenko-Pastur fit out, which takes weightwatcher most of its time, --positions flattened convolutions. Times are
of whole processes for relupath, of analyze() for weightwatcher, in seconds and in seconds of
all processors. The second form records weightwatcher's numbers, the third compares with what was
recorded, for files of the same bytes. The first two need torch, onnx and weightwatcher 0.7.7.
"""

import contextlib
import hashlib
import io
import json
import logging
import os
import subprocess
import sys
import time

import numpy as np
import onnx
from onnx import numpy_helper

COLUMNS = {"alpha": "alpha", "alpha_weighted": "alpha_weighted", "log_alpha_norm": "log_alpha_norm", "log_spectral_norm": "log_spectral_norm",
           "alpha_xmin": "xmin", "alpha_distance": "D", "alpha_tail": "num_pl_spikes", "esd_stable_rank": "stable_rank"}
BULK = {"mp_spikes": "num_spikes", "mp_edge": "bulk_max", "mp_softrank": "mp_softrank"}


def matrices(path):
    """Yields (node name, weights, groups) of convolutions and matrix products with stored weights, out first."""
    graph = onnx.load(path).graph
    stored = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    for n in graph.node:
        if n.op_type == "Constant" and n.attribute[0].name == "value":
            stored[n.output[0]] = numpy_helper.to_array(n.attribute[0].t)
        if n.op_type == "Transpose" and n.input[0] in stored:
            stored[n.output[0]] = np.transpose(stored[n.input[0]], next((list(a.ints) for a in n.attribute if a.name == "perm"), None))
    readers = {}
    for n in graph.node:
        for x in n.input:
            readers.setdefault(x, []).append(n)
    for n in graph.node:
        if n.op_type not in ("Conv", "Gemm", "MatMul"):
            continue
        k = next((k for k, x in enumerate(n.input[:2]) if x in stored), None)
        if k is None or stored[n.input[k]].ndim not in (2, 4):
            continue
        w = stored[n.input[k]].astype(np.float64)
        attr = {a.name: onnx.helper.get_attribute_value(a) for a in n.attribute}
        if w.ndim == 2 and not (n.op_type == "Gemm" and attr.get("transB")) and not (n.op_type == "MatMul" and k == 0):
            w = w.T
        if n.op_type == "Gemm":
            w = w * attr.get("alpha", 1.0)
        after = readers.get(n.output[0], [])
        if len(after) == 1 and after[0].op_type == "BatchNormalization":
            bn = after[0]
            eps = next((a.f for a in bn.attribute if a.name == "epsilon"), 1e-5)
            scale = stored[bn.input[1]].astype(np.float64) / np.sqrt(stored[bn.input[4]].astype(np.float64) + eps)
            w = w * scale.reshape(-1, *[1] * (w.ndim - 1))
        yield n.name or n.output[0], w, attr.get("group", 1)


def flattened(w, groups):
    """The matrix of a convolution: one column an input channel and position, groups as blocks."""
    w = w.reshape(len(w), -1)
    if groups == 1:
        return w
    out = np.zeros((len(w), groups * w.shape[1]))
    for g, rows in enumerate(np.split(np.arange(len(w)), groups)):
        out[rows, g * w.shape[1]:(g + 1) * w.shape[1]] = w[rows]
    return out


def layer(w):
    """A torch layer with the weights."""
    import torch

    if w.ndim == 2:
        m = torch.nn.Linear(1, 1, bias=False)
    else:
        m = torch.nn.Conv2d(1, 1, 1, bias=False)
    m.weight.data = torch.from_numpy(np.ascontiguousarray(w))
    return m


def watch(ws, bulk):
    """weightwatcher's columns of each layer that it analyses, by index, with the seconds."""
    import torch
    import weightwatcher

    model = torch.nn.Sequential(*[layer(w) for w in ws])
    with contextlib.redirect_stdout(io.StringIO()):
        watcher = weightwatcher.WeightWatcher(model=model)
        start, cpu = time.perf_counter(), time.process_time()
        details = watcher.analyze(mp_fit=bulk)
        took = time.perf_counter() - start, time.process_time() - cpu
    rows = {}
    for _, row in details.iterrows():
        if "longname" in row and str(row["longname"]).isdigit():
            k = int(row["longname"])
        else:
            k = int(row["layer_id"]) - 1
        if row["status"] == "success":
            rows[k] = row
    return rows, took


def flat(w):
    """Whether rounding alone chooses the mode of weightwatcher's density estimate, and with it the law that it fits."""
    mats = [w] if w.ndim == 2 else [w[:, :, i, j] / np.sqrt(2) for i in range(w.shape[2]) for j in range(w.shape[3])]
    x = np.sort(np.concatenate([np.linalg.svd(m.astype(np.float32).astype(np.float64), compute_uv=False)**2 for m in mats]))
    x *= len(x) / x.sum()
    if max(mats[0].shape) == min(mats[0].shape):
        return False  # the quarter circle has no mode
    at = np.linspace(0, x[-1] + 0.5, 1000)
    y = np.maximum(0, 1 - np.abs(at[:, None] - x) / 0.1).sum(1)
    return (y > y.max() * (1 - 1e-10)).sum() > 1


def audit(relupath, path, measures):
    before, start = os.times(), time.perf_counter()
    out = subprocess.run([relupath, "audit", path, "--measures", ",".join(measures), "--format", "json", "--quiet"], check=True, capture_output=True).stdout
    wall, after = time.perf_counter() - start, os.times()
    found = {x["name"]: {m["name"]: m.get("value") for m in x["measures"]} for x in json.loads(out)["models"][0]["layers"]}
    return found, (wall, after.children_user + after.children_system - before.children_user - before.children_system)


def compare(relupath, path, bulk, readings):
    names, ws, groups = zip(*matrices(path))
    columns = dict(COLUMNS, **(BULK if bulk else {}))
    bad = False
    for reading in readings:
        suffix = "" if reading == "positions" else "_flattened"
        if suffix:
            ws = [flattened(w, g) for w, g in zip(ws, groups)]
            columns.pop("esd_stable_rank")
        rows, theirs = watch(ws, bulk)
        found, ours = audit(relupath, path, [c + suffix for c in columns])
        worst, missing, flats = {}, [], []
        for k, row in rows.items():
            if names[k] not in found:
                missing.append(names[k])
                continue
            loose = bulk and flat(ws[k])
            if loose:
                flats.append(names[k])
            for ours_name, column in columns.items():
                if loose and ours_name in BULK:
                    continue
                a, b = found[names[k]].get(ours_name + suffix), float(row[column])
                if isinstance(a, str):
                    a = float(a)
                d = float("inf") if a is None else abs(a - b) / max(abs(b), 1e-300) if b else abs(a)
                if d > worst.get(ours_name, (-1,))[0]:
                    worst[ours_name] = (d, names[k], a, b)
        print(f"{os.path.basename(path)}, {reading}: {len(rows)} of {len(names)} layers; "
              f"weightwatcher {theirs[0]:.1f} s, CPU {theirs[1]:.1f}; relupath {ours[0]:.2f} s, CPU {ours[1]:.2f}")
        if missing:
            print("  not in relupath's report:", *missing[:5], f"({len(missing)})")
        if flats:
            print("  decided by rounding, bulk not compared:", *flats[:5], f"({len(flats)})")
        for name, (d, at, a, b) in worst.items():
            if d > 1e-6:
                bad = True
            print(f"  {name:18} {d:8.1e}" + (f"  {at}: {a} and {b}" if d > 1e-6 else ""))
    return bad


def record(out, paths):
    found = {}
    for path in paths:
        names, ws, _ = zip(*matrices(path))
        rows, _ = watch(ws, True)
        found[os.path.basename(path)] = {
            names[k]: {ours: float(row[column]) for ours, column in {**COLUMNS, **({} if flat(ws[k]) else BULK)}.items()}
            for k, row in rows.items()}
    with open(out, "w") as f:
        json.dump({"weightwatcher": "0.7.7", "sha256": {os.path.basename(p): digest(p) for p in paths}, "models": found}, f, indent=1)
        f.write("\n")


def digest(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def compare_recorded(file, relupath, paths):
    with open(file) as f:
        known = json.load(f)
    bad = False
    for path in paths:
        name = os.path.basename(path)
        if known["sha256"][name] != digest(path):
            print(f"{name} is not the file that was recorded")
            bad = True
            continue
        layers = known["models"][name]
        found, _ = audit(relupath, path, [*COLUMNS, *BULK])
        worst, at = max((abs(float(found[l][c]) - v) / max(abs(v), 1e-300), f"{c} of {l}") for l, columns in layers.items() for c, v in columns.items())
        print(f"{name}: {sum(map(len, layers.values()))} numbers of {len(layers)} layers; the largest relative difference is {worst:.1e}, {at}")
        bad |= not worst <= 1e-6
    return bad


def main():
    logging.disable(logging.WARNING)
    if sys.argv[1] == "--recorded":
        sys.exit(compare_recorded(*sys.argv[2:4], sys.argv[4:]))
    if sys.argv[1] == "--record":
        record(sys.argv[2], sys.argv[3:])
        return
    options = ("--no-bulk", "--positions")
    relupath, *paths = [a for a in sys.argv[1:] if a not in options]
    readings = ["positions"] + ["flattened"] * ("--positions" not in sys.argv)
    if any([compare(relupath, p, "--no-bulk" not in sys.argv, readings) for p in paths]):
        sys.exit(1)


main()
