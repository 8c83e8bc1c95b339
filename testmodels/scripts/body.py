"""Reads an ONNX file of this folder into a list of layers, in plain Python and NumPy.

Written apart from the Go code so that the two can disagree. It knows only the
operators and patterns of these models and raises on anything else. Values are
flat vectors of one sample: the images here have one channel, so the reshapes
and transposes of the exporters keep the order of the elements.
"""

import dataclasses

import numpy as np
import onnx
from onnx import numpy_helper

HEAD_OPS = {"Softmax", "LogSoftmax", "Sigmoid", "ArgMax"}
KEEP_OPS = {"Flatten", "Reshape", "Transpose", "Identity", "Cast", "Squeeze", "Unsqueeze", "Dropout"}


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
        return self.nodes[0]

    @property
    def layers(self):
        return [n for n in self.nodes if isinstance(n, Linear)]

    def _put(self, name, node):
        self.values[name] = node
        if isinstance(node, Const):
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
        elif op in KEEP_OPS:
            out = args[0]
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

    def _replace(self, old, new):
        self.nodes = [n for n in self.nodes if n is not old]
        return new

    def _batch_norm(self, node, args, attrs):
        self._single(node.input[0])
        linear = args[0]
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
        scale, shift = {
            "Add": (1.0, c),
            "Sub": (1.0, -c) if k == 1 else (-1.0, c),
            "Mul": (c, 0.0),
            "Div": (1 / c, 0.0) if k == 1 else (None, None),
        }[node.op_type]
        if scale is None:
            raise ValueError("c / x is not linear")
        self._single(node.input[1 - k])
        if preamble:
            new = Input(value.size, scale * value.scale, scale * value.shift + shift, value.ops + (node.op_type,))
        elif isinstance(value, Linear):
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
                y = node.W @ args[0] + (0.0 if node.b is None else node.b)
            elif isinstance(node, Activation):
                y = np.where(args[0] > 0, args[0], node.slope * args[0])
            elif isinstance(node, Add):
                y = args[0] + args[1]
            else:
                y = np.concatenate(args)
            done[id(node)] = y
        return done[id(self.output)]
