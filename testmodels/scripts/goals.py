"""The tables of docs/balancing.md about fine-tuning with SGD and about float16.

    python goals.py RELUPATH

mnist_mlp, an unbalanced copy and what each method makes of it are trained by plain SGD, and
converted to float16 after being thrown out of balance several times. Needs MNIST (see data.py).
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import data
from quantise import METHODS, Network, decibel, quantised, right

MODEL = data.REPO / "testmodels" / "mnist_mlp.onnx"


def relupath(program, *line):
    return subprocess.run([program, *map(str, line), "--quiet", "--force"], check=True, capture_output=True, text=True).stdout


def fine_tuning(program, folder):
    files = {"as given": MODEL, "unbalanced": folder / "unbalanced.onnx"}
    relupath(program, "balance", MODEL, "--method", "unbalance", "-o", files["unbalanced"])
    for m in METHODS:
        files[m] = folder / f"{m}.onnx"
        relupath(program, "balance", files["unbalanced"], "--method", m, "-o", files[m])
    digits = f"mnist:{data.DATASETS / 'mnist'}"
    for name, path in files.items():
        for step in (0.01, 0.05):
            log = folder / "log"
            relupath(program, "finetune", path, "--data", f"{digits},limit=10000", "--test", digits, "--optimizer", "sgd", "--lr", step,
                     "--epochs", 3, "-o", folder / "tuned.onnx", "--log", log)  # fmt: skip
            epochs = [json.loads(line) for line in log.read_text().splitlines()]
            print(name, step, f"loss {epochs[0]['train_loss']:.3g}, errors", *(f"{100 * e['test_error']:.1f}%" for e in epochs), flush=True)
            log.unlink()


def float16(program, folder):
    x, _, test, labels = data.mnist()
    net = Network("mnist_mlp", MODEL, x[:8], test[:1000], labels[:1000].tolist())
    y, last, files = net.outputs(MODEL), MODEL, {"as given": MODEL}
    for k in range(1, 7):
        path = folder / f"unbalanced{k}.onnx"
        relupath(program, "balance", last, "--method", "unbalance", "--seed", k, "-o", path)
        last = files[f"unbalanced {k} times"] = path
    files["the last one, enorm"] = folder / "balanced.onnx"
    relupath(program, "balance", last, "--method", "enorm", "-o", files["the last one, enorm"])
    for name, path in files.items():
        r = json.loads(relupath(program, "balance", path, "--method", "enorm", "--dry-run", "--format", "json"))
        z = net.outputs(quantised(net, path, "float16", folder))
        print(name, *(f"{r['name']} {r['before']:.3g}" for r in r["ranges"][1:]), f"{decibel(y, z):.1f} dB, {100 * right(net, y, z):.1f}%", flush=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        float16(sys.argv[1], pathlib.Path(folder))
        fine_tuning(sys.argv[1], pathlib.Path(folder))
