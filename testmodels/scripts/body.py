"""Reads an ONNX file of this folder into a list of layers, in plain Python and NumPy.

Written apart from the Go code so that the two can disagree. It knows only the
operators and patterns of these models and raises on anything else. Values are
flat vectors of one sample in the order of the file's own layout; a convolution
is unrolled to the dense matrix that it is, edge by edge.
"""

import dataclasses
import itertools

import numpy as np
import onnx
from onnx import numpy_helper

HEAD_OPS = {"Softmax", "LogSoftmax", "Sigmoid", "ArgMax"}
KEEP_OPS = {"Flatten", "Reshape", "Identity", "Cast"}


@dataclasses.dataclass
class Input:
    """The measured input: what the preamble makes of the file's input."""

    size: int
    scale: object = 1.0  # value = scale * x + shift
    shift: object = 0.0
    ops: tuple = ()


@dataclasses.dataclass
class Linear:
    source: object
    W: np.ndarray  # out x in
    b: object  # vector, or None without a bias
    name: str

    @property
    def size(self):
        return len(self.W)

    def dense(self):
        """The matrix, and the bias of each of its rows, from all inputs to all outputs."""
        return self.W, self.b

    def edges(self):
        """Where the matrix has an edge, of whatever weight."""
        return np.ones(self.W.shape, bool)


@dataclasses.dataclass
class Conv(Linear):
    """W has a row for each output channel: its kernel, flat. taps[i] lists (column of W, input) of output i."""

    taps: list
    channel: np.ndarray  # of each output
    inputs: int

    @property
    def size(self):
        return len(self.taps)

    def dense(self):
        full = np.zeros((self.size, self.inputs))
        for i, taps in enumerate(self.taps):
            for k, j in taps:
                full[i, j] = self.W[self.channel[i], k]
        return full, None if self.b is None else self.b[self.channel]

    def edges(self):
        mask = np.zeros((self.size, self.inputs), bool)
        for i, taps in enumerate(self.taps):
            mask[i, [j for _, j in taps]] = True
        return mask


@dataclasses.dataclass
class Average:
    """Means over windows: a fixed linear map, no layer."""

    source: object
    windows: list

    @property
    def size(self):
        return len(self.windows)


@dataclasses.dataclass
class MaxPool:
    source: object
    windows: list

    @property
    def size(self):
        return len(self.windows)


@dataclasses.dataclass
class Select:
    source: object
    index: np.ndarray

    @property
    def size(self):
        return len(self.index)


@dataclasses.dataclass
class Activation:
    source: object
    slope: np.ndarray  # one of each unit

    @property
    def size(self):
        return self.source.size


@dataclasses.dataclass
class Add:
    sources: list

    @property
    def size(self):
        return self.sources[0].size


@dataclasses.dataclass
class Concat:
    sources: list

    @property
    def size(self):
        return sum(s.size for s in self.sources)


@dataclasses.dataclass
class Const:
    value: np.ndarray
    root: str  # the stored tensor it comes from


class Shape:
    """What a chain that starts at a Shape operator computes; only a Reshape takes it."""


def sources(node):
    if isinstance(node, Input):
        return []
    return node.sources if isinstance(node, (Add, Concat)) else [node.source]


