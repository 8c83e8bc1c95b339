"""Whether `relupath equivalent` ever answers wrongly, on pairs of random networks.

    python pairs.py RELUPATH FOLDER COUNT [SEED]

FOLDER has networks that partly.py wrote; COUNT pairs are made of them, in turn:

  rescaled    thrown out of balance by relupath itself
  permuted    the units between two matrices, or two convolutions, in another order (--permute)
  written     other names, Constant nodes for initializers, sums turned round, nodes of Identity
  factor      as rescaled or as written, then one unit's incoming weights times 1.5
  moved       as rescaled or as written, then one weight moved by half of the largest

ONNX Runtime computes both files of a pair: those that are equivalent agree to 1e-4 of the
largest output, and the others count only if they do not. A wrong answer is exit code 1 for an
equivalent pair, or 0 for another; 4 is no answer. Prints the counts, and what went wrong.
"""
import collections
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper as h
from onnx import numpy_helper as nh

KINDS = ["rescaled", "permuted", "written", "factor", "moved"]
UNITWISE = {"Relu", "LeakyRelu", "Sigmoid", "Tanh", "HardSwish", "Elu", "HardSigmoid"}
ort.set_default_logger_severity(3)


def run(path, x):
    o = ort.SessionOptions()
    o.intra_op_num_threads = 1
    return ort.InferenceSession(str(path), o, providers=["CPUExecutionProvider"]).run(None, x)[0]


def feed(m, rng):
    names = {i.name: i for i in m.graph.input}
    of = {n: [d.dim_value for d in i.type.tensor_type.shape.dim] for n, i in names.items()}
    return {n: rng.integers(0, 8, s) if n == "tokens" else rng.standard_normal(s).astype(np.float32) for n, s in of.items()}


def rescaled(relupath, a, b, seed):
    line = [relupath, "balance", a, "--method", "unbalance", "--seed", str(seed), "-o", b, "--force", "--quiet", "--samples", "2"]
    subprocess.run(line, check=True, capture_output=True)
    return onnx.load(b)


def tensors(m):
    return {t.name: t for t in m.graph.initializer}


def put(m, name, a):
    t = tensors(m)[name]
    t.CopyFrom(nh.from_array(a.astype(nh.to_array(t).dtype), name))


def readers(m):
    out = collections.defaultdict(list)
    for n in m.graph.node:
        for k, x in enumerate(n.input):
            out[x].append((n, k))
    return out


def permuted(m, rng):
    """Looks for a matrix whose units are read by another alone, unit by unit, and turns them round."""
    by, init = readers(m), tensors(m)
    once = lambda t: t in init and len(by[t]) == 1  # noqa: E731
    for n in rng.permutation(np.array(list(m.graph.node), object)):
        if n.op_type not in ("MatMul", "Conv") or not once(n.input[1]):
            continue
        conv = n.op_type == "Conv"
        w = nh.to_array(init[n.input[1]])
        if w.ndim != (4 if conv else 2) or conv and w.shape[1] == 1:
            continue
        units = w.shape[0 if conv else 1]
        along, y = [(n.input[1], 0 if conv else 1)], n.output[0]
        if conv and len(n.input) > 2:
            along.append((n.input[2], 0))
        while len(by[y]) == 1:
            r, k = by[y][0]
            rest = [t for t in r.input if t != y]
            vectors = [t for t in rest if once(t) and nh.to_array(init[t]).shape == (units,)]
            scalars = [t for t in rest if t in init and nh.to_array(init[t]).size == 1]
            if r.op_type == n.op_type and k == 0 and once(r.input[1]):
                v = nh.to_array(init[r.input[1]])
                if v.ndim != w.ndim or v.shape[1 if conv else 0] != units:
                    break
                along.append((r.input[1], 1 if conv else 0))
                order = rng.permutation(units)
                for t, axis in along:
                    put(m, t, np.take(nh.to_array(init[t]), order, axis))
                return True
            if r.op_type in UNITWISE or r.op_type in ("Clip", "Min") and len(scalars) == len(rest):
                pass
            elif r.op_type in ("Add", "BatchNormalization") and len(vectors) == len(rest) > 0:
                along += [(t, 0) for t in vectors]
            else:
                break
            y = r.output[0]
    return False


