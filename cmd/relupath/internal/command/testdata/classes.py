"""Makes testdata/classes: classifiers by scikit-learn and skl2onnx with labels of
several kinds, test examples that lack a class, and scikit-learn's own numbers.

    python3 classes.py       # scikit-learn 1.5 or newer, skl2onnx 1.20
"""
import json
import pathlib
import warnings

import numpy as np
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.linear_model import LogisticRegression, RidgeClassifier, SGDClassifier
from sklearn.metrics import log_loss
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neural_network import MLPClassifier

warnings.filterwarnings("ignore")
out = pathlib.Path(__file__).parent / "classes"
iris, cancer = load_iris(), load_breast_cancer()
ix = iris.data.astype(np.float32)
cx = ((cancer.data - cancer.data.mean(0)) / cancer.data.std(0))[:, :6].round(3).astype(np.float32)
names = np.array(["setosa", "versicolor", "virginica"])
# name: examples, labels, classes of the test file, options of skl2onnx
CASES = {
    "text": (ix, names[iris.target], ["versicolor", "virginica"], None),
    "text_plain": (ix, names[iris.target], ["virginica"], {"zipmap": False}),
    "ints": (ix, np.array([3, 5, 8])[iris.target], [5, 8], {"zipmap": False}),
    "ints_zipmap": (ix, np.array([8, 1, 3])[iris.target], [3, 8], None),
    "binary": (cx, np.array(["malignant", "benign"])[cancer.target], ["malignant"], {"zipmap": False}),
    "binary_ints": (cx, np.array([2, 1])[cancer.target], [2], {"zipmap": False}),
    "signs": (cx, np.array([1, -1])[cancer.target], [-1, 1], None),
    "signs_three": (ix, np.array([-1, 0, 1])[iris.target], [-1, 1], {"zipmap": False}),
}
record = {}
for name, (x, y, classes, options) in CASES.items():
    model = MLPClassifier((5,), max_iter=300, random_state=1).fit(x, y)
    onx = to_onnx(model, x[:1], options={id(model): options} if options else None, target_opset=16)
    (out / f"{name}.onnx").write_bytes(onx.SerializeToString())
    keep = np.flatnonzero(np.isin(y, classes))[:30:2] if len(classes) == 1 else np.flatnonzero(np.isin(y, classes))[::7]
    # the classes of the file in another order than that of the model
    keep = keep[::-1]
    with open(out / f"{name}.csv", "w") as f:
        for row, label in zip(x[keep], y[keep]):
            print(*(repr(float(v)) for v in row), label, sep=",", file=f)
    p = model.predict_proba(x[keep].astype(np.float64))
    logp = np.log(np.clip(p, 1e-300, 1))
    place = {c: k for k, c in enumerate(model.classes_)}
    at = np.array([place[c] for c in y[keep]])
    rows = np.arange(len(at))
    other = logp.copy()
    other[rows, at] = -np.inf
    margin = logp[rows, at] - other.max(1)
    record[name] = {
        "classes": [str(c) for c in model.classes_],
        "loss": log_loss(y[keep], p, labels=model.classes_),
        "error": float(np.mean(model.predict(x[keep]) != y[keep])),
        "margin5": float(np.percentile(margin, 5)),
    }
(out / "expected.json").write_text(json.dumps(record, indent=1) + "\n")

# One logistic regression for each class: its sigmoids are written out, as 1/(1 + exp(-x)). What
# feeds the loss are the x.
model = SGDClassifier(loss="log_loss", random_state=0).fit(ix, names[iris.target])
(out / "each.onnx").write_bytes(to_onnx(model, ix[:1], target_opset=16).SerializeToString())
keep = np.flatnonzero(iris.target > 0)[::7]
with open(out / "each.csv", "w") as f:
    for row, label in zip(ix[keep], names[iris.target][keep]):
        print(*(repr(float(v)) for v in row), label, sep=",", file=f)
score = model.decision_function(ix[keep].astype(np.float64))
loss = float(np.mean(np.log(np.exp(score - score.max(1, keepdims=True)).sum(1)) + score.max(1) - score[np.arange(len(keep)), iris.target[keep]]))
logloss = log_loss(names[iris.target][keep], model.predict_proba(ix[keep].astype(np.float64)).astype(np.float32), labels=names)
(out / "each.json").write_text(json.dumps({"error": 1 - model.score(ix[keep], names[iris.target][keep]), "loss": loss, "logloss": logloss}) + "\n")


def written(name, model, x, y, options):
    (out / f"{name}.onnx").write_bytes(to_onnx(model.fit(x, y), x[:1], options={"zipmap": False, **options}, target_opset=16).SerializeToString())
    keep = np.arange(len(x))[::7]
    with open(out / f"{name}.csv", "w") as f:
        for row, k in zip(x[keep], y[keep]):
            print(*(repr(float(v)) for v in row), k, sep=",", file=f)
    return x[keep].astype(np.float64), y[keep]


# Ridge regression gives one score, of two that the file computes.
ridge = RidgeClassifier()
x, y = written("ridge", ridge, cx, cancer.target, {})
score = ridge.decision_function(x) * (2 * y - 1)
ridges = {"error": 1 - ridge.score(x, y), "margin5": float(np.percentile(score, 5)), "loss": float(np.mean(np.log1p(np.exp(-score))))}
(out / "ridge.json").write_text(json.dumps(ridges) + "\n")

# Probabilities of the modified Huber loss are clipped scores, and those of three classes divided by
# their sum: no softmax. One model for each class has the scores in several layers.
own = {}
for name, model, x, y in [
    ("huber", SGDClassifier(loss="modified_huber", random_state=0), cx, cancer.target),
    ("huber_three", SGDClassifier(loss="modified_huber", random_state=3), ix, iris.target),
    ("one_each", OneVsRestClassifier(LogisticRegression()), ix, names[iris.target]),
]:
    x, y = written(name, model, x, y, {})
    # Of one precision with the file: log_loss keeps its epsilon from 0 and 1.
    p = model.predict_proba(x).astype(np.float32)
    own[name] = {"error": float(np.mean(model.classes_[p.argmax(1)] != y)), "logloss": log_loss(y, p, labels=model.classes_)}
    if name == "one_each":  # margins of the log odds of each class's classifier
        f = model.decision_function(x.astype(np.float64))
        of = model.classes_ == y[:, None]
        own[name]["margin5"] = float(np.percentile(f[of] - np.where(of, -np.inf, f).max(1), 5))
(out / "own.json").write_text(json.dumps(own, indent=1) + "\n")

# Raw scores of two classes are one score s, written as -s and s.
raw = SGDClassifier(loss="log_loss", random_state=0, alpha=0.01)
x, y = written("raw", raw, cx, cancer.target, {"raw_scores": True})
score = raw.decision_function(x) * (2 * y - 1)
raws = {"error": 1 - raw.score(x, y), "logloss": log_loss(y, raw.predict_proba(x)), "margin5": float(np.percentile(2 * score, 5)), "loss": float(np.mean(np.log1p(np.exp(-2 * score))))}
(out / "raw.json").write_text(json.dumps(raws) + "\n")
