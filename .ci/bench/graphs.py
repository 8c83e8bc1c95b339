#!/usr/bin/env python3
"""Times relupath on graphs of many small nodes.

    graphs.py [-n NODES] [-o DIR] [-k KIND,...] [-c COMMAND,...] RELUPATH

writes a model of each kind with about NODES nodes and prints, as a table of Markdown,
seconds (of the processor, and that passed) and peak memory in MiB of each command.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WIDTH = 4
KINDS = {}


def kind(f):
    KINDS[f.__name__] = f
    return f


class Graph:
    def __init__(self, seed=1):
        self.nodes, self.inits, self.ins, self.outs = [], [], [], []
        self.rng = np.random.default_rng(seed)

    def input(self, *shape):
        name = f"x{len(self.ins)}"
        self.ins.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape]))
        return name

    def output(self, name):
        self.outs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))

    def const(self, array):
        name = f"c{len(self.inits)}"
        self.inits.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def weights(self, *shape):
        fan_in = shape[0] if len(shape) == 2 else int(np.prod(shape[1:]))
        return self.const((self.rng.standard_normal(shape) * np.sqrt(2 / fan_in)).astype(np.float32))

    def node(self, op, *ins, outputs=1, **attrs):
        out = [f"v{len(self.nodes)}_{k}" for k in range(outputs)]
        self.nodes.append(helper.make_node(op, list(ins), out, name=f"n{len(self.nodes)}", **attrs))
        return out[0] if outputs == 1 else out

    def layer(self, x, n=WIDTH, m=WIDTH):
        return self.node("Relu", self.node("MatMul", x, self.weights(n, m)))

    def save(self, path):
        g = helper.make_graph(self.nodes, "g", self.ins, self.outs, self.inits)
        domains = [helper.make_opsetid("", 17), helper.make_opsetid("example.org", 1)]
        onnx.save(helper.make_model(g, opset_imports=domains), path)


@kind
def chain(g, n):
    x = g.input(WIDTH)
    for _ in range(n // 2):
        x = g.layer(x)
    g.output(g.node("MatMul", x, g.weights(WIDTH, 2)))


@kind
def biases(g, n):
    """Paths of as many lengths as there are layers."""
    x = g.input(WIDTH)
    for _ in range(n // 2):
        x = g.node("Relu", g.node("Gemm", x, g.weights(WIDTH, WIDTH), g.const(0.1 * g.rng.standard_normal(WIDTH).astype(np.float32))))
    g.output(g.node("MatMul", x, g.weights(WIDTH, 2)))


@kind
def convolutions(g, n):
    x = g.input(2, 6, 6)
    for _ in range(n // 2):
        x = g.node("Relu", g.node("Conv", x, g.weights(2, 2, 3, 3), kernel_shape=[3, 3], pads=[1, 1, 1, 1]))
    g.output(g.node("MatMul", g.node("Flatten", x), g.weights(72, 2)))


@kind
def additions(g, n):
    x = g.input(WIDTH)
    x = g.layer(x)
    for _ in range(n):
        x = g.node("Add", x, g.weights(1, WIDTH))
    g.output(g.node("MatMul", x, g.weights(WIDTH, 2)))


@kind
def residual(g, n):
    x = g.input(WIDTH)
    for _ in range(n // 4):
        y = g.node("MatMul", g.layer(x), g.const(np.float32(1e-3) * g.rng.standard_normal((WIDTH, WIDTH)).astype(np.float32)))
        x = g.node("Add", x, y)
    g.output(g.node("MatMul", x, g.weights(WIDTH, 2)))


@kind
def residual_growing(g, n):
    x = g.input(WIDTH)
    for _ in range(n // 4):
        x = g.node("Add", x, g.node("MatMul", g.layer(x), g.weights(WIDTH, WIDTH)))
    g.output(g.node("MatMul", x, g.weights(WIDTH, 2)))


@kind
def sum_of_chain(g, n):
    x, all_ = g.input(WIDTH), []
    for _ in range(n // 2):
        x = g.layer(x)
        all_.append(x)
    g.output(g.node("MatMul", g.node("Sum", *all_), g.weights(WIDTH, 2)))


@kind
def wide_sum(g, n):
    x = g.input(WIDTH)
    s = g.node("Sum", *[g.layer(x) for _ in range(n // 2)])
    g.output(g.node("MatMul", s, g.weights(WIDTH, 2)))


@kind
def wide_concat(g, n):
    x = g.input(WIDTH)
    s = g.node("Concat", *[g.layer(x) for _ in range(n // 2)], axis=1)
    g.output(g.node("MatMul", s, g.weights(n // 2 * WIDTH, 2)))


@kind
def wide_split(g, n):
    """Units of one value, each its own output of a Split, that a Sum joins."""
    x = g.node("MatMul", g.input(2), g.weights(2, n))
    parts = g.node("Split", x, g.const(np.ones(n, np.int64)), outputs=n, axis=1)
    g.output(g.node("MatMul", g.node("Sum", *parts), g.weights(1, 2)))


@kind
def split_and_concat(g, n):
    x = g.layer(g.input(2), 2, n)
    parts = g.node("Split", x, g.const(np.ones(n, np.int64)), outputs=n, axis=1)
    s = g.node("Concat", *[g.node("Relu", p) for p in reversed(parts)], axis=1)
    g.output(g.node("MatMul", s, g.weights(n, 2)))


@kind
def split_of_layers(g, n):
    x = g.layer(g.input(2), 2, n // 2)
    parts = g.node("Split", x, g.const(np.ones(n // 2, np.int64)), outputs=n // 2, axis=1)
    s = g.node("Sum", *[g.layer(p, 1, 2) for p in parts])
    g.output(g.node("MatMul", s, g.weights(2, 2)))


@kind
def nested_splits(g, n):
    size = 1 << (n - 1).bit_length() - 1
    level, width = [g.layer(g.input(2), 2, size)], size
    while width > 1:
        width //= 2
        half = g.const(np.array([width, width], np.int64))
        level = [y for x in level for y in g.node("Split", x, half, outputs=2, axis=1)]
    g.output(g.node("MatMul", g.node("Sum", *level), g.weights(1, 2)))


@kind
def peeled(g, n):
    """A Split of one unit and the rest, and again of the rest."""
    n = min(n, 4000)
    x, parts = g.layer(g.input(2), 2, n), []
    for k in range(n - 1):
        y, x = g.node("Split", x, g.const(np.array([1, n - 1 - k], np.int64)), outputs=2, axis=1)
        parts.append(y)
    g.output(g.node("MatMul", g.node("Sum", x, *parts), g.weights(1, 2)))


@kind
def gathers(g, n):
    x = g.layer(g.input(2), 2, n)
    parts = [g.node("Gather", x, g.const(np.array([k], np.int64)), axis=1) for k in range(n)]
    g.output(g.node("MatMul", g.node("Concat", *parts, axis=1), g.weights(n, 2)))


@kind
def slices(g, n):
    x = g.layer(g.input(2), 2, n)
    one = g.const(np.array([1], np.int64))
    ends = [g.const(np.array([k], np.int64)) for k in range(n + 1)]
    parts = [g.node("Slice", x, ends[k], ends[k + 1], one) for k in range(n)]
    g.output(g.node("MatMul", g.node("Sum", *parts), g.weights(1, 2)))


@kind
def inputs(g, n):
    xs = [g.input(1) for _ in range(n // 2)]
    s = g.node("Concat", *[g.layer(x, 1, 1) for x in xs], axis=1)
    g.output(g.node("MatMul", s, g.weights(n // 2, 2)))


@kind
def initializers(g, n):
    for _ in range(n):
        g.weights(WIDTH, WIDTH)
    g.output(g.node("MatMul", g.layer(g.input(WIDTH)), g.weights(WIDTH, 2)))


@kind
def outputs(g, n):
    x = g.layer(g.input(WIDTH))
    for _ in range(n // 2):
        g.output(g.node("MatMul", g.layer(x), g.weights(WIDTH, 1)))


@kind
def gates(g, n):
    x = g.input(WIDTH)
    for _ in range(n // 4):
        x = g.node("Mul", g.node("MatMul", x, g.weights(WIDTH, WIDTH)), g.node("Sigmoid", g.node("MatMul", x, g.weights(WIDTH, WIDTH))))
    g.output(g.node("MatMul", x, g.weights(WIDTH, 2)))


@kind
def normalisations(g, n):
    x = g.input(WIDTH)
    for _ in range(n // 3):
        x = g.node("LayerNormalization", g.layer(x), g.const(np.ones(WIDTH, np.float32)), g.const(np.zeros(WIDTH, np.float32)), axis=-1)
    g.output(g.node("MatMul", x, g.weights(WIDTH, 2)))


@kind
def embeddings(g, n):
    x = "ids"
    g.ins.append(helper.make_tensor_value_info(x, TensorProto.INT64, ["N", 1]))
    s = g.node("Concat", *[g.node("Relu", g.node("Gather", g.weights(WIDTH, WIDTH), x)) for _ in range(n // 2)], axis=2)
    g.output(g.node("MatMul", s, g.weights(n // 2 * WIDTH, 2)))


def branch(op, ins, out):
    """The graph of one node."""
    return helper.make_graph([helper.make_node(op, ins, [out])], "b", [], [helper.make_tensor_value_info(out, TensorProto.FLOAT, None)])


@kind
def branches(g, n):
    """Conditions that a constant decides, one after another."""
    x = g.layer(g.input(WIDTH))
    yes = g.const(np.array(True))
    for k in range(n // 3):
        y, w = f"b{k}", g.weights(WIDTH, WIDTH)
        x = g.node("Relu", g.node("If", yes, then_branch=branch("MatMul", [x, w], y + "t"), else_branch=branch("Relu", [x], y + "f")))
    g.output(g.node("MatMul", x, g.weights(WIDTH, 2)))


@kind
def nested(g, n):
    """Conditions inside conditions, twenty deep, side by side."""
    x, yes = g.layer(g.input(WIDTH)), g.const(np.array(True))
    for k in range(n // 40):
        w, inner = g.weights(WIDTH, WIDTH), None
        for d in range(20):
            y = f"b{k}_{d}"
            node = helper.make_node("MatMul", [x, w], [y])
            if inner is not None:
                node = helper.make_node("If", [yes], [y], then_branch=inner, else_branch=branch("Relu", [x], y + "f"))
            inner = helper.make_graph([node], "t", [], [helper.make_tensor_value_info(y, TensorProto.FLOAT, None)])
        x = g.node("Relu", g.node("If", yes, then_branch=inner, else_branch=branch("Relu", [x], f"e{k}")))
    g.output(g.node("MatMul", x, g.weights(WIDTH, 2)))


@kind
def opaque(g, n):
    """Operators that relupath does not know."""
    x = g.input(WIDTH)
    for _ in range(n // 2):
        x = g.node("Unknown", g.node("MatMul", x, g.weights(WIDTH, WIDTH)), domain="example.org")
    g.output(g.node("MatMul", x, g.weights(WIDTH, 2)))


@kind
def constants(g, n):
    """Weights in nodes."""
    x = g.input(WIDTH)
    for _ in range(n // 3):
        w = (g.rng.standard_normal((WIDTH, WIDTH)) * np.sqrt(2 / WIDTH)).astype(np.float32)
        x = g.node("Relu", g.node("MatMul", x, g.node("Constant", value=numpy_helper.from_array(w))))
    g.output(g.node("MatMul", x, g.weights(WIDTH, 2)))


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("relupath")
    ap.add_argument("-n", type=int, default=20000)
    ap.add_argument("-o")
    ap.add_argument("-k", default=",".join(KINDS))
    ap.add_argument("-c", default="inspect,audit,equivalent,run,enorm,cle,path,pathcond")
    ap.add_argument("--timeout", type=int, default=120)
    args = ap.parse_args()
    work = args.o or tempfile.mkdtemp()
    commands = args.c.split(",")
    print("| graph |", " | ".join(f"`{c}`" for c in commands), "|")
    print("|:--|" + "--:|" * len(commands))
    for k in args.k.split(","):
        path = os.path.join(work, f"{k}{args.n}.onnx")
        if not os.path.exists(path):
            g = Graph()
            KINDS[k](g, args.n)
            g.save(path)
        model = onnx.load(path)
        cells = []
        for c in commands:
            out = path + ".out"
            argv = {
                "inspect": ["inspect", path],
                "audit": ["audit", path],
                "equivalent": ["equivalent", path, path],
                "run": ["run", path, "-o", out, "--force"],
            }.get(c, ["balance", path, "--method", c, "-o", out, "--force"])
            if c == "run":
                for x in model.graph.input:
                    shape = [4] + [d.dim_value for d in x.type.tensor_type.shape.dim[1:]]
                    dtype = np.int64 if x.type.tensor_type.elem_type == TensorProto.INT64 else np.float32
                    np.save(os.path.join(work, "x.npy"), np.ones(shape, dtype))
                    name = x.name + "=" if len(model.graph.input) > 1 else ""
                    argv += ["--input", name + os.path.join(work, "x.npy")]
            with open(os.path.join(work, "log"), "wb") as log:
                start = time.time()
                p = subprocess.Popen(["timeout", str(args.timeout), args.relupath, *argv, "--quiet"], stdout=log, stderr=log)
                _, status, used = os.wait4(p.pid, 0)
                took = time.time() - start
            mark = ""
            if code := os.waitstatus_to_exitcode(status):
                mark = f" (exit {code})"
                with open(os.path.join(work, "log"), "rb") as log:
                    print(k, c, log.read()[-300:].decode(errors="replace"), file=sys.stderr)
            cells.append(f"{used.ru_utime + used.ru_stime:.1f} s, {took:.1f} s, {used.ru_maxrss / 1024:.0f}{mark}")
        print(f"| {k}, {os.path.getsize(path) / 1e6:.1f} MB |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
