"""Random cases of single operators with ONNX Runtime's results.

    python operators.py DIR [SEED [CASES]]

writes CASES folders an operator below DIR, each as the ONNX project lays out its
backend tests: model.onnx, test_data_set_0/input_k.pb and output_k.pb. Attributes,
shapes and opsets are drawn at random; a draw that ONNX Runtime refuses is drawn
again.
"""

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

ort.set_default_logger_severity(4)


class Draw:
    """One draw: random numbers, and the attributes and inputs of a node."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def int(self, lo, hi):
        """An integer in [lo, hi]."""
        return int(self.rng.integers(lo, hi + 1))

    def of(self, *choices):
        return choices[self.int(0, len(choices) - 1)]

    def maybe(self, chance=0.5):
        return bool(self.rng.random() < chance)

    def ints(self, n, lo, hi):
        return [self.int(lo, hi) for _ in range(n)]

    def floats(self, *shape):
        return np.asarray(self.rng.integers(-20, 21, shape) / 8, np.float32)

    def shape(self, rank, lo=1, hi=4):
        return self.ints(rank, lo, hi)

    def broadcast(self, shape):
        """A shape that broadcasts to the given one."""
        out = [d if self.maybe(0.6) else 1 for d in shape]
        return out[self.int(0, len(out)) :]


def window(d, n, pads=True, auto=True, dilations=True):
    a = {"kernel_shape": d.ints(n, 1, 3), "strides": d.ints(n, 1, 3)}
    if dilations and d.maybe():
        a["dilations"] = d.ints(n, 1, 2)
    if auto and d.maybe(0.3):
        a["auto_pad"] = d.of("SAME_UPPER", "SAME_LOWER", "VALID")
    elif pads and d.maybe():
        a["pads"] = d.ints(2 * n, 0, 2)
    return a


def conv(d, transposed=False):
    n, g = d.of(1, 2, 2, 3), d.of(1, 1, 2)
    a = dict(window(d, n), group=g)
    cin, cout = g * d.int(1, 3), g * d.int(1, 3)
    x = d.floats(d.int(1, 3), cin, *d.shape(n, 4, 7))
    if transposed:
        w, m = d.floats(cin, cout // g, *a["kernel_shape"]), cout
        if d.maybe(0.3):
            a["output_padding"] = [d.int(0, s - 1) for s in a["strides"]]
        elif d.maybe(0.3):
            a.pop("pads", None)
            a["output_shape"] = [s * (k - 1) + 1 + d.int(0, 1) for s, k in zip(a["strides"], x.shape[2:])]
    else:
        w, m = d.floats(cout, cin // g, *a["kernel_shape"]), cout
    if d.maybe():
        del a["kernel_shape"]
    return a, [x, w] + ([d.floats(m)] if d.maybe() else [])


def fused_conv(d):
    a, x = conv(d)
    a["activation"] = d.of("Relu", "LeakyRelu", "Tanh", "Sigmoid", "Clip", "HardSigmoid")
    params = {"LeakyRelu": [0.25], "Clip": [0.0, 6.0], "HardSigmoid": [0.25, 0.5]}
    if a["activation"] in params:
        a["activation_params"] = params[a["activation"]]
    return a, x


def pool(d, average=False):
    n = d.of(1, 2, 3)
    a = window(d, n)
    if d.maybe():
        a["ceil_mode"] = 1
    if average and d.maybe():
        a["count_include_pad"] = 1
    return a, [d.floats(d.int(1, 3), d.int(1, 3), *d.shape(n, 4, 8))]


def max_pool_places(d):
    a, x = pool(d)
    a["storage_order"] = d.int(0, 1)
    return a, x, 2


def reduce(d, opset, name):
    r = d.int(1, 4)
    x = np.abs(d.floats(*d.shape(r))) + 1 if name.startswith("ReduceLog") else d.floats(*d.shape(r))
    a, ins = {}, [x]
    axes = sorted(set(d.ints(d.int(1, r), 0, r - 1)))
    axes = [k - r if d.maybe(0.3) else k for k in axes]
    if d.maybe():
        a["keepdims"] = d.int(0, 1)
    if d.maybe(0.8):
        if opset >= (13 if name == "ReduceSum" else 18):
            ins.append(np.array(axes, np.int64))
        else:
            a["axes"] = axes
    elif opset >= 18:
        a["noop_with_empty_axes"] = d.int(0, 1)
    return a, ins


def pair(d, types=(np.float32,)):
    t = d.of(*types)
    s = d.shape(d.int(1, 4))
    x, y = [np.asarray(d.floats(*z) * 8).astype(t).reshape(z) for z in (s, d.broadcast(s))]
    if t != np.float32:
        y = np.where(y == 0, 3, y).astype(t)
    return {}, [x, y][:: d.of(1, -1)]


def gemm(d):
    m, n, k = d.shape(3)
    a = {"transA": d.int(0, 1), "transB": d.int(0, 1), "alpha": d.of(1.0, 0.5, -2.0), "beta": d.of(1.0, 0.25, 0.0)}
    ins = [d.floats(*((k, m) if a["transA"] else (m, k))), d.floats(*((n, k) if a["transB"] else (k, n)))]
    if d.maybe(0.7):
        ins.append(d.floats(*d.broadcast([m, n])))
    return a, ins


def fused_gemm(d):
    a, ins = gemm(d)
    return dict(a, activation=d.of("Relu", "Tanh", "Sigmoid", "Elu"), activation_alpha=0.5), ins


def matmul(d):
    k = d.int(1, 4)
    s = d.shape(d.int(0, 2))
    x = [k] if d.maybe(0.2) else d.of(s, s[-1:], []) + [d.int(1, 4), k]
    y = [k] if d.maybe(0.2) else d.of(s, s[-1:], []) + [k, d.int(1, 4)]
    return {}, [d.floats(*x), d.floats(*y)]


def fused_matmul(d):
    m, n, k = d.shape(3)
    a = {"transA": d.int(0, 1), "transB": d.int(0, 1), "alpha": d.of(1.0, 0.5)}
    s = d.of([], [d.int(1, 3)])
    return a, [d.floats(*s, *((k, m) if a["transA"] else (m, k))), d.floats(*((n, k) if a["transB"] else (k, n)))]


def batch_norm(d):
    s = d.shape(d.int(2, 4))
    c = s[1]
    return {"epsilon": d.of(1e-5, 0.1)}, [d.floats(*s), d.floats(c), d.floats(c), d.floats(c), np.abs(d.floats(c)) + 0.5]


def prelu(d):
    s = d.shape(d.int(1, 4))
    return {}, [d.floats(*s), d.floats(*d.broadcast(s))]


def clip(d):
    bounds = sorted(d.of((0.0, np.inf), (-1.0, 1.0), (0.0, 6.0), (-np.inf, 0.0)))
    return {}, [d.floats(*d.shape(d.int(1, 3)))] + [np.array(b, np.float32) for b in bounds]


def unary(**choices):
    def make(d):
        return {k: d.of(*v) for k, v in choices.items() if d.maybe(0.7)}, [d.floats(*d.shape(d.int(1, 4)))]

    return make


def along(d, lo_rank=1, **extra):
    r = d.int(lo_rank, 4)
    a = {k: d.of(*v) for k, v in extra.items()}
    if d.maybe(0.8):
        a["axis"] = d.int(-r, r - 1)
    return a, [d.floats(*d.shape(r))]


def reshape(d):
    s = d.shape(d.int(1, 4))
    p, to = int(np.prod(s)), []
    while p > 1 and len(to) < 3:
        f = d.of(*[k for k in range(1, p + 1) if p % k == 0])
        to.append(f)
        p //= f
    to.append(p)
    if d.maybe():
        to[d.int(0, len(to) - 1)] = -1
    to = [0 if i < len(s) and t == s[i] and d.maybe() else t for i, t in enumerate(to)]
    return {}, [d.floats(*s), np.array(to, np.int64)]


def transpose(d):
    r = d.int(1, 4)
    return ({"perm": [int(k) for k in d.rng.permutation(r)]} if d.maybe(0.8) else {}), [d.floats(*d.shape(r))]


def squeeze(d, opset):
    s = [1 if d.maybe(0.5) else k for k in d.shape(4)]
    axes = [i for i, k in enumerate(s) if k == 1]
    if d.maybe(0.3) or not axes:
        return {}, [d.floats(*s)]
    return ({}, [d.floats(*s), np.array(axes, np.int64)]) if opset >= 13 else ({"axes": axes}, [d.floats(*s)])


def unsqueeze(d, opset):
    s = d.shape(d.int(1, 3))
    n = d.int(1, 2)
    axes = [int(k) for k in d.rng.permutation(len(s) + n)[:n]]
    return ({}, [d.floats(*s), np.array(axes, np.int64)]) if opset >= 13 else ({"axes": axes}, [d.floats(*s)])


def split(d, opset):
    r, n = d.int(1, 4), d.int(1, 3)
    s, k = d.shape(r), d.int(0, r - 1)
    sizes = d.ints(n, 1, 3)
    a = {"axis": k - r * d.int(0, 1)}
    ins = []
    if d.maybe(0.6):
        s[k] = sum(sizes)
        if opset >= 13:
            ins = [np.array(sizes, np.int64)]
        else:
            a["split"] = sizes
    else:
        s[k] = n * d.int(1, 3)
        if opset >= 18:
            a["num_outputs"] = n
            s[k] = max(n, s[k] - d.int(0, 1)) if n > 1 else s[k]
    return a, [d.floats(*s)] + ins, n


def slice_(d):
    r = d.int(1, 4)
    axes = [int(k) for k in d.rng.permutation(r)[: d.int(1, r)]]
    n = len(axes)
    steps = [d.of(1, 1, 2, -1, -2) for _ in axes]
    pick = lambda lo, hi: np.array([d.of(lo, hi, *range(-5, 6)) for _ in range(n)], np.int64)
    starts, ends = pick(-100, 100), pick(-(2**62), 2**62)
    return {}, [d.floats(*d.shape(r, 2, 5)), starts, ends, np.array(axes, np.int64), np.array(steps, np.int64)]


def gather(d):
    r = d.int(1, 3)
    s, k = d.shape(r), d.int(0, r - 1)
    return {"axis": k}, [d.floats(*s), d.rng.integers(-s[k], s[k], d.shape(d.int(0, 2))).astype(np.int64)]


def concat(d):
    r, n = d.int(1, 4), d.int(1, 3)
    s, k = d.shape(r), d.int(0, r - 1)
    shapes = [s[:k] + [d.int(1, 3)] + s[k + 1 :] for _ in range(n)]
    return {"axis": k - r * d.int(0, 1)}, [d.floats(*z) for z in shapes]


def pad(d):
    r = d.int(1, 4)
    s, mode = d.shape(r, 3, 5), d.of("constant", "reflect", "edge")
    lo = -1 if mode == "constant" else 0
    ins = [d.floats(*s), np.array(d.ints(2 * r, lo, 2), np.int64)]
    if mode == "constant" and d.maybe():
        ins.append(np.array(d.of(0, 1.5), np.float32))
    return {"mode": mode}, ins


def expand(d):
    s = d.shape(d.int(1, 4))
    return {}, [d.floats(*d.broadcast(s)), np.array(s, np.int64)]


def tile(d):
    r = d.int(1, 3)
    return {}, [d.floats(*d.shape(r)), np.array(d.ints(r, 1, 3), np.int64)]


def depth_to_space(d):
    b = d.int(1, 3)
    return {"blocksize": b, "mode": d.of("DCR", "CRD")}, [d.floats(d.int(1, 2), b * b * d.int(1, 2), *d.shape(2))]


def space_to_depth(d):
    b = d.int(1, 3)
    return {"blocksize": b}, [d.floats(d.int(1, 2), d.int(1, 2), b * d.int(1, 2), b * d.int(1, 2))]


def resize(d):
    s = d.shape(4, 2, 5)
    a = {
        "mode": "nearest",
        "coordinate_transformation_mode": d.of("asymmetric", "half_pixel", "pytorch_half_pixel", "align_corners"),
        "nearest_mode": d.of("floor", "ceil", "round_prefer_floor", "round_prefer_ceil"),
    }
    none = np.array([], np.float32)
    if d.maybe():
        return a, [d.floats(*s), none, np.array([1, 1, *[d.of(0.5, 1, 2, 3, 1.5) for _ in range(2)]], np.float32)]
    return a, [d.floats(*s), none, none, np.array(s[:2] + d.ints(2, 1, 8), np.int64)]


def smooth(d):
    s, none = d.shape(4, 3, 9), np.array([], np.float32)
    a = {"mode": d.of("linear", "cubic"), "antialias": 1, "exclude_outside": d.int(0, 1), "coordinate_transformation_mode": d.of("half_pixel", "pytorch_half_pixel", "align_corners")}
    if d.maybe():
        return a, [d.floats(*s), none, np.array([1, 1, *[d.of(0.5, 1, 2, 0.6, 0.34) for _ in range(2)]], np.float32)]
    return a, [d.floats(*s), none, none, np.array(s[:2] + d.ints(2, 1, 12), np.int64)]


def upsample(d):
    return {"mode": "nearest"}, [d.floats(*d.shape(4)), np.array([1, 1, d.of(1, 2, 3), d.of(1, 2)], np.float32)]


def where(d):
    s = d.shape(d.int(1, 3))
    return {}, [d.floats(*d.broadcast(s)) > 0, d.floats(*s), d.floats(*d.broadcast(s))]


def range_(d):
    lo, step = d.int(-5, 5), d.of(1, 2, -3)
    t = d.of(np.int64, np.float32, np.int32)
    return {}, [np.array(v, t) for v in (lo, lo + step * d.int(0, 4) + d.of(0, step > 0 or -1), step)]


def several(d):
    s = d.shape(d.int(1, 3))
    return {}, [d.floats(*s)] + [d.floats(*d.broadcast(s)) for _ in range(d.int(0, 2))]


def cast(d):
    t = d.of(np.float32, np.float64, np.int32, np.int64, np.uint8)
    to = d.of(TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL)
    return {"to": to}, [np.abs(d.floats(*d.shape(2)) * 5).astype(t)]


def power(d):
    return {}, [np.abs(d.floats(*d.shape(2))) + 0.5, np.array(d.of(1, 2, 0.5, -1), np.float32)]


def scaler(d):
    n = d.int(1, 4)
    size = d.of(1, n)
    return {"offset": list(map(float, d.floats(size))), "scale": list(map(float, d.floats(size)))}, [d.floats(d.int(1, 3), n)]


def extractor(d):
    s = d.shape(2, 2, 5)
    return {}, [d.floats(*s), d.rng.integers(0, s[1], (1, d.int(1, 3))).astype(np.int64)]


def steps(d, *shape, times=1):
    """Scales: powers of two, so that no rounding stands between two runs."""
    return np.asarray(times * 2.0 ** -d.rng.integers(1, 5, shape), np.float32)


def whole(d, t, *shape):
    """Numbers of a quantised type, and a zero point."""
    i = np.iinfo(t)
    return np.asarray(d.rng.integers(max(i.min, -40), min(i.max, 40) + 1, shape), t)


def quantize(d, opset):
    s, t = d.shape(d.int(1, 4)), d.of(np.uint8, np.int8)
    k = d.int(0, len(s) - 1)
    n = [s[k]] if opset >= 13 and d.maybe() else []
    a = {"axis": k - len(s) * d.int(0, 1)} if n else {}
    if opset >= 21 and d.maybe():
        size = d.int(1, 3)
        a, n = {"axis": k, "block_size": size}, s[:k] + [-(-s[k] // size)] + s[k + 1 :]
    zero = [whole(d, t, *n)] if d.maybe(0.7) or t == np.int8 else []
    return a, [d.floats(*s) * 4, steps(d, *n)] + zero


def dequantize(d, opset):
    a, ins = quantize(d, opset)
    t = ins[2].dtype if len(ins) > 2 else np.uint8
    return a, [whole(d, t, *ins[0].shape)] + ins[1:]


def matmul_integer(d):
    m, n, k = d.shape(3)
    a, b = d.of(np.uint8, np.int8), d.of(np.uint8, np.int8)
    ins = [whole(d, a, *d.of([m, k], [2, m, k])), whole(d, b, k, n)]
    if d.maybe(0.7):
        ins.append(whole(d, a))
    if len(ins) > 2 and d.maybe():
        ins.append(whole(d, b, *d.of([], [n])))
    return {}, ins


def conv_integer(d):
    a, x = conv(d)
    a.pop("auto_pad", None)
    t = np.uint8
    return a, [whole(d, t, *x[0].shape), whole(d, t, *x[1].shape)] + ([whole(d, t)] if d.maybe() else [])


def qlinear_matmul(d):
    m, n, k = d.shape(3)
    a, b = np.uint8, d.of(np.uint8, np.int8)
    c = d.of([], [n])
    return {}, [
        *(whole(d, a, m, k), steps(d), whole(d, a)),
        *(whole(d, b, k, n), steps(d, *c), whole(d, b, *c)),
        *(steps(d, times=16), whole(d, a)),
    ]


def qlinear_conv(d):
    a, x = conv(d)
    m = x[1].shape[0]
    w, c = d.of((np.uint8, []), (np.int8, [m]), (np.int8, []))
    ins = [whole(d, np.uint8, *x[0].shape), steps(d), whole(d, np.uint8)]
    ins += [whole(d, w, *x[1].shape), steps(d, *c), np.zeros(c, w), steps(d, times=16), whole(d, np.uint8)]
    return a, ins + ([whole(d, np.int32, m)] if d.maybe() else [])


def qlinear_pair(d):
    s, t = d.shape(d.int(1, 3)), d.of(np.uint8, np.int8)
    x = [whole(d, t, *s), steps(d), whole(d, t), whole(d, t, *d.broadcast(s)), steps(d), whole(d, t)]
    return {}, x + [steps(d, times=2), whole(d, t)]


def qlinear_one(attributes=None, rank=(1, 4), t=np.uint8):
    def make(d):
        s = d.shape(d.int(*rank), 2, 4)
        return dict(attributes or {}), [whole(d, t, *s), steps(d), whole(d, t), steps(d, times=0.917), whole(d, t)]

    return make


def qlinear_softmax(d):
    t, s = d.of(np.uint8, np.int8), d.shape(d.int(1, 3), 2, 5)
    y = np.array(d.of(1 / 256, 0.01), np.float32)
    return {"opset": d.of(11, 13), "axis": d.int(0, len(s) - 1)}, [whole(d, t, *s), steps(d), whole(d, t), y, np.array(0 if t == np.uint8 else -128, t)]


def qgemm(d):
    m, n, k = d.shape(3)
    b, c = d.of((np.uint8, []), (np.int8, [n]))
    t = d.int(0, 1)
    ins = [whole(d, np.uint8, m, k), steps(d), whole(d, np.uint8)]
    ins += [whole(d, b, *((n, k) if t else (k, n))), steps(d, *c), whole(d, b, *c), whole(d, np.int32, n)]
    return {"transB": t, "alpha": d.of(1.0, 0.5)}, ins + (qgemm_end(d) if d.maybe() else [])


def qgemm_end(d):
    return [steps(d, times=16), whole(d, np.uint8)]


def qlinear_concat(d):
    x = [steps(d), whole(d, np.uint8)]
    for n in d.ints(2, 1, 3):
        x += [whole(d, np.uint8, 2, n), steps(d), whole(d, np.uint8)]
    return {"axis": 1}, x


def matmul_to_float(d):
    m, n, k = d.shape(3)
    t, c = d.of(np.uint8, np.int8), d.of([], [n])
    none = np.zeros(0, np.float32)
    ins = [whole(d, np.uint8, *d.of([m, k], [2, m, k])), whole(d, t, k, n), steps(d), steps(d, *c)]
    ins += [whole(d, np.uint8) if d.maybe() else none, whole(d, t, *c) if d.maybe() else none]
    return {}, ins + ([d.floats(n)] if d.maybe() else [])


def dynamic_matmul(d):
    m, n, k = d.shape(3)
    t, c = d.of(np.uint8, np.int8), d.of([], [n])
    ins = [d.floats(*d.of([m, k], [2, m, k])), whole(d, t, k, n), steps(d, *c), whole(d, t, *c) if d.maybe() else np.zeros(0, np.float32)]
    return {}, ins + ([d.floats(n)] if d.maybe() else [])


def qlinear_where(d):
    s, t = d.shape(d.int(1, 3)), d.of(np.uint8, np.int8)
    parts = [d.rng.random(s) < 0.5, whole(d, t, *s), steps(d), whole(d, t), whole(d, t, *d.broadcast(s)), steps(d), whole(d, t)]
    return {}, parts + [steps(d, times=2), whole(d, t)]


def quantised_embedding(d):
    a, ins, _ = embedding(d)
    ins = (ins + [np.zeros(0, np.int32)])[:8]
    of = [k for k in range(2, 7) if ins[k].size]
    t = np.uint8
    for k in of:
        ins[k] = whole(d, t, *ins[k].shape)
    ends = [[make() if k in of else np.zeros(0, np.float32) for k in range(2, 7)] for make in (lambda: steps(d), lambda: whole(d, t))]
    return a, ins + ends[0] + ends[1], 2


def bits(d):
    t = d.of(np.uint8, np.uint32, np.int32, np.int64)
    x, y = pair(d)[1]
    return {}, [whole(d, t, *x.shape), whole(d, t, *y.shape)]


def shift(d):
    t = d.of(np.uint8, np.uint32, np.uint64)
    x, y = pair(d)[1]
    return {"direction": d.of("LEFT", "RIGHT")}, [whole(d, t, *x.shape), np.asarray(d.rng.integers(0, 8, y.shape), t)]


def layer_normalization(d):
    s = d.shape(d.int(2, 4))
    k = d.int(0, len(s) - 1)
    a = {"axis": k - len(s) * d.int(0, 1), "epsilon": d.of(1e-5, 0.125)}
    return a, [d.floats(*s), d.floats(*s[k:]), *([d.floats(*s[k:])] if d.maybe() else [])], d.of(1, 3)


def image_scaler(d):
    s = d.shape(4)
    return {"scale": d.of(1.0, 0.5), "bias": list(map(float, d.floats(s[1])))}, [d.floats(*s)]


def scatter(d):
    return scatter_elements(d, 9)


def recurrent(gates, lstm=False, **attributes):
    def make(d):
        t, b, n, h = d.shape(4)
        way = d.of("forward", "reverse", "bidirectional")
        k = 2 if way == "bidirectional" else 1
        a = {k: d.of(*v) for k, v in attributes.items() if d.maybe()} | {"direction": way, "hidden_size": h}
        if d.maybe(0.3):
            a["clip"] = 0.75
        ins = [d.floats(t, b, n), d.floats(k, gates * h, n) / 2, d.floats(k, gates * h, h) / 2]
        none = np.zeros(0, np.float32)
        ins.append(d.floats(k, 2 * gates * h) if d.maybe(0.7) else none)
        ins.append(np.full(b, d.int(1, t), np.int32) if d.maybe(0.3) else none)
        ins.append(d.floats(k, b, h) if d.maybe() else none)
        if lstm:
            ins += [d.floats(k, b, h) if d.maybe() else none, d.floats(k, 3 * h) if d.maybe(0.3) else none]
        return a, ins, 3 if lstm else 2

    return make


def microsoft_attention(d):
    b, t, n, h = d.int(1, 2), d.int(1, 4), d.of(1, 2), d.of(2, 4)
    e = n * h
    ins = [d.floats(b, t, 3), d.floats(3, 3 * e) / 4, d.floats(3 * e)]
    if d.maybe(0.6):
        ins.append(np.asarray(d.rng.integers(0, 2, (b, t)), np.int32))
        ins[3][:, 0] = 1
        if d.maybe():
            ins[3] = ins[3].sum(1).astype(np.int32)
    return {"num_heads": n, "unidirectional": d.int(0, 1)}, ins


def multi_head_attention(d):
    b, t, s, n, h = d.int(1, 2), d.int(1, 4), d.int(1, 4), d.of(1, 2), d.of(2, 4)
    e = n * h
    none = np.zeros(0, np.float32)
    ins = [d.floats(b, t, e), d.floats(b, s, e), d.floats(b, s, e), d.floats(3 * e) if d.maybe() else none]
    if d.maybe(0.3):
        ins.append(np.asarray(d.rng.integers(0, 2, (b, s)), np.int32))
        ins[4][:, 0] = 1
    else:
        ins.append(none)
    if d.maybe(0.3):
        ins.append(d.floats(b, n, t, s))
    return {"num_heads": n}, ins


def microsoft_rotary(d):
    b, t, n, h, rows = d.int(1, 2), d.int(1, 4), d.of(1, 2), d.of(2, 4), 6
    at = d.of(np.array([1], np.int64), np.asarray(d.rng.integers(0, rows, (b, t)), np.int64))
    x = d.of(d.floats(b, t, n * h), d.floats(b, n, t, h))
    return {"interleaved": d.int(0, 1)}, [x, at, d.floats(rows, h // 2), d.floats(rows, h // 2)]


def attention(d):
    b, t, s, n, g, h = d.int(1, 2), d.int(1, 4), d.int(1, 4), d.of(1, 2), d.of(1, 2), d.of(2, 4)
    ins = [d.floats(b, n * g, t, h), d.floats(b, n, s, h), d.floats(b, n, s, h)]
    if d.maybe():
        ins.append(d.of(d.floats(t, s), d.floats(b, n * g, t, s)))
    return {"is_causal": d.int(0, 1), "softcap": d.of(0.0, 2.0)}, ins


def lp_pool(d):
    a, x = pool(d)
    a.pop("ceil_mode", None)
    a.pop("dilations", None)
    return dict(a, p=d.of(1, 2, 3)), x


def encoder(d):
    return {"cats_int64s": [3, 1, 7]}, [np.asarray(d.rng.integers(0, 8, d.shape(d.int(1, 2))), np.int64)]


def imputer(d):
    n = d.int(1, 4)
    x = d.floats(3, n)
    return {"imputed_value_floats": list(map(float, d.floats(d.of(1, n)))), "replaced_value_float": d.of(0.5, 0.0)}, [x]


def biased(d):
    s = d.shape(d.int(1, 3), 3, 5)
    return {}, [d.floats(*s), d.floats(s[-1])]


def places(d, shape, n):
    """Index tensors of the shape into axes of n entries, some of them counted from the end."""
    return d.rng.integers(-n, n, shape).astype(np.int64)


def gather_elements(d):
    r = d.int(1, 3)
    s, k = d.shape(r), d.int(0, r - 1)
    to = [d.int(1, n) for n in s]
    return {"axis": k}, [d.floats(*s), places(d, to, s[k])]


def combined(d, opset):
    """The attribute reduction, or none."""
    if opset < 16 or d.maybe(0.3):
        return {}
    return {"reduction": d.of(*("add", "mul", "max", "min")[: 4 if opset >= 18 else 2])}


def scatter_elements(d, opset):
    r = d.int(1, 3)
    s, k = d.shape(r), d.int(0, r - 1)
    to = [d.int(1, n) for n in s]
    a = combined(d, opset)
    index = places(d, to, s[k])
    if not a:  # which of two writes comes last is not defined
        index = np.argsort(d.rng.random(to), axis=k)
    return dict(a, axis=k), [d.floats(*s), index, d.floats(*to)]


def gather_nd(d, opset):
    r = d.int(1, 4)
    s = d.shape(r)
    b = d.int(0, r - 1) if opset >= 12 else 0
    to = s[:b] + d.shape(d.int(0, 2))
    index = np.stack([places(d, to, s[b + k]) for k in range(d.int(1, r - b))], -1)
    return {"batch_dims": b} if opset >= 12 else {}, [d.floats(*s), index]


def scatter_nd(d, opset):
    r = d.int(1, 3)
    s, n = d.shape(r), d.int(1, r)
    count = int(np.prod(s[:n]))
    a = combined(d, opset)
    flat = d.rng.integers(0, count, d.int(1, 4)) if a else d.rng.permutation(count)[: d.int(1, count)]
    index = np.stack(np.unravel_index(flat, s[:n]), -1).astype(np.int64)
    return a, [d.floats(*s), index, d.floats(len(flat), *s[n:])]


def dft(d, opset):
    s = d.shape(d.int(1, 2), 1, 6) + [d.int(2, 9)]
    axis = d.int(1, len(s) - 1)
    inverse, onesided = d.of((0, 0), (1, 0), (0, 1))
    x = d.floats(*s, 1 if onesided else d.of(1, 2))
    length = np.array(d.int(2, 9), np.int64) if d.maybe() else np.array([])
    a = {"inverse": inverse, "onesided": onesided}
    if opset < 20:
        return dict(a, axis=axis), [x, length] if length.size else [x]
    return a, [x, length, np.array(axis, np.int64)]


def stft(d):
    n, length = d.int(8, 30), d.int(2, 8)
    window = d.floats(length) if d.maybe() else np.array([])
    return {"onesided": d.of(0, 1)}, [d.floats(d.int(1, 2), n, 1), np.array(d.int(1, 5), np.int64), window, np.array(length, np.int64)]


def grid_sample(d, opset):
    n = 2 if opset < 20 else d.of(2, 3)
    modes = ("bilinear", "nearest", "bicubic") if opset < 20 else ("linear", "nearest", "cubic")
    a = {"mode": d.of(*modes), "padding_mode": d.of("zeros", "border", "reflection"), "align_corners": d.of(0, 1)}
    batch = d.int(1, 2)
    grid = (d.rng.random((batch, *d.shape(n), n)) * 3 - 1.5).astype(np.float32)
    return a, [d.floats(batch, d.int(1, 3), *d.shape(n, 2, 5)), grid]


def fold(d):
    n = d.of(2, 2, 3)
    image, block = d.shape(n, 3, 6), d.shape(n, 1, 3)
    a = {"strides": d.ints(n, 1, 2), "pads": d.ints(2 * n, 0, 1)} if d.maybe(0.8) else {}
    strides, pads = a.get("strides", [1] * n), a.get("pads", [0] * 2 * n)
    places = int(np.prod([(image[k] + pads[k] + pads[n + k] - block[k]) // strides[k] + 1 for k in range(n)]))
    x = d.floats(d.int(1, 2), d.int(1, 2) * int(np.prod(block)), places)
    return a, [x, np.array(image, np.int64), np.array(block, np.int64)]


def center(d):
    r = d.int(1, 4)
    axes = [int(k) for k in d.rng.permutation(r)[: d.int(1, r)]]
    a = {"axes": [k - r * d.int(0, 1) for k in axes]} if len(axes) < r or d.maybe() else {}
    return a, [d.floats(*d.shape(r, 1, 5)), np.array(d.ints(len(axes) if a else r, 1, 6), np.int64)]


def affine_grid(d):
    n, b = d.of(2, 3), d.int(1, 3)
    return {"align_corners": d.int(0, 1)}, [d.floats(b, n, n + 1), np.array([b, 1, *d.shape(n, 2, 4)], np.int64)]


def unpool(d):
    n = d.of(1, 2, 3)
    s = [d.int(1, 2), d.int(1, 2), *d.shape(n, 2, 3)]
    a = {"kernel_shape": [2] * n, "strides": [2] * n}
    to = s[:2] + [2 * k for k in s[2:]]
    extra = []
    if d.maybe():
        to = to[:2] + [k + d.int(0, 1) for k in to[2:]]
        extra = [np.array(to, np.int64)]
    places = d.rng.permutation(int(np.prod(to)))[: int(np.prod(s))].reshape(s).astype(np.int64)
    return a, [d.floats(*s), places, *extra]


def roi_align(d, opset):
    b, h, w, n = d.int(1, 3), d.int(2, 6), d.int(2, 6), d.int(1, 3)
    a = {"output_height": d.int(1, 3), "output_width": d.int(1, 3), "sampling_ratio": d.int(0, 2), "spatial_scale": d.of(1.0, 0.5), "mode": d.of("avg", "avg", "max")}
    if opset >= 16:
        a["coordinate_transformation_mode"] = d.of("half_pixel", "output_half_pixel")
    lo = d.rng.random((n, 2)) * 4
    rois = np.concatenate([lo, lo + d.rng.random((n, 2)) * 6], 1).astype(np.float32)
    return a, [d.floats(b, d.int(1, 3), h, w), rois, d.rng.integers(0, b, n).astype(np.int64)]


def roi_pool(d):
    b, n = d.int(1, 3), d.int(1, 3)
    lo = d.rng.integers(0, 5, (n, 2))
    rois = np.concatenate([d.rng.integers(0, b, (n, 1)), lo, lo + d.rng.integers(0, 6, (n, 2))], 1).astype(np.float32)
    return {"pooled_shape": d.ints(2, 1, 3), "spatial_scale": d.of(1.0, 0.5)}, [d.floats(b, d.int(1, 3), *d.shape(2, 2, 6)), rois]


def deformed(d):
    g, parts, b = d.of(1, 2), d.of(1, 2), d.int(1, 2)
    cin, cout, kernel, size = 2 * d.int(1, 2), g * d.int(1, 2), d.ints(2, 1, 3), d.shape(2, 4, 6)
    a = {"group": g, "offset_group": parts, "strides": d.ints(2, 1, 2), "dilations": d.ints(2, 1, 2), "pads": d.ints(4, 0, 2), "kernel_shape": kernel}
    out = [(size[k] + a["pads"][k] + a["pads"][2 + k] - a["dilations"][k] * (kernel[k] - 1) - 1) // a["strides"][k] + 1 for k in range(2)]
    taps = kernel[0] * kernel[1]
    ins = [d.floats(b, cin, *size), d.floats(cout, cin // g, *kernel), (d.rng.random((b, 2 * parts * taps, *out)) * 4 - 2).astype(np.float32)]
    ins.append(d.floats(cout) if d.maybe() else np.zeros(0, np.float32))
    return a, ins + ([d.floats(b, parts * taps, *out)] if d.maybe() else [])


def cumulative(d):
    r = d.int(1, 3)
    return {"exclusive": d.int(0, 1), "reverse": d.int(0, 1)}, [d.floats(*d.shape(r)), np.array(d.int(-r, r - 1), np.int64)]


def cache_update(d):
    b, rows, n = d.int(1, 3), d.int(2, 6), d.int(2, 3)
    t = d.int(1, rows)
    mode = d.of("linear", "circular")
    at = d.rng.integers(0, rows if mode == "circular" else rows - t + 1, b).astype(np.int64)
    heads = [2] if d.maybe() else []
    return {"mode": mode}, [d.floats(b, *heads, rows, n), d.floats(b, *heads, t, n), at]


def einsum(d):
    s = {c: d.int(1, 4) for c in "ijkl"}
    equation = d.of("ij,jk->ik", "ii->i", "ii", "iij->j", "bii->bi", "ij,ij->i", "ijk,kl->ijl", "bij,bkj->bik", "iij,jk->ik", "i,j->ij")
    s["b"] = d.int(1, 3)
    return {"equation": equation}, [d.floats(*(s[c] for c in term)) for term in equation.split("->")[0].split(",")]


def loss(d, outputs=1):
    s = [d.int(1, 3), d.int(2, 4), *d.shape(d.int(0, 2))]
    a = {"reduction": d.of("none", "mean", "sum")}
    target = d.rng.integers(0, s[1], [s[0], *s[2:]]).astype(np.int64)
    if d.maybe(0.3):
        a["ignore_index"] = int(target.flat[0])
    return a, [d.floats(*s), target] + ([np.abs(d.floats(s[1])) + 1] if d.maybe() else []), d.int(1, outputs)


def reverse_sequence(d):
    s = d.shape(d.int(2, 4))
    t = d.of(0, 1)
    return {"time_axis": t, "batch_axis": 1 - t}, [d.floats(*s), d.rng.integers(1, s[t] + 1, s[1 - t]).astype(np.int64)]


def grouped_attention(d):
    b, t, g, n, h, rows = d.int(1, 2), d.int(1, 4), d.of(1, 2), d.of(1, 2), d.of(8, 16), 12
    past = d.of(0, 3) if t == 1 else 0  # ONNX Runtime takes a cache for single steps
    none = np.zeros(0, np.float32)
    q = d.floats(b, t, n * g * h)
    ins = [q, d.floats(b, t, n * h), d.floats(b, t, n * h)]
    if d.maybe(0.4):
        ins = [d.floats(b, t, (n * g + 2 * n) * h), none, none]
    ins += [d.floats(b, n, past, h), d.floats(b, n, past, h)] if past else [none, none]
    ins += [np.full(b, past + t - 1, np.int32), np.array(past + t, np.int32)]
    a = {"num_heads": n * g, "kv_num_heads": n, "local_window_size": d.of(-1, 2), "softcap": d.of(0.0, 2.0)}
    if d.maybe():
        angles = np.asarray(d.rng.random((rows, h // 2)) * 6, np.float32)
        ins += [np.cos(angles), np.sin(angles)]
        a |= {"do_rotary": 1, "rotary_interleaved": d.of(0, 1)}
    ins += [none] * (10 - len(ins))
    ins.append(d.floats(d.of(1, b), d.of(1, n * g), t, past + t) if d.maybe() else none)
    if d.maybe():
        ins.append(d.floats(n * g))
    elif d.maybe():
        a["smooth_softmax"] = 1
    return a, ins, 3 if past else 1


def quantised_attention(d):
    b, t, n, h = d.int(1, 2), d.int(1, 4), d.of(1, 2), d.of(2, 4)
    e = n * h
    x, w = d.rng.integers(0, 256, (b, t, 4)).astype(np.uint8), d.rng.integers(0, 256, (4, 3 * e)).astype(np.uint8)
    ins = [x, w, d.floats(3 * e), np.array(0.02, np.float32), np.array(0.01, np.float32), np.zeros(0, np.int32)]
    if d.maybe(0.4):
        ins[5] = np.asarray(d.rng.integers(0, 2, (b, t)), np.int32)
        ins[5][:, 0] = 1
    return {"num_heads": n, "unidirectional": d.int(0, 1)}, ins + [np.array(120, np.uint8), np.array(130, np.uint8)]


def embedding(d):
    b, t, e = d.int(1, 2), d.int(1, 5), d.of(2, 4)
    none = np.zeros(0, np.int32)
    segments = d.maybe()
    ins = [d.rng.integers(0, 7, (b, t)).astype(np.int32), d.rng.integers(0, 2, (b, t)).astype(np.int32) if segments else none, d.floats(7, e), d.floats(6, e)]
    ins += [d.floats(2, e) if segments else np.zeros(0, np.float32), d.floats(e), d.floats(e)]
    ins.append(d.rng.integers(0, 2, (b, t)).astype(np.int32) if d.maybe() else none)
    if d.maybe():
        ins.append(d.rng.integers(0, 6, (b, t)).astype(np.int32))
    return {"epsilon": d.of(1e-12, 0.125)}, ins, d.int(1, 3)


def gather_blocks(d):
    rows, block, bits = d.int(2, 6), 16, d.of(4, 8)
    cols = block * d.int(1, 3)
    blocks, per = cols // block, 8 // bits
    ins = [d.rng.integers(0, 256, (rows, cols // per)).astype(np.uint8), d.rng.integers(0, rows, d.shape(d.int(1, 2))), np.abs(d.floats(rows, blocks)) + 0.125]
    if d.maybe():
        ins.append(d.rng.integers(0, 256, (rows, -(-blocks // per))).astype(np.uint8))
    return {"block_size": block, "bits": bits, "gather_axis": 0, "quantize_axis": 1}, ins


def linear_model(d, classes=False):
    n, c = d.int(1, 4), d.int(3 if classes else 1, 4)
    a = {"coefficients": d.floats(c * n).ravel().tolist(), "intercepts": d.floats(c).tolist(), "post_transform": d.of("NONE", "LOGISTIC", "SOFTMAX")}
    if classes:
        return a | {"classlabels_ints": [5, 3, 8, 1][:c], "multi_class": 1}, [d.floats(3, n)], 2
    return a | {"targets": c, "post_transform": "NONE"}, [d.floats(3, n)]


def matmul_nbits(d):
    n, k, block, bits = d.int(1, 5), d.int(1, 40), d.of(16, 32), d.of(4, 8)
    blocks, per = -(-k // block), 8 // bits
    b = d.rng.integers(0, 256, (n, blocks, block // per)).astype(np.uint8)
    ins = [d.floats(d.int(1, 3), k), b, np.abs(d.floats(n * blocks)) + 0.125]
    if d.maybe():
        ins.append(d.rng.integers(0, 256, n * (-(-blocks // per))).astype(np.uint8))
    return {"N": n, "K": k, "block_size": block, "bits": bits}, ins


INTEGERS = (np.float32, np.int32, np.int64)
REDUCES = ["Sum", "Mean", "Max", "Min", "L1", "L2", "SumSquare", "Prod", "LogSum", "LogSumExp"]
# name: (function of a draw, and of the opset where it says so, opsets)
CASES = {
    "Conv": (conv, [7, 11, 22]),
    "ConvTranspose": (lambda d: conv(d, True), [7, 11, 22]),
    "MaxPool": (pool, [10, 12, 22]),
    "MaxPool.places": (max_pool_places, [10, 12]),
    "AveragePool": (lambda d: pool(d, True), [7, 10, 11, 19, 22]),
    "GlobalAveragePool": (lambda d: ({}, [d.floats(*d.shape(d.int(3, 5)))]), [7, 22]),
    "GlobalMaxPool": (lambda d: ({}, [d.floats(*d.shape(d.int(3, 5)))]), [7, 22]),
    "Gemm": (gemm, [7, 9, 11, 13]),
    "MatMul": (matmul, [7, 13]),
    "BatchNormalization": (batch_norm, [7, 9, 15]),
    "PRelu": (prelu, [7, 16]),
    "Clip": (clip, [11, 13]),
    "Relu": (unary(), [7, 14]),
    "LeakyRelu": (unary(alpha=(0.0, 0.25, -0.5, 2.0)), [7, 16]),
    "ThresholdedRelu": (unary(alpha=(0.0, 0.5)), [7, 10]),
    "Abs": (unary(), [13]),
    "Neg": (unary(), [13]),
    "Elu": (unary(alpha=(0.5,)), [7]),
    "Celu": (unary(alpha=(0.5,)), [12]),
    "Selu": (unary(alpha=(0.5,), gamma=(2.0,)), [7]),
    "HardSigmoid": (unary(alpha=(0.5,), beta=(0.25,)), [7]),
    "HardSwish": (unary(), [14]),
    "Mish": (unary(), [18]),
    "Gelu": (unary(approximate=("none", "tanh")), [20]),
    "Shrink": (unary(lambd=(1.0,), bias=(0.25,)), [9]),
    "Softplus": (unary(), [7]),
    "Softsign": (unary(), [7]),
    "Sigmoid": (unary(), [13]),
    "Tanh": (unary(), [13]),
    "Erf": (unary(), [13]),
    "Exp": (unary(), [13]),
    "Floor": (unary(), [13]),
    "Ceil": (unary(), [13]),
    "Round": (unary(), [11]),
    "Sign": (unary(), [13]),
    "Softmax": (along, [7, 11, 13]),
    "LogSoftmax": (along, [7, 11, 13]),
    "Hardmax": (along, [11, 13]),
    "ArgMax": (lambda d: along(d, keepdims=(0, 1), select_last_index=(0, 1)), [12, 13]),
    "ArgMin": (lambda d: along(d, keepdims=(0, 1), select_last_index=(0, 1)), [12, 13]),
    "Add": (lambda d: pair(d, INTEGERS), [7, 14]),
    "Sub": (lambda d: pair(d, INTEGERS), [7, 14]),
    "Mul": (lambda d: pair(d, INTEGERS), [7, 14]),
    "Div": (lambda d: pair(d, (np.int32, np.int64)), [7, 14]),
    "Mod": (lambda d: pair(d, (np.int32, np.int64)), [13]),
    "Less": (lambda d: pair(d, INTEGERS), [9, 13]),
    "GreaterOrEqual": (lambda d: pair(d, INTEGERS), [12, 16]),
    "Equal": (lambda d: pair(d, INTEGERS), [11, 13]),
    "Pow": (power, [13, 15]),
    "Max": (several, [8, 13]),
    "Min": (several, [8, 13]),
    "Sum": (several, [8, 13]),
    "Mean": (several, [8, 13]),
    "Reshape": (reshape, [7, 13, 14]),
    "Transpose": (transpose, [7, 13]),
    "Flatten": (lambda d: along(d), [11, 13]),
    "Squeeze": (squeeze, [11, 13]),
    "Unsqueeze": (unsqueeze, [11, 13]),
    "Split": (split, [11, 13, 18]),
    "Slice": (slice_, [10, 13]),
    "Gather": (gather, [11, 13]),
    "Concat": (concat, [7, 13]),
    "Pad": (pad, [11, 13, 18]),
    "Expand": (expand, [8, 13]),
    "Tile": (tile, [7, 13]),
    "DepthToSpace": (depth_to_space, [11, 13]),
    "SpaceToDepth": (space_to_depth, [7, 13]),
    "Resize": (resize, [11, 13, 18]),
    "Resize.antialias": (smooth, [18, 19]),
    "Upsample": (upsample, [9]),
    "GatherElements": (gather_elements, [11, 13]),
    "Scatter": (scatter, [9, 10]),
    "LayerNormalization": (layer_normalization, [9, 14, 17]),
    "Affine": (unary(alpha=(1.0, 0.5, -2.0), beta=(0.0, 1.5)), [7, 9]),
    "Scale": (unary(scale=(1.0, 0.5, -2.0)), [7, 9]),
    "ScaledTanh": (unary(alpha=(1.0, 0.5), beta=(0.5, 2.0)), [7, 9]),
    "ParametricSoftplus": (unary(alpha=(1.0, 0.5), beta=(0.5, 2.0)), [7, 9]),
    "ImageScaler": (image_scaler, [7, 9]),
    "ScatterElements": (scatter_elements, [11, 16, 18]),
    "BitShift": (shift, [11]),
    "BitwiseAnd": (bits, [18]),
    "BitwiseOr": (bits, [18]),
    "BitwiseXor": (bits, [18]),
    "BitwiseNot": (lambda d: ({}, bits(d)[1][:1]), [18]),
    "GatherND": (gather_nd, [11, 12, 13]),
    "ScatterND": (scatter_nd, [11, 16, 18]),
    "DFT": (dft, [17, 20]),
    "STFT": (stft, [17]),
    "HannWindow": (lambda d: ({"periodic": d.of(0, 1)}, [np.array(d.int(3, 9), np.int64)]), [17]),
    "HammingWindow": (lambda d: ({"periodic": d.of(0, 1)}, [np.array(d.int(3, 9), np.int64)]), [17]),
    "BlackmanWindow": (lambda d: ({"periodic": d.of(0, 1)}, [np.array(d.int(3, 9), np.int64)]), [17]),
    "GridSample": (grid_sample, [16, 20]),
    "AffineGrid": (affine_grid, [20]),
    "CenterCropPad": (center, [18]),
    "Col2Im": (fold, [18]),
    "CumSum": (cumulative, [11, 14]),
    "CumProd": (cumulative, [26]),
    "DeformConv": (deformed, [19, 22]),
    "Det": (lambda d: ({}, [d.floats(*d.of([], [2], [2, 1]), *d.of([1, 1], [2, 2], [3, 3], [5, 5]))]), [11, 22]),
    "Einsum": (einsum, [12]),
    "MaxRoiPool": (roi_pool, [7]),
    "MaxUnpool": (unpool, [9, 11]),
    "RoiAlign": (roi_align, [10, 16]),
    "TensorScatter": (cache_update, [24]),
    "NegativeLogLikelihoodLoss": (loss, [12, 13]),
    "SoftmaxCrossEntropyLoss": (lambda d: loss(d, 2), [12, 13]),
    "ReverseSequence": (reverse_sequence, [10]),
    "Where": (where, [9, 16]),
    "Range": (range_, [11]),
    "Cast": (cast, [9, 13]),
    "com.microsoft:FusedConv": (fused_conv, [13]),
    "com.microsoft:FusedGemm": (fused_gemm, [13]),
    "com.microsoft:FusedMatMul": (fused_matmul, [13]),
    "com.microsoft:Trilu": (lambda d: ({"upper": d.of(0, 1)}, [d.floats(*d.shape(d.int(2, 3))), np.array(d.int(-2, 2), np.int64)]), [13]),
    "com.microsoft:TransposeMatMul": (fused_matmul, [13]),
    "com.microsoft:MatMulIntegerToFloat": (matmul_to_float, [13]),
    "com.microsoft:DynamicQuantizeMatMul": (dynamic_matmul, [13]),
    "com.microsoft:QLinearWhere": (qlinear_where, [13]),
    "com.microsoft:QEmbedLayerNormalization": (quantised_embedding, [13]),
    "ai.onnx.ml:Scaler": (scaler, [13]),
    "ai.onnx.ml:Normalizer": (lambda d: ({"norm": d.of("MAX", "L1", "L2")}, [np.abs(d.floats(*d.shape(2))) + 1]), [13]),
    "ai.onnx.ml:Binarizer": (lambda d: ({"threshold": 0.5}, [d.floats(*d.shape(2))]), [13]),
    "ai.onnx.ml:ArrayFeatureExtractor": (extractor, [13]),
    "QuantizeLinear": (quantize, [10, 13, 19, 21]),
    "DequantizeLinear": (dequantize, [10, 13, 19, 21]),
    "DynamicQuantizeLinear": (lambda d: ({}, [d.floats(*d.shape(2))], 3), [11]),
    "MatMulInteger": (matmul_integer, [10]),
    "ConvInteger": (conv_integer, [10]),
    "QLinearMatMul": (qlinear_matmul, [10, 21]),
    "QLinearConv": (qlinear_conv, [10]),
    "com.microsoft:MatMulNBits": (matmul_nbits, [13]),
    "com.microsoft:QLinearAdd": (qlinear_pair, [13]),
    "com.microsoft:QLinearMul": (qlinear_pair, [13]),
    "com.microsoft:QLinearGlobalAveragePool": (qlinear_one({"channels_last": 0}, (4, 4)), [13]),
    "com.microsoft:QLinearAveragePool": (qlinear_one({"kernel_shape": [2, 2], "strides": [1, 1]}, (4, 4)), [13]),
    "com.microsoft:QLinearLeakyRelu": (qlinear_one({"alpha": 0.25}), [13]),
    "com.microsoft:QLinearSigmoid": (qlinear_one(), [13]),
    "com.microsoft:QLinearConcat": (qlinear_concat, [13]),
    "com.microsoft:QGemm": (qgemm, [13]),
    "Attention": (attention, [23]),
    "com.microsoft:Attention": (microsoft_attention, [13]),
    "com.microsoft:MultiHeadAttention": (multi_head_attention, [13]),
    "com.microsoft:RotaryEmbedding": (microsoft_rotary, [13]),
    "com.microsoft:BiasGelu": (biased, [13]),
    "com.microsoft:FastGelu": (lambda d: ({}, biased(d)[1][: d.int(1, 2)]), [13]),
    "com.microsoft:QuickGelu": (unary(alpha=(1.702, 0.5)), [13]),
    "com.microsoft:GroupQueryAttention": (grouped_attention, [13]),
    "com.microsoft:QAttention": (quantised_attention, [13]),
    "com.microsoft:EmbedLayerNormalization": (embedding, [13]),
    "com.microsoft:GatherBlockQuantized": (gather_blocks, [13]),
    "com.microsoft:QLinearSoftmax": (qlinear_softmax, [13]),
    "ai.onnx.ml:LinearRegressor": (linear_model, [13]),
    "ai.onnx.ml:LinearClassifier": (lambda d: linear_model(d, True), [13]),
    "LpPool": (lp_pool, [11, 18]),
    "GlobalLpPool": (lambda d: ({"p": d.of(1, 2, 3)}, [d.floats(*d.shape(d.int(3, 5)))]), [7]),
    "ai.onnx.ml:OneHotEncoder": (encoder, [13]),
    "ai.onnx.ml:Imputer": (imputer, [13]),
    "RNN": (recurrent(1), [7, 14]),
    "GRU": (recurrent(3, linear_before_reset=(0, 1)), [7, 14]),
    "LSTM": (recurrent(4, True), [7, 14]),
    **{f"Reduce{r}": (lambda d, o, r=r: reduce(d, o, "Reduce" + r), [11, 13, 18]) for r in REDUCES},
}
WITH_OPSET = {"RoiAlign", "ScatterElements", "GatherND", "ScatterND", "DFT", "GridSample", "QuantizeLinear", "DequantizeLinear", "Squeeze", "Unsqueeze", "Split"} | {"Reduce" + r for r in REDUCES}


def case(name, seed):
    """A model with its inputs and outputs, or None."""
    d = Draw(seed)
    make, opsets = CASES[name]
    opset = d.of(*opsets)
    result = make(d, opset) if name in WITH_OPSET else make(d)
    attributes, ins, outs = (*result, 1)[:3]
    domain, _, op = name.rpartition(":")
    op = op.split(".")[0]
    names = [f"x{k}" if x.size else "" for k, x in enumerate(ins)]
    node = helper.make_node(op, names, [f"y{k}" for k in range(outs)], "node", domain=domain, **attributes)
    values = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape) for n, x in zip(names, ins) if n
    ]
    results = [onnx.ValueInfoProto(name=n) for n in node.output]
    imports = [helper.make_opsetid("", opset)] + ([helper.make_opsetid(domain, {"ai.onnx.ml": 3}.get(domain, 1))] if domain else [])
    model = helper.make_model(helper.make_graph([node], "g", values, results), opset_imports=imports, ir_version=10)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        got = session.run(None, {n: x for n, x in zip(names, ins) if n})
    except Exception:  # a draw that is no valid node
        return None
    return model, [x for n, x in zip(names, ins) if n], got


def main(out, seed=1, cases=6):
    for k, name in enumerate(CASES):
        written, tries = 0, 0
        while written < cases:
            tries += 1
            if tries > 40 * cases:
                sys.exit(f"{name}: ONNX Runtime refuses every draw")
            found = case(name, (seed, k, tries))
            if found is None:
                continue
            model, ins, outs = found
            folder = out / f"{name.replace(':', '_')}_{written}"
            data = folder / "test_data_set_0"
            data.mkdir(parents=True)
            (folder / "model.onnx").write_bytes(model.SerializeToString())
            for kind, arrays in (("input", ins), ("output", outs)):
                for i, x in enumerate(arrays):
                    (data / f"{kind}_{i}.pb").write_bytes(numpy_helper.from_array(np.asarray(x)).SerializeToString())
            written += 1


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
