"""Writes random networks that are only partly homogeneous, with every rule of rescaling mixed.

    python partly.py FOLDER [COUNT] [SEED]

Layers, convolutions (depthwise too), caps, gates, normalisers with scale and shift, attention
with grouped queries and rotary pairs, embeddings, recurrent cells, skips, concatenations and
pooling, in random order; float32 ONNX files that the checker passes. What balancing does to
their outputs in ONNX Runtime: balanced.py.
"""
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

STEPS, WIDTH = 4, 8  # of sequences: positions, and numbers at each


class Maker:
    def __init__(self, seed):
        self.rng, self.nodes, self.init, self.inputs, self.n = np.random.default_rng(seed), [], [], [], 0

    def name(self, op):
        self.n += 1
        return f"{op.lower()}{self.n}"

    def add(self, op, *x, **attr):
        y = self.name(op)
        self.nodes.append(h.make_node(op, list(x), [y], y, **attr))
        return y

    def const(self, a, kind=np.float32):
        name = self.name("c")
        self.init.append(nh.from_array(np.asarray(a, kind), name))
        return name

    def ints(self, *v):
        return self.const(v, np.int64)

    def weight(self, *shape):
        fan = max(1, int(np.prod(shape[1:]))) if len(shape) > 2 else shape[0]
        return self.const(self.rng.standard_normal(shape) / np.sqrt(fan))

    def coin(self):
        return self.rng.random() < 0.5

    def dense(self, x, n, m):
        y = self.add("MatMul", x, self.weight(n, m))
        return self.add("Add", y, self.weight(m)) if self.coin() else y

    def curve(self, x):
        op = self.rng.choice(["Sigmoid", "Tanh", "HardSwish", "Elu"])
        return self.add(str(op), x)

    def positive(self, x):
        k = self.rng.integers(5)
        if k == 0:
            return self.add("Relu", x)
        if k == 1:
            return self.add("LeakyRelu", x, alpha=0.1)
        if k == 2:
            return self.add("Clip", x, self.const(0), self.const(1.5))
        if k == 3:
            return self.add("Min", self.add("Relu", x), self.const(2))
        return x

    # Sequences: batch x STEPS x WIDTH.

    def mlp(self, x):
        y = (self.curve if self.rng.random() < 0.3 else self.positive)(self.dense(x, WIDTH, 12))
        return self.dense(y, 12, WIDTH)

    def gate(self, x):
        up, gate = self.dense(x, WIDTH, 6), self.dense(x, WIDTH, 6)
        if self.coin():
            gate = self.curve(gate)
        else:
            gate = self.add("Mul", gate, self.add("Sigmoid", gate))
        pair = (up, gate) if self.coin() else (gate, up)
        return self.dense(self.add("Mul", *pair), 6, WIDTH)

    def over(self, x):
        below = self.add("Exp", self.add("Tanh", self.dense(x, WIDTH, 5)))
        return self.dense(self.add("Div", self.dense(x, WIDTH, 5), below), 5, WIDTH)

    def norm(self, x):
        if self.coin():
            return self.add("LayerNormalization", x, self.weight(WIDTH), self.weight(WIDTH), axis=-1)
        y = self.add("Sub", x, self.add("ReduceMean", x, axes=[-1]))
        s = self.add("Sqrt", self.add("Add", self.add("ReduceMean", self.add("Mul", y, y), axes=[-1]), self.const(1e-5)))
        return self.add("Add", self.add("Mul", self.add("Div", y, s), self.weight(WIDTH)), self.weight(WIDTH))

    def heads(self, x, n, d, rotary):
        y = self.add("Reshape", self.dense(x, WIDTH, n * d), self.ints(0, STEPS, n, d))
        y = self.add("Transpose", y, perm=[0, 2, 1, 3])
        if not rotary:
            return y
        lo, hi = self.add("Slice", y, self.ints(0), self.ints(d // 2), self.ints(-1)), self.add(
            "Slice", y, self.ints(d // 2), self.ints(d), self.ints(-1))
        turned = self.add("Concat", self.add("Neg", hi), lo, axis=-1)
        angle = np.outer(np.arange(STEPS), np.tile(0.5 ** np.arange(d // 2), 2))
        return self.add("Add", self.add("Mul", y, self.const(np.cos(angle))), self.add("Mul", turned, self.const(np.sin(angle))))

    def attention(self, x):
        d, shared, times, rotary = int(self.rng.choice([2, 4])), int(self.rng.integers(1, 3)), int(self.rng.integers(1, 3)), self.coin()
        heads = shared * times

        def repeated(y):
            if times == 1:
                return y
            y = self.add("Expand", self.add("Unsqueeze", y, self.ints(2)), self.ints(1, shared, times, STEPS, d))
            return self.add("Reshape", y, self.ints(0, heads, STEPS, d))

        q, k, v = self.heads(x, heads, d, rotary), repeated(self.heads(x, shared, d, rotary)), repeated(self.heads(x, shared, d, False))
        s = self.add("MatMul", q, self.add("Transpose", k, perm=[0, 1, 3, 2]))
        s = self.add("Softmax", self.add("Mul", s, self.const(d ** -0.5)), axis=-1)
        y = self.add("Reshape", self.add("Transpose", self.add("MatMul", s, v), perm=[0, 2, 1, 3]), self.ints(0, STEPS, heads * d))
        return self.dense(y, heads * d, WIDTH)

    def cell(self, x):
        op = str(self.rng.choice(["RNN", "GRU", "LSTM"]))
        g, n = {"RNN": 1, "GRU": 3, "LSTM": 4}[op], 5
        y = self.add(op, self.add("Transpose", self.dense(x, WIDTH, 6), perm=[1, 0, 2]), self.weight(1, g * n, 6), self.weight(1, g * n, n),
                     self.weight(1, 2 * g * n), hidden_size=n)
        y = self.add("Transpose", self.add("Squeeze", y, self.ints(1)), perm=[1, 0, 2])
        return self.dense(y, n, WIDTH)

    def embedding(self, before):
        x = "tokens"
        if not self.inputs:
            self.inputs.append(h.make_tensor_value_info(x, T.INT64, [1, STEPS]))
        y = self.add("Gather", self.weight(8, WIDTH), x)
        return self.add("Add", before, self.dense(self.positive(y), WIDTH, WIDTH))

    def sequence(self, blocks):
        x = "x"
        for _ in range(blocks):
            f = self.rng.choice(np.array([self.mlp, self.gate, self.over, self.norm, self.attention, self.attention, self.cell, self.embedding], object))
            y = f(x)
            if self.coin():
                y = self.add("Add", x, y)
            elif self.rng.random() < 0.2:
                y = self.dense(self.add("Concat", x, y, axis=-1), 2 * WIDTH, WIDTH)
            x = y
        return self.dense(x, WIDTH, 3)

    # Images: batch x 4 x 6 x 6.

    def conv(self, x, n, m, k=3, group=1):
        y = self.add("Conv", x, self.weight(m, n // group, k, k), *([self.weight(m)] if self.coin() else []), group=group,
                     pads=[k // 2] * 4)
        if self.coin():
            y = self.add("BatchNormalization", y, self.weight(m), self.weight(m), self.weight(m), self.const(0.5 + self.rng.random(m)))
        return y

    def inverted(self, x):
        y = self.positive(self.conv(x, 4, 8, 1))
        y = self.positive(self.conv(y, 8, 8, 3, 8))
        return self.conv(self.excite(y, 8) if self.coin() else y, 8, 4, 1)

    def excite(self, x, n):
        y = self.positive(self.conv(self.add("GlobalAveragePool", x), n, 3, 1))
        return self.add("Mul", x, self.add("HardSigmoid", self.conv(y, 3, n, 1)))

    def normed(self, x):
        return self.add("InstanceNormalization", self.conv(x, 4, 4), self.weight(4), self.weight(4))

    def pooled(self, x):
        op = "MaxPool" if self.coin() else "AveragePool"
        return self.add(op, self.conv(x, 4, 4), kernel_shape=[3, 3], pads=[1] * 4)

    def image(self, blocks):
        x = "x"
        for _ in range(blocks):
            y = self.rng.choice(np.array([self.inverted, self.normed, self.pooled], object))(x)
            if self.coin():
                y = self.add("Add", x, y)
            elif self.rng.random() < 0.2:
                y = self.conv(self.add("Concat", x, y, axis=1), 8, 4, 1)
            x = self.positive(y)
        return self.dense(self.add("Flatten", self.add("GlobalAveragePool", x)), 4, 3)


def network(seed):
    m = Maker(seed)
    image = m.rng.random() < 0.35
    shape = [1, 4, 6, 6] if image else [1, STEPS, WIDTH]
    y = (m.image if image else m.sequence)(int(m.rng.integers(1, 5)))
    g = h.make_graph(m.nodes, "partly", [h.make_tensor_value_info("x", T.FLOAT, shape), *m.inputs],
                     [h.make_tensor_value_info(y, T.FLOAT, [1, 3] if image else [1, STEPS, 3])], m.init)
    model = h.make_model(g, opset_imports=[h.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def main(folder, count=2000, seed=0):
    Path(folder).mkdir(parents=True, exist_ok=True)
    for k in range(int(count)):
        onnx.save(network([int(seed), k]), str(Path(folder) / f"{k:05d}.onnx"))


main(*sys.argv[1:])
