#!/usr/bin/env python3
"""Judges written models by the tools of others: onnx.checker and ONNX Runtime.

    python3 interop.py RELUPATH FOLDER [METHOD...]

Every *.onnx file in and below FOLDER is balanced with the program RELUPATH by the
methods, all by default. The written file must pass onnx.checker, load in ONNX
Runtime and give the outputs of the source file, bit for bit with --exact. A
network made by init must load too. Left out, with the reason: what relupath
refuses as no network of its kind (exit code 3), what ONNX Runtime does not load in
the source file already, and what draws random numbers. Where onnx.checker refuses the source file, ONNX
Runtime alone judges.
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
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def inputs(run, rng):
    """Single samples: some models have a batch of one fixed."""
    for _ in range(SAMPLES):
        yield {
            feed.name: rng.standard_normal([d if isinstance(d, int) else 1 for d in feed.shape]).astype(TYPES[feed.type])
            for feed in run.get_inputs()
        }


def outputs(run, x):
    """Every output as one float vector each; labels of classes are left to the numbers they come from."""
    got = run.run(None, x)
    flat = []
    for v in got:
        if isinstance(v, list):  # ZipMap
            v = np.array([[row[k] for k in sorted(row)] for row in v])
        if v.dtype.kind == "f":
            flat.append(v.ravel())
    return flat


def weights_epsilon(path):
    """The rounding of the widest float type that is stored or computed in."""
    model = onnx.load(path, load_external_data=False)
    tensors = [*model.graph.initializer, *(a.t for n in model.graph.node for a in n.attribute if n.op_type == "Constant")]
    kinds = {np.dtype(onnx.helper.tensor_dtype_to_np_dtype(t.data_type)) for t in tensors if t.data_type}
    return max((float(np.finfo(k).eps) for k in kinds if k.kind == "f"), default=float(np.finfo(np.float32).eps))


def checks(path):
    """What onnx.checker says against a file; empty when nothing."""
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except Exception as e:
        return f"onnx.checker: {e}"
    return ""


def runs(path):
    """What ONNX Runtime says against a file; empty when nothing."""
    try:
        a = session(path)
        x = next(inputs(a, np.random.default_rng(1)))
        first = outputs(a, x)
        for _ in range(12):  # a few elements may be drawn alike a few times
            if not all(np.array_equal(u, v, equal_nan=True) for u, v in zip(first, outputs(a, x), strict=True)):
                return "it draws random numbers"
    except Exception as e:
        return f"ONNX Runtime: {e}"
    return ""


# Largest difference relative to the largest output, by the type of the weights:
# each factor and each sum rounds a few times, in ONNX Runtime too.
TOLERANCE = {np.float64: 1e-12, np.float32: 1e-5, np.float16: 2e-2}


def compare(source, written, exact):
    a, b = session(source), session(written)
    tolerance = 0 if exact else next(t for kind, t in TOLERANCE.items() if np.finfo(kind).eps == weights_epsilon(source))
    diff, scale = {}, {}
    for x in inputs(a, np.random.default_rng(1)):
        for k, (u, v) in enumerate(zip(outputs(a, x), outputs(b, x), strict=True)):
            diff[k] = max(diff.get(k, 0.0), float(np.abs(u - v).max(initial=0)))
            scale[k] = max(scale.get(k, 1e-30), float(np.abs(u).max(initial=0)))
    worst = max(diff[k] / scale[k] for k in diff)
    if not worst <= tolerance:
        raise AssertionError(f"outputs differ by {worst:.3g} of the largest, allowed {tolerance:.3g}")
    return worst


def main(relupath, folder, *methods):
    chosen = [m for m in METHODS if not methods or " ".join(m) in methods]
    failed = judged = 0
    left_out, unchecked = [], []
    worst = {}
    with tempfile.TemporaryDirectory() as work:
        out = pathlib.Path(work) / "out.onnx"
        fresh = pathlib.Path(work) / "fresh.onnx"
        subprocess.run([relupath, "init", "--quiet", "--widths", "20,16,16,3", "-o", fresh], check=True, stdout=subprocess.DEVNULL)
        for source in [fresh, *sorted(pathlib.Path(folder).rglob("*.onnx"))]:
            name = source.name if source == fresh else str(source.relative_to(folder))
            if why := runs(source):
                left_out.append((name, why))
                continue
            unsound = checks(source)
            if unsound:
                unchecked.append(name)
            for method in chosen:
                done = subprocess.run(
                    [relupath, "balance", source, "--quiet", "--force", "--method", *method, "-o", out],
                    capture_output=True, text=True,
                )  # fmt: skip
                if done.returncode == 3:
                    left_out.append((name, done.stderr.strip()))
                    break
                judged += 1
                try:
                    if done.returncode != 0:
                        raise AssertionError(f"exit code {done.returncode}: {done.stderr.strip()}")
                    if not unsound and (why := checks(out)):
                        raise AssertionError(why)
                    diff = compare(source, out, "--exact" in method)
                    label = " ".join(method)
                    worst[label] = max(worst.get(label, (0.0, "")), (diff, name))
                except Exception as e:
                    failed += 1
                    print(f"{name} {' '.join(method)}: FAILED: {e}")
    for name, why in left_out:
        print(f"left out: {name}: {' '.join(why.split())[:200]}")
    for label, (diff, name) in worst.items():
        print(f"{label:16} largest difference {diff:.2e} of the largest output: {name}")
    print(f"{judged} balanced models judged, {failed} failed, {len(left_out)} files left out; onnx.checker refuses {len(unchecked)} source files")
    return 1 if failed or judged == 0 else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