def written(m, rng):
    """The same graph in another writing."""
    g = m.graph
    name = {}
    outputs, inputs = {o.name for o in g.output}, {i.name for i in g.input}
    new = lambda t: t if t in outputs or t in inputs or not t else name.setdefault(t, f"v{len(name)}")  # noqa: E731
    nodes, kept = [], []
    for t in g.initializer:
        if rng.random() < 0.5 and t.data_type == 1:
            nodes.append(h.make_node("Constant", [], [new(t.name)], value=nh.from_array(nh.to_array(t))))
        else:
            kept.append(nh.from_array(nh.to_array(t), new(t.name)))
    for n in g.node:
        n.input[:] = [new(x) for x in n.input]
        n.output[:] = [new(x) for x in n.output]
        if n.op_type in ("Add", "Mul") and rng.random() < 0.5:
            n.input[:] = [n.input[1], n.input[0]]
        if rng.random() < 0.2:
            nodes.append(h.make_node("Identity", [n.input[0]], [f"same{len(nodes)}"]))
            n.input[0] = nodes[-1].output[0]
        n.name = f"n{len(nodes)}"
        nodes.append(n)
    del g.initializer[:]
    g.initializer.extend(kept)
    nodes = [onnx.NodeProto.FromString(n.SerializeToString()) for n in nodes]
    del g.node[:]
    g.node.extend(nodes)


def spoiled(m, kind, rng):
    """Changes one unit or one weight; false where there is no matrix left to change."""
    weights = [t.name for t in m.graph.initializer if len(t.dims) in (2, 4) and t.data_type == 1]
    if not weights:
        return False
    t = str(rng.choice(np.array(weights, object)))
    w = nh.to_array(tensors(m)[t]).copy()
    if kind == "factor":
        axis = 0 if w.ndim == 4 else 1
        at = [slice(None)] * w.ndim
        at[axis] = rng.integers(w.shape[axis])
        w[tuple(at)] *= 1.5
    else:
        w[tuple(rng.integers(d) for d in w.shape)] += abs(w).max() / 2
    put(m, t, w)
    return True


def main(relupath, folder, count, seed=0):
    paths = sorted(Path(folder).glob("*.onnx"))
    done, wrong = collections.Counter(), 0
    with tempfile.TemporaryDirectory() as tmp:
        a, b = str(Path(tmp) / "a.onnx"), str(Path(tmp) / "b.onnx")
        k = -1
        while sum(done.values()) < int(count) and k < 20 * int(count):
            k += 1
            rng = np.random.default_rng([int(seed), k])
            path, kind = paths[k // len(KINDS) % len(paths)], KINDS[k % len(KINDS)]
            m = onnx.load(path)
            onnx.save(m, a)
            if kind == "rescaled" or kind in ("factor", "moved") and rng.random() < 0.5:
                m = rescaled(relupath, a, b, k)
            elif kind != "permuted":
                written(m, rng)
            if kind == "permuted" and not permuted(m, rng) or kind in ("factor", "moved") and not spoiled(m, kind, rng):
                continue
            onnx.checker.check_model(m, full_check=True)
            onnx.save(m, b)
            far = 0
            for _ in range(4):
                x = feed(m, rng)
                y, z = run(a, x), run(b, x)
                far = max(far, abs(y - z).max() / abs(y).max())
            if kind in ("factor", "moved") and not far > 1e-4:
                continue  # a dead unit
            assert kind in ("factor", "moved") or far < 1e-4, (path, kind, far)
            line = [relupath, "equivalent", a, b, "--quiet", *(["--permute"] if kind == "permuted" or rng.random() < 0.3 else [])]
            code = subprocess.run(line, capture_output=True).returncode
            done[kind, code] += 1
            if code not in (0, 1, 4) or code == (0 if kind in ("factor", "moved") else 1):
                wrong += 1
                print(f"wrong: {path}, pair {k} ({kind}): exit code {code}, outputs apart by {far:.2g}", flush=True)
    for (kind, code), n in sorted(done.items()):
        print(f"{kind}: exit code {code}: {n}")
    print(f"{sum(done.values())} pairs, {wrong} wrong answers")
    sys.exit(wrong > 0)


main(*sys.argv[1:])
