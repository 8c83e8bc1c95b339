"""Makes testdata/shapes: models whose inputs have open extents that matter, inputs for
them, and ONNX Runtime's outputs.

    python3 shapes.py       # scikit-learn 1.5 or newer, skl2onnx 1.20, onnx, onnxruntime
"""
import pathlib
import warnings

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from sklearn.neural_network import MLPRegressor

warnings.filterwarnings("ignore")
out = pathlib.Path(__file__).parent / "shapes"
out.mkdir(exist_ok=True)
rng = np.random.default_rng(0)


def write(name, model, x):
    (out / f"{name}.onnx").write_bytes(model.SerializeToString())
    run = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    np.save(out / f"{name}_x.npy", x)
    np.save(out / f"{name}_y.npy", run.run(None, {run.get_inputs()[0].name: x})[0])


# scikit-learn's multi-target regression: skl2onnx merges the batch and the targets.
x = rng.standard_normal((60, 4)).astype(np.float32)
y = np.stack([x[:, 0] - x[:, 1], np.abs(x[:, 2]), x.sum(1)], 1)
write("targets", to_onnx(MLPRegressor(hidden_layer_sizes=(5,), max_iter=50, random_state=0).fit(x, y), x[:1], target_opset=17), x[:7])


def weights(name, *shape):
    return numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), name)


# An attention over an open length, and a mean over it.
nodes = [
    helper.make_node("MatMul", ["x", "Q"], ["q"], "q_proj"),
    helper.make_node("MatMul", ["x", "K"], ["k"], "k_proj"),
    helper.make_node("MatMul", ["x", "V"], ["v"], "v_proj"),
    helper.make_node("Transpose", ["k"], ["kt"], perm=[0, 2, 1]),
    helper.make_node("MatMul", ["q", "kt"], ["scores"], "scores"),
    helper.make_node("Softmax", ["scores"], ["p"], axis=-1),
    helper.make_node("MatMul", ["p", "v"], ["a"], "mix"),
    helper.make_node("Relu", ["a"], ["r"]),
    helper.make_node("MatMul", ["r", "W"], ["h"], "out"),
    helper.make_node("ReduceMean", ["h"], ["y"], axes=[1], keepdims=0),
]
graph = helper.make_graph(nodes, "attention", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", "length", 4])],
                          [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])], [weights(n, 4, 4) for n in "QKV"] + [weights("W", 4, 3)])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
onnx.checker.check_model(model, full_check=True)
write("attention", model, rng.standard_normal((2, 5, 4)).astype(np.float32))

# A constant beside the outputs of the samples, as policies for game engines have it.
graph = helper.make_graph(
    [helper.make_node("MatMul", ["x", "w"], ["y"])], "version",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3]), helper.make_tensor_value_info("version", TensorProto.FLOAT, [1])],
    [numpy_helper.from_array(np.arange(6, dtype=np.float32).reshape(2, 3), "w"), numpy_helper.from_array(np.array([3], np.float32), "version")])
(out / "version.onnx").write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString())
