"""What balancing does to the outputs of networks, as ONNX Runtime computes them.

    python balanced.py RELUPATH FOLDER [SECONDS] [MODEL ...]

Each model is thrown out of balance, then balanced by each method, and by the first with
--exact. Every file that is written passes the ONNX checker, and its outputs on random inputs
are compared with the model's: the largest difference relative to the largest output. With
--exact they are compared with those of the unbalanced file, and are the same in every bit.
Prints one JSON object a line; a run of relupath may take SECONDS (60).
"""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

METHODS = ["enorm", "cle", "path", "pathcond"]
ort.set_default_logger_severity(3)


def session(path):
    o = ort.SessionOptions()
    o.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    o.intra_op_num_threads = 1
    return ort.InferenceSession(str(path), o, providers=["CPUExecutionProvider"])


def feed(s, rng):
    out = {}
    for i in s.get_inputs():
        shape = [d if isinstance(d, int) else 1 for d in i.shape]
        if "float" in i.type:
            out[i.name] = rng.standard_normal(shape).astype(np.float64 if "double" in i.type else np.float32)
        elif i.type == "tensor(bool)":
            out[i.name] = np.ones(shape, bool)
        else:
            out[i.name] = (np.ones if "mask" in i.name else lambda s: rng.integers(0, 8, s))(shape).astype(np.int64)
    return out


def outputs(path, x):
    onnx.checker.check_model(str(path), full_check=True)
    return [np.asarray(y, np.float64) for y in session(path).run(None, x)]


def deviation(a, b):
    return max((float(np.abs(x - y).max() / max(np.abs(x).max(), 1e-300)) for x, y in zip(a, b) if x.size), default=0.0)


def study(relupath, path, seconds):
    r = {"model": path.stem}

    def balance(source, to, method, *more):
        subprocess.run([relupath, "balance", source, "--method", method, "-o", to, "--force", "--samples", "2", "--format", "json", *more],
                       check=True, capture_output=True, timeout=seconds)

    x = feed(session(path), np.random.default_rng(1))
    y = outputs(path, x)
    with tempfile.TemporaryDirectory() as folder:
        u, b = Path(folder) / "u.onnx", Path(folder) / "b.onnx"
        balance(path, u, "unbalance")
        z = outputs(u, x)
        r["unbalance"] = deviation(y, z)
        for m in METHODS:
            try:
                balance(u, b, m)
                r[m] = deviation(y, outputs(b, x))
            except subprocess.TimeoutExpired:
                r[m] = "time"
            except subprocess.CalledProcessError as e:
                r[m] = e.stderr.decode()[-200:]
        balance(u, b, METHODS[0], "--exact")
        r["exact"] = all(np.array_equal(p, q, equal_nan=True) for p, q in zip(z, outputs(b, x)))
    return r


def main(relupath, folder, seconds=60, *names):
    paths = sorted(Path(folder).rglob("*.onnx"), key=lambda p: p.stat().st_size)
    for path in paths:
        if names and path.stem not in names:
            continue
        try:
            print(json.dumps(study(relupath, path, float(seconds))), flush=True)
        except Exception as e:  # noqa: BLE001 a model that fails is reported, the rest go on
            why = getattr(e, "stderr", None) or str(e).encode()
            print(json.dumps({"model": path.stem, "error": why.decode()[-300:]}), flush=True)


main(*sys.argv[1:])
