"""Checks exported models with onnx and ONNX Runtime.

usage: interop.py CASES.jsonl

A case has a name, the exported model, the original that it was made from or
null, inputs, the outputs that relupath computed for the exported model, and the
largest difference allowed, relative to the largest value of an output. An
exported model is good when onnx.checker with full_check takes it, ONNX Runtime
loads it, and its outputs there are those of the original there and those of
relupath. Where the original itself fails a step, the step is skipped for the
export and named in the output.
"""

import json
import sys

import numpy as np
import onnx
import onnxruntime as ort


def check(path):
    try:
        onnx.checker.check_model(path, full_check=True)
    except Exception as e:  # noqa: BLE001: any refusal is an answer
        return str(e).strip().splitlines()[0]
    return None


def run(path, inputs):
    """Returns the outputs by name, or the reason for which there are none."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    try:
        s = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        names = [o.name for o in s.get_outputs()]
        return {n: numbers(v) for n, v in zip(names, s.run(None, inputs))}, None
    except Exception as e:  # noqa: BLE001
        return None, str(e).strip().splitlines()[0][:200]


def numbers(v):
    """Makes an array of a ZipMap's result, a map from labels to numbers for each sample."""
    if isinstance(v, list) and v and isinstance(v[0], dict):
        return np.array([[row[k] for k in sorted(row)] for row in v])
    return v


def difference(got, want):
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    if got.size != want.size:
        return np.inf
    got, want = got.reshape(-1), want.reshape(-1)
    d = np.abs(got - want)
    d[(got == want) | (np.isnan(got) & np.isnan(want))] = 0
    if not d.any():
        return 0.0
    return float(np.max(np.where(np.isnan(d), np.inf, d)) / np.max(np.abs(want)))


def numeric(v):
    return isinstance(v, np.ndarray) and v.dtype.kind in "fiub"


def case(c):
    """Returns failures and remarks."""
    bad, remarks = [], []
    inputs = {k: np.array(v["data"], v["type"]).reshape(v["dims"]) for k, v in c["inputs"].items()}
    original = c["original"]
    problem = check(c["exported"])
    if problem and original and check(original):
        remarks.append("onnx.checker refuses the original too")
    elif problem:
        bad.append("onnx.checker: " + problem)
    got, problem = run(c["exported"], inputs)
    want, refused = (run(original, inputs) if original else (None, None))
    if problem:
        if original and refused:
            remarks.append("ONNX Runtime refuses the original too: " + refused)
        else:
            bad.append("ONNX Runtime: " + problem)
        return bad, remarks
    for name, v in (want or {}).items():
        if numeric(v) and not (d := difference(got[name], v)) <= c["tolerance"]:
            bad.append(f"output {name} differs from the original's by {d:.3g}, want {c['tolerance']:.3g}")
    for name, v in c["outputs"].items():
        if not (d := difference(got[name], np.array(v, np.float64))) <= c["tolerance"]:
            bad.append(f"output {name} differs from relupath's by {d:.3g}, want {c['tolerance']:.3g}")
    return bad, remarks


def main():
    failed = total = 0
    with open(sys.argv[1]) as f:
        for line in f:
            c = json.loads(line)
            total += 1
            bad, remarks = case(c)
            for r in remarks:
                print(f"{c['name']}: {r}")
            for b in bad:
                print(f"FAIL {c['name']}: {b}")
            failed += bool(bad)
    print(f"{total} exported models, {failed} failed (onnx {onnx.__version__}, ONNX Runtime {ort.__version__})")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
