"""Makes testdata/opaque: networks with a function between their layers that is not evaluated.

    python3 opaque.py       # onnx, numpy

operator.onnx has an operator of nobody's, which reads a bias that a layer before it has too, other.onnx the
same with another attribute. loop.onnx repeats a layer, scan.onnx adds up, suppression.onnx picks boxes
by their scores.
"""
import pathlib

import numpy as np
from onnx import TensorProto, helper, numpy_helper

out = pathlib.Path(__file__).parent / "opaque"
out.mkdir(exist_ok=True)
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


class Maker:
    def __init__(self):
        self.rng = np.random.default_rng(0)
        self.weights, self.nodes = [], []

    def weight(self, name, *shape):
        self.weights.append(numpy_helper.from_array(self.rng.standard_normal(shape).astype(np.float32), name))
        return name

    def number(self, name, value, dtype):
        self.weights.append(numpy_helper.from_array(np.array(value, dtype), name))
        return name

    def add(self, op, inputs, output, **kw):
        self.nodes.append(helper.make_node(op, inputs, output if isinstance(output, list) else [output], name=kw.pop("name", output if isinstance(output, str) else output[0]), **kw))

    def hidden(self, x, rows, middle, cols, name):
        """Two layers with a ReLU between them, whose units are free."""
        self.add("Gemm", [x, self.weight(name + "_w1", rows, middle), self.weight(name + "_b1", middle)], name + "_h")
        self.add("Relu", [name + "_h"], name + "_r")
        self.add("Gemm", [name + "_r", self.weight(name + "_w2", middle, cols), self.weight(name + "_b2", cols)], name)
        return name

    def write(self, file, x, y, between, batch=None):
        values = [helper.make_tensor_value_info(n, t, s) for n, t, s in between]
        info = [helper.make_tensor_value_info(n, FLOAT, [batch, s]) for n, s in (x, y)]
        graph = helper.make_graph(self.nodes, file, [info[0]], [info[1]], self.weights, value_info=values)
        opsets = [helper.make_opsetid("", 17)]
        if any(n.domain for n in self.nodes):
            opsets.append(helper.make_opsetid("nobody.knows", 1))
        (out / f"{file}.onnx").write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


for file, alpha in (("operator", 2.0), ("other", 3.0)):
    m = Maker()
    c = m.hidden("x", 5, 6, 6, "first")
    m.add("Foo", [c, "first_b1"], "foo", domain="nobody.knows", alpha=alpha)
    m.hidden("foo", 6, 7, 2, "second")
    m.write(file, ("x", 5), ("second", 2), [("foo", FLOAT, [None, 6])])

m = Maker()
c = m.hidden("x", 5, 6, 6, "first")
m.weight("inner", 6, 6)
body = helper.make_graph(
    [helper.make_node("Identity", ["go"], ["go_on"]), helper.make_node("MatMul", ["s", "inner"], ["p"]), helper.make_node("Tanh", ["p"], ["q"])],
    "body",
    [helper.make_tensor_value_info("i", INT64, []), helper.make_tensor_value_info("go", TensorProto.BOOL, []), helper.make_tensor_value_info("s", FLOAT, [None, 6])],
    [helper.make_tensor_value_info("go_on", TensorProto.BOOL, []), helper.make_tensor_value_info("q", FLOAT, [None, 6])])
m.add("ReduceSum", ["x"], "total", keepdims=0)
m.add("Floor", ["total"], "whole")
m.add("Abs", ["whole"], "count")
m.add("Cast", ["count"], "trips", to=INT64)
m.add("Loop", ["trips", "", c], ["looped"], name="loop", body=body)
m.hidden("looped", 6, 7, 2, "second")
m.write("loop", ("x", 5), ("second", 2), [("looped", FLOAT, [1, 6])], batch=1)

m = Maker()
c = m.hidden("x", 5, 6, 6, "first")
body = helper.make_graph(
    [helper.make_node("Add", ["s", "v"], ["t"]), helper.make_node("Sin", ["t"], ["u"])], "body",
    [helper.make_tensor_value_info("s", FLOAT, []), helper.make_tensor_value_info("v", FLOAT, [])],
    [helper.make_tensor_value_info("t", FLOAT, []), helper.make_tensor_value_info("u", FLOAT, [])])
m.number("zero", 0, np.float32)
m.number("flat", [6], np.int64)
m.number("line", [1, 6], np.int64)
m.add("Reshape", [c, "flat"], "list")
m.add("Scan", ["zero", "list"], ["last", "scanned"], name="scan", body=body, num_scan_inputs=1)
m.add("Reshape", ["scanned", "line"], "row")
m.hidden("row", 6, 7, 2, "second")
m.write("scan", ("x", 5), ("second", 2), [("last", FLOAT, []), ("scanned", FLOAT, [6]), ("row", FLOAT, [1, 6])], batch=1)

m = Maker()
boxes, scores = m.hidden("x", 5, 8, 24, "boxes"), m.hidden("x", 5, 7, 6, "scores")
m.number("as_boxes", [1, 6, 4], np.int64)
m.number("as_scores", [1, 1, 6], np.int64)
m.number("three", 3, np.int64)
m.add("Reshape", [boxes, "as_boxes"], "box")
m.add("Reshape", [scores, "as_scores"], "score")
m.add("NonMaxSuppression", ["box", "score", "three"], "kept", name="suppression")
m.number("two", 2, np.int64)
m.number("first_rows", [0], np.int64)
m.number("one_row", [1], np.int64)
m.add("Slice", ["kept", "first_rows", "one_row", "first_rows"], "best")
m.number("last_column", [2], np.int64)
m.number("past", [3], np.int64)
m.number("axis", [1], np.int64)
m.add("Slice", ["best", "last_column", "past", "axis"], "which")
m.number("scalar", [1], np.int64)
m.add("Reshape", ["which", "scalar"], "place")
m.number("rows", [6, 4], np.int64)
m.add("Reshape", [boxes, "rows"], "all_boxes")
m.add("Gather", ["all_boxes", "place"], "picked", axis=0)
m.hidden("picked", 4, 7, 2, "second")
m.write("suppression", ("x", 5), ("second", 2), [("place", INT64, [1]), ("picked", FLOAT, [1, 4])], batch=1)
