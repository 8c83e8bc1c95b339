"""`relupath run` in turn with ONNX Runtime on the same random batch, both on two threads.

    python evaluate.py [-n RUNS] [-b BATCH] RELUPATH MODEL.onnx ...

Ours is a whole process in float64: reading the model and the batch, evaluating, writing. ONNX Runtime's
is one call of a session that is made and warm, in the model's float32; where the file fixes the batch,
one call a sample. Prints medians of processor seconds, the median of the ratios of neighbouring
runs, and the largest difference relative to the largest output.
"""

import argparse
import os
import resource
import statistics
import subprocess
import tempfile
import time

import numpy as np
import onnxruntime as ort

parser = argparse.ArgumentParser()
parser.add_argument("-n", type=int, default=5, help="runs of each")
parser.add_argument("-b", type=int, default=8, help="samples of a batch")
parser.add_argument("relupath")
parser.add_argument("models", nargs="+")
args = parser.parse_args()


def children():
    r = resource.getrusage(resource.RUSAGE_CHILDREN)
    return r.ru_utime + r.ru_stime


for path in args.models:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 2
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (port,) = session.get_inputs()
    fixed = isinstance(port.shape[0], int) and port.shape[0] != args.b
    x = np.random.default_rng(0).standard_normal([args.b] + [d if isinstance(d, int) else 224 for d in port.shape[1:]], dtype=np.float32)
    parts = np.split(x, args.b) if fixed else [x]
    session.run(None, {port.name: parts[0]})
    ours, theirs, ratios = [], [], []
    with tempfile.TemporaryDirectory() as tmp:
        np.save(f"{tmp}/x.npy", x)
        for _ in range(args.n):
            begin = time.process_time()
            want = np.concatenate([session.run(None, {port.name: p})[0] for p in parts])
            theirs.append(time.process_time() - begin)
            begin = children()
            subprocess.run([args.relupath, "run", path, "--input", f"{tmp}/x.npy", "-o", f"{tmp}/y.npy", "--force", "--threads", "2"],
                           check=True, capture_output=True)
            ours.append(children() - begin)
            ratios.append(ours[-1] / theirs[-1])
        got = np.load(f"{tmp}/y.npy")
    m = statistics.median
    print(f"{os.path.basename(path)}: ONNX Runtime {m(theirs):.3f} s, relupath {m(ours):.3f} s, ratio {m(ratios):.2f}, "
          f"difference {abs(got - want).max() / abs(want).max():.1e}", flush=True)
