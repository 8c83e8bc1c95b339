"""The table of docs/pruning.md: accuracy after pruning by paths and by magnitude.

    python pruning.py [--lr RATE] RELUPATH MODEL.onnx TRAIN TEST [MODEL.onnx TRAIN TEST ...]

TRAIN and TEST are data specs. Each model is balanced (enorm), and thrown out of balance
(unbalance); both copies are pruned by path and by magnitude, evaluated on TEST, trained for
two epochs by Path-SGD with --keep-zeros (and --lr) on TRAIN, and evaluated again.
"""

import json
import os
import subprocess
import sys
import tempfile


def run(relupath, *args):
    out = subprocess.run([relupath, *args, "--format", "json", "--quiet", "--force"], check=True, capture_output=True).stdout
    return json.loads(out)


def main():
    args = sys.argv[1:]
    rate = [args.pop(0), args.pop(0)] if args[0] == "--lr" else []
    relupath = args.pop(0)
    print("| model | copy | score | 40 % | 60 % | 80 % | 90 % |\n|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as d:
        for model, train, test in zip(*[iter(args)] * 3, strict=True):
            name = os.path.basename(model).removesuffix(".onnx")
            for copy, method in (("balanced", "enorm"), ("rescaled", "unbalance")):
                at = os.path.join(d, copy + ".onnx")
                run(relupath, "balance", model, "--method", method, "-o", at)
                for by in ("path", "magnitude"):
                    cells = []
                    for s in (0.4, 0.6, 0.8, 0.9):
                        small, tuned = os.path.join(d, "small.onnx"), os.path.join(d, "tuned.onnx")
                        run(relupath, "prune", at, "--sparsity", str(s), "--by", by, "-o", small)
                        run(relupath, "finetune", small, "--data", train, "--epochs", "2", "--keep-zeros", *rate, "-o", tuned)
                        before, after = (100 * (1 - run(relupath, "eval", m, "--data", test)["error"]) for m in (small, tuned))
                        cells.append(f"{before:.1f}, {after:.1f}")
                    print(f"| {name} | {copy} | {by} | " + " | ".join(cells) + " |", flush=True)


main()
