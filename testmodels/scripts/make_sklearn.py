"""Networks trained with scikit-learn and written by skl2onnx.

    python3 make_sklearn.py [name ...]
"""

import importlib.metadata
import sys

import numpy as np
import onnx
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import data
import record


def iris():
    return make_pipeline(StandardScaler(), MLPClassifier((10,), max_iter=2000, random_state=1))


def cancer():
    return MLPClassifier((16, 8), alpha=1e-2, max_iter=500, random_state=1)


def petal():
    return MLPRegressor(hidden_layer_sizes=(8, 8), solver="lbfgs", alpha=1e-2, max_iter=5000, random_state=1)


# name: (constructor, data, type of input and weights, converter options, what it shows)
MODELS = {
    "iris_sklearn": (iris, data.iris, FloatTensorType, {}, "preamble Scaler of ai.onnx.ml; head Softmax, ArgMax, ZipMap"),
    "cancer_sklearn": (cancer, data.cancer, DoubleTensorType, {"zipmap": False}, "float64, head Sigmoid of two classes"),
    "petal_sklearn": (petal, data.iris_petal, DoubleTensorType, {}, "float64, regression, no head"),
}  # fmt: skip


def make(name):
    build, read, kind, options, shows = MODELS[name]
    x, y, x_test, y_test = read()
    net = build().fit(x.astype(np.float64), y)
    final = net[-1] if hasattr(net, "steps") else net
    model = convert_sklearn(
        net, name=name, initial_types=[("input", kind([None, x.shape[1]]))],
        options={id(final): options} if options else None, target_opset=17,
    )  # fmt: skip
    onnx.save(model, record.model_path(name))
    # Of a regression score is R^2, of a classifier the share of right answers.
    metric = "r2" if isinstance(final, MLPRegressor) else "accuracy"
    scores = {
        f"train_{metric}": round(float(net.score(x.astype(np.float64), y)), 4),
        f"test_{metric}": round(float(net.score(x_test.astype(np.float64), y_test)), 4),
    }
    versions = " ".join(f"{p} {importlib.metadata.version(p)}" for p in ("skl2onnx", "scikit-learn"))
    record.write(
        name, script="make_sklearn.py", exporter=versions, data=read.__name__, shows=shows,
        training=f"{final.solver}, {final.n_iter_} iterations, seed 1", **scores,
    )  # fmt: skip


if __name__ == "__main__":
    for wanted in sys.argv[1:] or MODELS:
        make(wanted)
