#!/usr/bin/env python3
"""Judges written models by the tools of others: onnx.checker and ONNX Runtime.

    python3 interop.py RELUPATH FOLDER

Every *.onnx file of FOLDER is balanced by every method with the program RELUPATH.
The written file must pass onnx.checker, load in ONNX Runtime and give the outputs
of the source file, bit for bit with --exact. A network made by init must load too.
"""

import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime

METHODS = [[m] for m in ("path", "enorm", "cle", "pathcond", "unbalance")] + [["enorm", "--exact"]]
TYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16}
SAMPLES = 8


def session(path):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def inputs(feed, rng):
    """Single samples: some models have a batch of one fixed."""
    shape = [d if isinstance(d, int) else 1 for d in feed.shape]
    return [rng.standard_normal(shape).astype(TYPES[feed.type]) for _ in range(SAMPLES)]


def outputs(run, x):
    """Every output as one float vector each; labels of classes are left to the numbers they come from."""
    got = run.run(None, {run.get_inputs()[0].name: x})
    flat = []
    for v in got:
        if isinstance(v, list):  # ZipMap
            v = np.array([[row[k] for k in sorted(row)] for row in v])
        if v.dtype.kind == "f":
            flat.append(v.ravel())
    return flat


def weights_epsilon(path):
    kinds = {onnx.helper.tensor_dtype_to_np_dtype(t.data_type) for t in onnx.load(path).graph.initializer}
    return max(np.finfo(k).eps for k in kinds if np.dtype(k).kind == "f")


def compare(source, written, exact):
    a, b = session(source), session(written)
    rng = np.random.default_rng(1)
    worst = 0.0
    # Each factor and each sum rounds a few times in the type of the weights.
    tolerance = 0 if exact else 128 * weights_epsilon(source)
    for x in inputs(a.get_inputs()[0], rng):
        for u, v in zip(outputs(a, x), outputs(b, x), strict=True):
            worst = max(worst, float(np.abs(u - v).max() / max(float(np.abs(u).max()), 1e-30)))
    if not worst <= tolerance:
        raise AssertionError(f"outputs differ by {worst:.3g} of the largest, allowed {tolerance:.3g}")
    return worst


def main(relupath, folder):
    failed = checks = 0
    with tempfile.TemporaryDirectory() as work:
        out = pathlib.Path(work) / "out.onnx"
        fresh = pathlib.Path(work) / "fresh.onnx"
        subprocess.run([relupath, "init", "--quiet", "--widths", "20,16,16,3", "-o", fresh], check=True, stdout=subprocess.DEVNULL)
        for source in [fresh, *sorted(pathlib.Path(folder).glob("*.onnx"))]:
            for method in METHODS:
                checks += 1
                name = f"{source.stem} {' '.join(method)}"
                try:
                    subprocess.run(
                        [relupath, "balance", source, "--quiet", "--force", "--method", *method, "-o", out],
                        check=True, capture_output=True, text=True,
                    )  # fmt: skip
                    onnx.checker.check_model(str(out), full_check=True)
                    worst = compare(source, out, "--exact" in method)
                    print(f"{name:40} {worst:.2e}")
                except subprocess.CalledProcessError as e:
                    failed += 1
                    print(f"{name}: FAILED: exit code {e.returncode}: {e.stderr.strip()}")
                except Exception as e:
                    failed += 1
                    print(f"{name}: FAILED: {e}")
    print(f"{checks} balanced models judged, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
