"""Capacity measures as three published codes define them, beside relupath's, of one network.

    bounds.py RELUPATH [MODEL [LIMIT]]

MODEL is mnist_mlp (the default) or usps_conv, LIMIT the number of training examples (2000).
The formulas are those of the authors' codes, computed here by NumPy from the file: Gonon et al.
2024 (its theorem and remark), Neyshabur et al. 2018 (generalization-bounds), Dziugaite et al. 2020, who
compute the measures of Jiang et al. 2020 (robust-generalization-measures). Each row says what turns
the code's number into relupath's. The initial network is one of random weights. It prints a table in
Markdown and ends with 1 where a number without randomness differs by more than 1e-6.
"""

import json
import math
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import numpy_helper

import data
import measures
import record
from body import Body, MaxPool, sources

INF = float("inf")


def initial(path, out):
    """Writes the model with weights from N(0,1)/sqrt(fan-in) and biases 0."""
    model, rng = onnx.load(path), np.random.RandomState(7)
    for t in model.graph.initializer:
        w = numpy_helper.to_array(t)
        if w.dtype == np.float32:
            new = rng.standard_normal(w.shape) / math.sqrt(max(1, w[0].size)) if w.ndim > 1 else np.zeros(w.shape)
            t.CopyFrom(numpy_helper.from_array(new.astype(np.float32), t.name))
    onnx.save(model, out)


def margins(body, x, y):
    out = []
    for row, label in zip(x, y):
        f = np.asarray(body.forward(row.ravel().astype(np.float64)))
        out.append(f[label] - np.delete(f, label).max())
    return np.sort(out)


def maxpools(node):
    """(window sizes, the most poolings on a path) behind a node."""
    sizes, most = set(), 0
    for s in sources(node):
        a, b = maxpools(s)
        sizes, most = sizes | a, max(most, b)
    if isinstance(node, MaxPool):
        sizes, most = sizes | {max(len(w) for w in node.windows)}, most + 1
    return sizes, most


def ones(body, p):
    """The network of |w|^p at ones: maxima stay maxima."""
    def through(node):
        args = [through(s) for s in sources(node)]
        if not args:
            return np.ones(node.size)
        if isinstance(node, MaxPool):
            return np.array([args[0][w].max() for w in node.windows])
        if hasattr(node, "W"):
            w, b = node.dense()
            return np.abs(w) ** p @ args[0] + (0 if b is None else np.abs(b) ** p)
        return args[0][node.index] if hasattr(node, "index") else args[0]
    return through(body.output).sum()