class Body:
    """nodes in topological order, the measured output, and what the file stores."""

    def __init__(self, path):
        self.model = onnx.load(path)
        self.graph = self.model.graph
        self.opset = {o.domain: o.version for o in self.model.opset_import}
        self.values = {}
        self.nodes = []
        self.stored = {}  # root name -> scalars, of weights, biases, scales, shifts, slopes
        self.head = []
        self.outputs = []  # names of the values the head or the graph takes
        self.names = {}  # id of node -> last value name
        self._uses = {}
        inferred = onnx.shape_inference.infer_shapes(self.model, data_prop=True).graph
        self.shape = {
            v.name: [d.dim_value for d in v.type.tensor_type.shape.dim][1:]
            for v in itertools.chain(inferred.input, inferred.value_info, inferred.output)
        }
        for node in self.graph.node:
            for name in node.input:
                self._uses[name] = self._uses.get(name, 0) + 1
        for t in self.graph.initializer:
            self.values[t.name] = Const(numpy_helper.to_array(t), t.name)
        for v in self.graph.input:
            if v.name not in self.values:
                dims = [d.dim_value for d in v.type.tensor_type.shape.dim]
                size = int(np.prod([d for d in dims[1:] if d])) if len(dims) > 1 else dims[0]
                self._put(v.name, Input(size))
        in_head = set()
        for node in self.graph.node:
            if in_head & set(node.input) or node.op_type in HEAD_OPS:
                self._into_head(node, in_head)
            else:
                self._lower(node)
        for v in self.graph.output:
            if v.name not in in_head:
                self._want(v.name)
        if len(self.outputs) != 1:
            raise ValueError(f"{path}: measured outputs {self.outputs}, want one")
        self.output = self.values[self.outputs[0]]

    @property
    def input(self):
        return next(n for n in self.nodes if isinstance(n, Input))

    @property
    def layers(self):
        return [n for n in self.nodes if isinstance(n, Linear)]

    def _put(self, name, node):
        self.values[name] = node
        if isinstance(node, (Const, Shape)):
            return
        if not any(n is node for n in self.nodes):
            self.nodes.append(node)

    def _want(self, name):
        if name not in self.outputs:
            self.outputs.append(name)

    def _into_head(self, node, in_head):
        self.head.append(node.op_type)
        in_head.update(node.output)
        for name in node.input:
            if name in self.values and not isinstance(self.values[name], Const):
                self._want(name)

    def _store(self, const):
        self.stored[const.root] = const.value.size
        return const.value.astype(np.float64)

    def _single(self, name):
        if self._uses[name] != 1:
            raise ValueError(f"{name} has several consumers and cannot be folded into")

    def _lower(self, node):
        attrs = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        args = [self.values.get(name) for name in node.input]
        consts = [isinstance(a, Const) for a in args]
        op = node.op_type
        if op == "Constant":
            out = Const(numpy_helper.to_array(attrs["value"]), node.output[0])
        elif all(consts) and op in ("Identity", "Transpose", "Reshape", "Cast"):
            out = self._fold(op, args, attrs)
        elif op == "Shape" or any(isinstance(a, Shape) for a in args) and op != "Reshape":
            out = Shape()
        elif op in KEEP_OPS:
            out = args[0]
        elif op == "Transpose":
            out = self._transpose(node, args, attrs)
        elif op == "Scaler":
            scale, offset = np.array(attrs["scale"]), np.array(attrs["offset"])
            out = self._preamble(args[0], op, scale, -scale * offset)
        elif op == "Conv":
            out = self._conv(node, args, attrs)
        elif op in ("MaxPool", "AveragePool"):
            _, windows, channel = self._windows(node, attrs)
            area = int(np.prod(self.shape[node.input[0]][1:]))
            kind = MaxPool if op == "MaxPool" else Average
            out = kind(args[0], [[c * area + j for _, j in w] for c, w in zip(channel, windows)])
        elif op == "Gemm":
            out = self._gemm(node, args, attrs)
        elif op == "MatMul":
            W = self._store(args[1]).T if consts[1] else self._store(args[0])
            source = args[0] if consts[1] else args[1]
            out = Linear(source, W, None, node.name or node.output[0])
        elif op == "Relu":
            out = Activation(args[0], np.zeros(args[0].size))
        elif op == "LeakyRelu":
            out = Activation(args[0], np.full(args[0].size, attrs.get("alpha", 0.01)))
        elif op == "PRelu":
            out = Activation(args[0], np.broadcast_to(self._store(args[1]).ravel(), (args[0].size,)))
        elif op == "BatchNormalization":
            out = self._batch_norm(node, args, attrs)
        elif op == "Concat" and not any(consts):
            out = Concat(args)
        elif op == "Add" and not any(consts):
            out = Add(args)
        elif op in ("Add", "Sub", "Mul", "Div") and any(consts):
            out = self._affine(node, args, consts)
        else:
            raise ValueError(f"{op} ({node.name}) is no pattern of these models")
        self._put(node.output[0], out)

    @staticmethod
    def _fold(op, args, attrs):
        value = args[0].value
        if op == "Transpose":
            value = np.transpose(value, attrs.get("perm"))
        elif op == "Reshape":
            value = value.reshape(args[1].value)
        return Const(value, args[0].root)

    def _gemm(self, node, args, attrs):
        if attrs.get("transA", 0):
            raise ValueError("Gemm with transA")
        W = attrs.get("alpha", 1.0) * self._store(args[1])
        b = None
        W = W if attrs.get("transB", 0) else W.T
        if len(args) > 2:
            b = np.broadcast_to(attrs.get("beta", 1.0) * self._store(args[2]).ravel(), (len(W),))
        return Linear(args[0], W, b, node.name or node.output[0])

    def _transpose(self, node, args, attrs):
        shape = self.shape[node.input[0]]
        perm = attrs["perm"]
        if perm[0] != 0:
            raise ValueError("Transpose of the batch")
        index = np.arange(args[0].size).reshape(shape).transpose([k - 1 for k in perm[1:]]).ravel()
        return Select(args[0], index)

    def _windows(self, node, attrs, kernel=None):
        """The (kernel position, input position) pairs inside the image, of each output, and its channel."""
        image, out = self.shape[node.input[0]][1:], self.shape[node.output[0]]
        kernel = attrs.get("kernel_shape", kernel)
        strides = attrs.get("strides", [1, 1])
        if attrs.get("group", 1) != 1 or set(attrs.get("dilations", [1])) != {1} or attrs.get("ceil_mode", 0):
            raise ValueError(f"{node.op_type} with groups, dilations or ceil_mode")
        auto = attrs.get("auto_pad", b"NOTSET")
        pads = attrs.get("pads", [0, 0, 0, 0])[:2]
        if auto == b"SAME_UPPER":
            pads = [max((o - 1) * s + k - n, 0) // 2 for o, s, k, n in zip(out[1:], strides, kernel, image)]
        elif auto not in (b"NOTSET", b"VALID"):
            raise ValueError(f"auto_pad {auto}")
        windows, channel = [], []
        for c, y, x in np.ndindex(*out):
            pairs = []
            for ky, kx in np.ndindex(*kernel):
                iy, ix = y * strides[0] - pads[0] + ky, x * strides[1] - pads[1] + kx
                if 0 <= iy < image[0] and 0 <= ix < image[1]:
                    pairs.append((ky * kernel[1] + kx, iy * image[1] + ix))
            windows.append(pairs)
            channel.append(c)
        return int(np.prod(kernel)), windows, np.array(channel)

    def _conv(self, node, args, attrs):
        W = self._store(args[1])
        b = self._store(args[2]) if len(args) > 2 else None
        area, windows, channel = self._windows(node, attrs, W.shape[2:])
        maps, image = W.shape[1], int(np.prod(self.shape[node.input[0]][1:]))
        taps = [[(m * area + k, m * image + j) for m in range(maps) for k, j in w] for w in windows]
        return Conv(args[0], W.reshape(len(W), -1), b, node.name or node.output[0], taps, channel, args[0].size)

    def _preamble(self, value, op, scale, shift):
        if not isinstance(value, Input):
            raise ValueError(f"{op} after {type(value).__name__}")
        return self._replace(value, Input(value.size, scale * value.scale, scale * value.shift + shift, value.ops + (op,)))

    def _replace(self, old, new):
        self.nodes = [n for n in self.nodes if n is not old]
        return new

    def _batch_norm(self, node, args, attrs):
        self._single(node.input[0])
        linear = args[0]
        if type(linear) is not Linear:
            raise ValueError(f"BatchNormalization after {type(linear).__name__}")
        gamma, beta = self._store(args[1]), self._store(args[2])
        mean, var = (a.value.astype(np.float64) for a in args[3:5])
        s = gamma / np.sqrt(var + attrs.get("epsilon", 1e-5))
        b = 0.0 if linear.b is None else linear.b
        return self._replace(linear, Linear(linear.source, s[:, None] * linear.W, s * (b - mean) + beta, linear.name))

    def _affine(self, node, args, consts):
        """A constant operand: part of the preamble, or folded into the linear layer before."""
        k = consts.index(True)
        const, value = args[k], args[1 - k]
        preamble = isinstance(value, Input)
        c = (const.value.astype(np.float64) if preamble else self._store(const)).ravel()
        if node.op_type == "Div" and k == 0:
            raise ValueError("c / x is not linear")
        scale, shift = {
            "Add": lambda: (1.0, c),
            "Sub": lambda: (1.0, -c) if k == 1 else (-1.0, c),
            "Mul": lambda: (c, 0.0),
            "Div": lambda: (1 / c, 0.0),
        }[node.op_type]()
        self._single(node.input[1 - k])
        if preamble:
            return self._preamble(value, node.op_type, scale, shift)
        if type(value) is Linear:
            W = np.broadcast_to(scale, (value.size,))[:, None] * value.W
            b = None
            if value.b is not None or node.op_type in ("Add", "Sub"):
                b = scale * (0.0 if value.b is None else value.b) + shift
                b = np.broadcast_to(b, (value.size,))
            new = Linear(value.source, W, b, value.name)
        else:
            raise ValueError(f"{node.op_type} by a constant after {type(value).__name__}")
        return self._replace(value, new)

    def forward(self, x):
        """The measured output for one flat sample, in float64."""
        done = {}
        for node in self.nodes:
            args = [done[id(s)] for s in sources(node)]
            if isinstance(node, Input):
                y = node.scale * np.asarray(x, np.float64) + node.shift
            elif isinstance(node, Linear):
                W, b = node.dense()
                y = W @ args[0] + (0.0 if b is None else b)
            elif isinstance(node, Activation):
                y = np.where(args[0] > 0, args[0], node.slope * args[0])
            elif isinstance(node, Add):
                y = args[0] + args[1]
            elif isinstance(node, Select):
                y = args[0][node.index]
            elif isinstance(node, MaxPool):
                y = np.array([args[0][w].max() for w in node.windows])
            elif isinstance(node, Average):
                y = np.array([args[0][w].mean() for w in node.windows])
            else:
                y = np.concatenate(args)
            done[id(node)] = y
        return done[id(self.output)]
