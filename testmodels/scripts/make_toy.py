"""toy.onnx: linear-ReLU-linear with W1 = [[6,1],[1,4]], W2 = [[1,1],[1,2]], no biases.

Small enough for every number to be checked by hand: the path products are
6, 1, 1, 4 (first output) and 6, 1, 2, 8 (second), so ||pi||_1 = 29, and
mu_{1,inf} = 7 is the first hidden unit's sum of incoming weights.

toy_unbalanced.onnx is the same function, rescaled: the first hidden unit's
incoming weights times 10, its outgoing weights divided by 10; mu_{1,inf} = 70.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import record

W1 = np.array([[6, 1], [1, 4]], np.float32)
W2 = np.array([[1, 1], [1, 2]], np.float32)
FACTORS = np.array([10, 1], np.float32)


def make(name, w1, w2, shows):
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "w1"], ["z"], name="linear1", transB=1),
            helper.make_node("Relu", ["z"], ["h"], name="relu"),
            helper.make_node("Gemm", ["h", "w2"], ["y"], name="linear2", transB=1),
        ],
        "toy",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(w1, "w1"), numpy_helper.from_array(w2, "w2")],
    )
    model = helper.make_model(graph, producer_name="onnx.helper", opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, record.model_path(name))
    record.write(name, script="make_toy.py", exporter=f"onnx.helper {onnx.__version__}", data="none", shows=shows)


if __name__ == "__main__":
    make("toy", W1, W2, "no biases, numbers to check by hand")
    make("toy_unbalanced", W1 * FACTORS[:, None], W2 / FACTORS, "rescaling equivalent to toy, one factor of 10")
