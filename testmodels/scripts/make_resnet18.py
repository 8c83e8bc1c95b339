"""A network of ResNet-18's layers with random weights, normalisation folded into them: 45 MB.

    python make_resnet18.py FILE

Needs onnx and numpy alone, for tests that cannot have torchvision's.
"""
import sys

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

rng = np.random.default_rng(18)
nodes, weights = [], []


def conv(x, name, cin, cout, size, stride, pad):
    w = rng.standard_normal((cout, cin, size, size)).astype(np.float32) * np.sqrt(2 / (cin * size * size), dtype=np.float32)
    b = rng.standard_normal(cout).astype(np.float32) * np.float32(0.1)
    weights.extend([numpy_helper.from_array(w, name + ".weight"), numpy_helper.from_array(b, name + ".bias")])
    nodes.append(helper.make_node("Conv", [x, name + ".weight", name + ".bias"], [name], name, strides=[stride] * 2, pads=[pad] * 4))
    return name


def relu(x):
    nodes.append(helper.make_node("Relu", [x], [x + ".relu"], x + ".relu"))
    return x + ".relu"


x = relu(conv("image", "conv1", 3, 64, 7, 2, 3))
nodes.append(helper.make_node("MaxPool", [x], ["pool"], "pool", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4))
x, width = "pool", 64
for stage, cout in enumerate((64, 128, 256, 512), 1):
    for block in range(2):
        name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
        y = relu(conv(x, name + ".conv1", width, cout, 3, stride, 1))
        y = conv(y, name + ".conv2", cout, cout, 3, 1, 1)
        skip = conv(x, name + ".downsample", width, cout, 1, stride, 0) if width != cout else x
        nodes.append(helper.make_node("Add", [y, skip], [name], name))
        x, width = relu(name), cout
nodes.append(helper.make_node("GlobalAveragePool", [x], ["mean"], "mean"))
nodes.append(helper.make_node("Flatten", ["mean"], ["flat"], "flat"))
weights.append(numpy_helper.from_array((rng.standard_normal((1000, 512)) / 23).astype(np.float32), "fc.weight"))
weights.append(numpy_helper.from_array(np.zeros(1000, np.float32), "fc.bias"))
nodes.append(helper.make_node("Gemm", ["flat", "fc.weight", "fc.bias"], ["scores"], "fc", transB=1))
graph = helper.make_graph(
    nodes, "resnet18", [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 224, 224])],
    [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 1000])], weights)
save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="make_resnet18"), sys.argv[1])
