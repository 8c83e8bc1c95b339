"""Makes testdata/rounding: networks whose outputs amplify the rounding of weights,
sin(gain y) of a small perceptron's y.

    python3 rounding.py      # onnx 1.16 or newer
"""
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

out = pathlib.Path(__file__).parent / "rounding"
out.mkdir(exist_ok=True)
rng = np.random.default_rng(15)
weights = {n: rng.standard_normal(s).astype(np.float32) for n, s in
           {"w1": (2, 4), "b1": (4,), "w2": (4, 2), "w3": (2, 2)}.items()}
for name, gain in (("amplified", 1e3), ("chaotic", 1e9)):
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["h"], "fc1"),
        helper.make_node("Relu", ["h"], ["r"], "relu"),
        helper.make_node("MatMul", ["r", "w2"], ["y"], "fc2"),
        helper.make_node("Mul", ["y", "gain"], ["g"], "gain"),
        helper.make_node("Sin", ["g"], ["s"], "sin"),
        helper.make_node("MatMul", ["s", "w3"], ["z"], "fc3"),
    ]
    init = [numpy_helper.from_array(w, n) for n, w in weights.items()]
    init.append(numpy_helper.from_array(np.float32(gain), "gain"))
    value = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 2]) for n in "xz"]
    model = helper.make_model(helper.make_graph(nodes, name, value[:1], value[1:], init),
                              opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, out / f"{name}.onnx")
