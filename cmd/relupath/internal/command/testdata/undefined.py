"""Writes undefined.onnx: four inputs, a layer of eight with tanh, three scores.

Run in this folder: python undefined.py (onnx 1.23, NumPy 2.4). Measures of the network as a
whole are undefined there.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

rng = np.random.default_rng(1)


def tensor(name, *shape):
    return numpy_helper.from_array((rng.standard_normal(shape) / 2).astype(np.float32), name)


graph = helper.make_graph(
    [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["a"], name="fc1"),
        helper.make_node("Tanh", ["a"], ["b"], name="act"),
        helper.make_node("Gemm", ["b", "w2", "b2"], ["y"], name="fc2"),
    ],
    "undefined",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 4])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 3])],
    [tensor("w1", 4, 8), tensor("b1", 8), tensor("w2", 8, 3), tensor("b2", 3)],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
onnx.checker.check_model(model)
onnx.save(model, "undefined.onnx")