def rows(body, first, x, y):
    """(code, its quantity, its number, relupath's measure, what is done to relupath's number, remark)."""
    m, margin = len(x), margins(body, x, y)
    w = [np.asarray(l.W, np.float64) for l in body.layers]
    dw = [a - np.asarray(b.W, np.float64) for a, b in zip(w, first.layers)]
    d, din, dout = len(w), body.input.size, body.output.size
    sigma = [np.linalg.norm(a, 2) for a in w]
    top = math.prod(sigma)
    fro, dfro = [np.linalg.norm(a) for a in w], [np.linalg.norm(a) for a in dw]
    norm = lambda a, p, q: np.linalg.norm(np.linalg.norm(a, ord=p, axis=1), ord=q)
    schatten = lambda a, p: (np.linalg.svd(a, compute_uv=False) ** p).sum() ** (1 / p)
    same = lambda v: v

    # Gonon et al. 2024: theorem 3.1 and remark 3.1, with the margin for the constant of the loss.
    gamma = np.percentile(margin, 5)
    sizes, most = maxpools(body.output)
    depth, pools, k = measures.depth(body), len(sizes), max(sizes, default=1)
    path = float(measures.path_g(body, 1.0, "include").sum())
    front = 4 * max(1.0, np.abs(x).max()) / (gamma * math.sqrt(m)) * path
    ways = 3 + 2 * pools
    yield "G24", "theorem 3.1", front * math.sqrt(depth * math.log(ways * k) + math.log(ways / (1 + pools) * (din + 1) * dout)), "bound_path_g24", same, ""
    yield "G24", "remark 3.1", front * math.sqrt(depth * math.log(3) + most * math.log(k) + math.log((din + 1) * dout)), "bound_path_g24_sharpened", same, ""

    # Neyshabur et al. 2018.
    alpha, over = math.sqrt(d + math.log(din)), f"over {gamma:.4g}, the 5th percentile"
    count = sum(l.W.size + (0 if l.b is None else len(l.b)) for l in (body.layers))
    yield "N18", "L_{1,inf} norm", math.prod(norm(a, 1, INF) for a in w) / gamma, "product_group_norm(1,inf)_over_margin", same, over
    yield "N18", "Frobenius norm", math.prod(fro) / gamma, "product_frobenius_over_margin", same, ""
    yield "N18", "L_{3,1.5} norm", math.prod(norm(a, 3, 1.5) for a in w) / gamma, "product_group_norm(3,1.5)_over_margin", same, ""
    yield "N18", "spectral norm", top / gamma, "product_spectral_over_margin", same, ""
    yield "N18", "L_1.5 operator norm", math.prod(schatten(a, 1.5) for a in w) / gamma, "product_schatten(1.5)_over_margin", same, ""
    yield "N18", "trace norm", math.prod(schatten(a, 1) for a in w) / gamma, "product_schatten(1)_over_margin", same, ""
    for p in (1, 1.5, 2):
        yield "N18", f"L{p:g} path norm", ones(body, p) ** (1 / p) / gamma, f"path_norm({p:g})_over_margin", same, "pool" if sizes else ""
    yield "N18", "L1_max bound", alpha * math.prod(norm(a, 1, INF) for a in w) / gamma / math.sqrt(m), "bound_l1_inf", same, ""
    yield "N18", "Frobenius bound", alpha * math.prod(fro) / gamma / math.sqrt(m), "bound_frobenius", same, ""
    yield "N18", "L_{3,1.5} bound", alpha * math.prod(norm(a, 3, 1.5) for a in w) / gamma / m ** (1 / 3), "bound_l3_15", same, ""
    ratio = sum((norm(a, 2, 1) / s) ** (2 / 3) for a, s in zip(dw, sigma)) ** 1.5
    yield "N18", "Spec_L_{2,1} bound", math.log(m) * math.log(count) * top / gamma * ratio / math.sqrt(m), "bound_spectral_l21", same, ""
    ratio = math.sqrt(sum(len(a) * (f / s) ** 2 for a, f, s in zip(dw, dfro, sigma)))
    yield "N18", "Spec_Fro bound", d * top / gamma * ratio / math.sqrt(m), "bound_spectral_frobenius", same, ""

    # Dziugaite et al. 2020, before the division by m and the root. A star marks --published.
    g = abs(margin[m // 10 - 1])
    total = lambda of: sum(v * v for v in of)
    logs = lambda of: sum(2 * math.log(v) for v in of)
    gap = 2 * math.log(g)
    yield "J20", "PARAMS", sum(a.size for a in w), "omega of pac_bayes_mag_orig", same, "weights without biases"
    yield "J20", "INVERSE_MARGIN", 1 / g**2, "inverse_margin_squared*", same, f"{g:.4g}, the k-th margin"
    yield "J20", "LOG_PROD_OF_SPEC", logs(sigma), "sum_log_spectral_squared", same, ""
    yield "J20", "LOG_PROD_OF_SPEC_OVER_MARGIN", logs(sigma) - gap, "sum_log_spectral_squared_over_margin*", same, ""
    yield "J20", "LOG_SPEC_INIT_MAIN", logs(sigma) - gap + math.log(sum((f / s) ** 2 for f, s in zip(dfro, sigma))), "spec_init_over_margin*", math.log, "ln"
    yield "J20", "LOG_SPEC_ORIG_MAIN", logs(sigma) - gap + math.log(sum((f / s) ** 2 for f, s in zip(fro, sigma))), "spec_orig_over_margin*", math.log, "ln"
    yield "J20", "FRO_OVER_SPEC", sum((f / s) ** 2 for f, s in zip(fro, sigma)), "fro_over_spec", same, ""
    yield "J20", "LOG_SUM_OF_SPEC", math.log(d) + logs(sigma) / d, "sum_of_spectral", math.log, "ln"
    yield "J20", "LOG_SUM_OF_SPEC_OVER_MARGIN", math.log(d) + (logs(sigma) - gap) / d, "sum_of_spectral_over_margin*", math.log, "ln"
    yield "J20", "LOG_PROD_OF_FRO", logs(fro), "sum_log_frobenius_squared", same, ""
    yield "J20", "LOG_PROD_OF_FRO_OVER_MARGIN", logs(fro) - gap, "sum_log_frobenius_squared_over_margin*", same, ""
    yield "J20", "LOG_SUM_OF_FRO", math.log(d) + logs(fro) / d, "sum_of_frobenius", math.log, "ln"
    yield "J20", "LOG_SUM_OF_FRO_OVER_MARGIN", math.log(d) + (logs(fro) - gap) / d, "sum_of_frobenius_over_margin*", math.log, "ln"
    yield "J20", "FRO_DIST", total(dfro), "distance_frobenius", np.square, "squared"
    yield "J20", "DIST_SPEC_INIT", total(np.linalg.norm(a, 2) for a in dw), "distance_spectral", np.square, "squared"
    yield "J20", "PARAM_NORM", total(fro), "sum_frobenius_squared", same, ""
    yield "J20", "PATH_NORM", ones(body, 2), "path_2", same, "pool" if sizes else ""
    yield "J20", "PATH_NORM_OVER_MARGIN", ones(body, 2) / g**2, "path_2_over_margin*", same, "pool" if sizes else ""


def searched(body, x, y, floor):
    """J20's sigma: deviations of sigma^2, or sigma^2 w^2 + floor^2, from 10 draws; for networks of dense layers."""
    rng = np.random.RandomState(1)

    def accuracy(deviation):
        z = x.reshape(len(x), -1).astype(np.float64)
        for k, l in enumerate(body.layers):
            w, b = (a + deviation(np.asarray(a, np.float64)) * rng.standard_normal(a.shape) for a in (l.W, l.b))
            z = (np.maximum(z, 0) if k else z) @ w.T + b
        return (z.argmax(1) == y).mean()

    clean, low, high = accuracy(lambda _: 0.0), 0.0, 2.0
    for _ in range(15):
        sigma = (low + high) / 2
        deviation = (lambda w: sigma**2 * w**2 + floor**2) if floor else (lambda _: sigma**2)
        moved = abs(np.mean([accuracy(deviation) for _ in range(10)]) - clean)
        if abs(moved - 0.1) < 0.01:
            break
        low, high = (low, sigma) if moved > 0.1 else (sigma, high)
    return sigma


def flatness(body, first, x, y, ours):
    """The PAC-Bayes measures: the bounds at relupath's sigma, and the search for it."""
    symbol = lambda name, of: dict((s["name"], float(s["value"])) for s in ours[of]["symbols"])[name]
    w = np.concatenate([np.asarray(l.W, np.float64).ravel() for l in body.layers])
    dw = w - np.concatenate([np.asarray(l.W, np.float64).ravel() for l in first.layers])
    m, same, eps = len(x), lambda v: v, 1e-3
    sigma, mag = symbol("sigma", "pac_bayes_flatness"), symbol("sigma", "pac_bayes_magnitude_flatness")
    for name, v in (("INIT", dw), ("ORIG", w)):
        yield "J20", f"PACBAYES_{name}", v @ v / (4 * sigma**2) + math.log(m / sigma) + 10, f"pac_bayes_{name.lower()}*", same, "at the same sigma"
    for name, v in (("INIT", dw), ("ORIG", w)):
        top = eps**2 + (mag**2 + 1) * (v @ v) / len(v)
        yield "J20", f"PACBAYES_MAG_{name}", np.log(top / (eps**2 + mag**2 * dw**2)).sum() / 4 + math.log(m / mag) + 10, f"pac_bayes_mag_{name.lower()}*", same, "at the same sigma"
    if all(l.b is not None and l.W.shape[1] == before for l, before in zip(body.layers, [body.input.size] + [len(l.W) for l in body.layers])):
        yield "J20", "PACBAYES_FLATNESS", 1 / searched(body, x, y, 0) ** 4, "pac_bayes_flatness*", same, "random: 1/sigma^4 there, whose sigma^2 is the deviation"


def audit(relupath, model, first, spec, published):
    names = ["all"] if published else ["all", "product_schatten_over_margin"]
    args = [relupath, "audit", model, "--reference", first, "--data", spec, "--measures", ",".join(names), "--p", "1,1.5,2",
            "--group", "1:inf,3:1.5", "--format", "json", "--quiet"] + ["--published"] * published
    found = {}
    for m in json.loads(subprocess.run(args, check=True, capture_output=True).stdout)["models"][0]["measures"]:
        orders = ",".join(str(m[k]) for k in ("p", "q") if m.get(k))
        base, over, _ = m["name"].partition("_over_margin")
        found[base + (f"({orders})" if orders else "") + over] = m
    return found



def main():
    relupath, name, limit = sys.argv[1], (sys.argv[2:] + ["mnist_mlp"])[0], int((sys.argv[3:] + ["2000"])[0])
    model = record.model_path(name)
    source = name.split("_")[0]
    x, y = getattr(data, source)()[:2]
    x, y = x[:limit], y[:limit]
    folder = data.DATASETS / source
    spec = {"mnist": f"mnist:{folder},limit={limit}", "usps": f"csv:{folder}/zip.train.csv.gz,header,label=0,limit={limit}"}[source]
    bad = False
    with tempfile.TemporaryDirectory() as work:
        first = os.path.join(work, "first.onnx")
        initial(model, first)
        ours, published = (audit(relupath, str(model), first, spec, p) for p in (False, True))
        print("| code | its quantity | its number | relupath's measure | number | difference | |\n|---|---|---|---|---|---|---|")
        body, start = Body(model), Body(first)
        for code, quantity, theirs, measure, how, note in [*rows(body, start, x, y), *flatness(body, start, x, y, published)]:
            if measure.startswith("omega"):
                value = dict((s["name"], s["value"]) for s in published["pac_bayes_mag_orig"]["symbols"])["omega"]
            else:
                value = (published if measure.endswith("*") else ours)[measure.rstrip("*")]["value"]
            value = float(how(float(value)))
            off = abs(value - theirs) / abs(theirs)
            if note == "pool":
                note = "a maximum passes on its largest operand there, all of them here"
            elif off > (0.5 if note.startswith("random") else 1e-6):
                bad = True
            print(f"| {code} | {quantity} | {theirs:.6g} | `{measure.rstrip('*')}`{' `--published`' * measure.endswith('*')} | {value:.6g} | {off:.1g} | {note} |")
    sys.exit(bad)


main()
