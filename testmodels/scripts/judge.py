"""What zoo.py and pretrained.py share: one file, judged.

relupath audits it, none of its stored tensors may be left out, and its outputs are
compared with ONNX Runtime's; on demand Frobenius and spectral norms of layers with NumPy's. Everything runs with a
limit of time and memory, and what fails costs that file only.
"""

import dataclasses
import json
import os
import resource
import subprocess
import tempfile
import time

import numpy as np

TOLERANCE = 1e-4  # of outputs, relative to the largest: ONNX Runtime computes in float32
EXACT = 1e-9  # of norms, relative: both sides compute in float64
NOISE = 2.0**-22  # two roundings of 1 in float32: what a sigmoid near 0 errs by there


@dataclasses.dataclass
class Limits:
    seconds: int = 600
    bytes: int = 12 << 30


@dataclasses.dataclass
class Verdict:
    """What became of one file. Without fault and opaque it is read, measured and evaluated right."""

    fault: str = ""  # a refusal or a difference
    opaque: str = ""  # why nothing is evaluated
    unlike: str = ""  # why ONNX Runtime's outputs are not compared
    layers: int = 0
    segments: int = 0
    seconds: float = 0.0
    error: float = float("nan")  # largest difference of an output, relative to its largest element

    def words(self):
        if self.fault or self.opaque or self.unlike:
            return self.fault or self.opaque or self.unlike
        return f"{self.error:.1e}"


def relupath(program, args, limits):
    """The exit code, output and errors of one command."""

    def bound():
        os.nice(5)
        resource.setrlimit(resource.RLIMIT_AS, (limits.bytes, limits.bytes))

    try:
        done = subprocess.run([program, *args], capture_output=True, text=True, timeout=limits.seconds, preexec_fn=bound)
    except subprocess.TimeoutExpired:
        return 124, "", f"longer than {limits.seconds} s"
    return done.returncode, done.stdout, done.stderr


def weights(model):
    """The stored tensors of two or more axes: initializers and Constant nodes, by name."""
    from onnx import numpy_helper

    out = {}

    def graph(g):
        for t in g.initializer:
            if len(t.dims) >= 2:
                out[t.name] = numpy_helper.to_array(t)
        for n in g.node:
            for a in n.attribute:
                if n.op_type == "Constant" and a.name == "value" and len(a.t.dims) >= 2:
                    out[n.output[0]] = numpy_helper.to_array(a.t)
                if a.HasField("g"):
                    graph(a.g)

    graph(model.graph)
    return {k: v for k, v in out.items() if v.dtype.kind == "f" and v.size > 0}


CONVOLUTIONS = ("Conv", "ConvTranspose", "FusedConv", "ConvInteger", "QLinearConv")


def aliases(model):
    """What stands behind Identity nodes, by the names of their outputs."""
    alias = {}
    for n in model.graph.node:
        if n.op_type == "Identity":
            alias[n.output[0]] = alias.get(n.input[0], n.input[0])
    return alias


def convolutions(model):
    """The convolutions that read a stored tensor, by its name, through Identity nodes."""
    alias, out = aliases(model), {}
    for n in model.graph.node:
        if n.op_type in CONVOLUTIONS and len(n.input) > 1:
            out[alias.get(n.input[1], n.input[1])] = n
    return out


def normalised(model):
    """The scales that batch normalisations behind stored matrices have for their columns, by
    the matrix's name: they are part of the layer."""
    from onnx import numpy_helper

    stored, alias = {t.name: t for t in model.graph.initializer}, aliases(model)
    readers = {}
    for n in model.graph.node:
        for x in n.input if n.op_type != "Shape" else ():
            readers.setdefault(x, []).append(n)
    out = {}
    for n in model.graph.node:
        if n.op_type != "MatMul" or n.input[1] not in stored:
            continue
        behind = readers.get(n.output[0], [])
        while len(behind) == 1 and behind[0].op_type in ("Flatten", "Reshape"):
            behind = readers.get(behind[0].output[0], [])
        if len(behind) == 1 and behind[0].op_type == "BatchNormalization":
            names = (alias.get(behind[0].input[k], behind[0].input[k]) for k in (1, 4))
            scale, variance = (numpy_helper.to_array(stored[x]).astype(np.float64) for x in names)
            epsilon = next((a.f for a in behind[0].attribute if a.name == "epsilon"), np.float32(1e-5))
            out[n.input[1]] = scale / np.sqrt(variance + epsilon)
    return out


def matrices(w, conv):
    """A layer's weight matrix as docs/measures.md defines it, as its diagonal blocks: a row for
    each output channel, a column for each input channel and kernel position."""
    if conv is None:
        return w.reshape(-1, *w.shape[-2:])  # of a stack of matrices each is a block
    groups = next((a.i for a in conv.attribute if a.name == "group"), 1)
    if conv.op_type != "ConvTranspose":
        return w.reshape(groups, len(w) // groups, -1)
    w = w.reshape(groups, len(w) // groups, w.shape[1], -1)
    return w.transpose(0, 2, 1, 3).reshape(groups, w.shape[2], -1)


def spectral_norm(blocks):
    """The largest singular value of a block diagonal matrix."""
    if blocks.shape[1] > blocks.shape[2]:
        blocks = blocks.transpose(0, 2, 1)
    return np.sqrt(np.linalg.eigvalsh(blocks @ blocks.transpose(0, 2, 1)).max())


def unaccounted(path, audit, tensors, compare):
    """What inspect and audit say wrong about the stored tensors: of two or more axes each
    belongs to a layer or is listed with the reason, and where compare says so a layer's
    norms are NumPy's."""
    import onnx

    listed = {t["name"]: t for t in tensors}
    norms = {}
    for layer in audit["layers"]:
        for m in layer["measures"]:
            norms.setdefault((layer["name"], m["name"]), []).append(m["value"])
    out = []
    model = onnx.load(path)
    convs, scales = convolutions(model), normalised(model)
    for name, w in weights(model).items():
        t = listed.get(name)
        if t is None or not t["layers"] and not t.get("reason"):
            out.append(f"{name}{list(w.shape)} is in no list")
            continue
        uses = [u["name"] for u in t["layers"] if u["role"] == "weight"]
        if not compare or t.get("computed") or not uses or not np.isfinite(w).all() or not w.any():
            continue
        blocks = matrices(w.astype(np.float64) * scales.get(name, 1), convs.get(name))
        frobenius = [v / np.linalg.norm(blocks) for u in uses for v in norms.get((u, "frobenius"), []) if v]
        spectral = []
        if min(blocks.shape[1:]) <= 2048:
            top = spectral_norm(blocks)
            spectral = [v / top for u in uses for v in norms.get((u, "spectral"), []) if v]
        # A scale behind a matrix is part of its layer: both norms have the same factor.
        both = any(abs(g / f - 1) <= 10 * EXACT for f in frobenius for g in spectral)
        if not (both or not spectral and any(abs(f - 1) <= EXACT for f in frobenius)):
            out.append(f"{name}{list(w.shape)}: norms are {frobenius} and {spectral} times NumPy's")
    return out


def session(path):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 2
    options.log_severity_level = 3
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


TYPES = {"float": np.float32, "float16": np.float16, "double": np.float64, "int64": np.int64, "int32": np.int32, "uint8": np.uint8, "bool": np.bool_}


def random_feed(run, given, highest):
    """Random inputs: of the shapes given, where the file leaves one open; integers below highest."""
    rng = np.random.default_rng(0)
    feed = {}
    for i in run.get_inputs():
        shape, low, high = given.get(i.name) or (None, 0, highest)
        kind = TYPES[i.type[len("tensor(") : -1]]
        if shape is None:
            shape = [d if isinstance(d, int) and d > 0 else 2 for d in i.shape]
        if np.dtype(kind).kind == "f":
            x = low + (high - low) * rng.random(shape) if i.name in given and high > low else rng.standard_normal(shape)
        else:
            x = rng.integers(low, max(high, low + 1), shape)
        feed[i.name] = np.asarray(x, kind)
    return feed


def difference(program, path, feed, shapes, want, outputs, limits, tolerance):
    """The largest difference between relupath's outputs and want, relative to each output's largest element."""
    with tempfile.TemporaryDirectory() as tmp:
        line = ["run", path, "--quiet", *shapes]
        for k, (name, x) in enumerate(feed.items()):
            np.save(f"{tmp}/in{k}.npy", x)
            line += ["--input", f"{name}={tmp}/in{k}.npy"]
        code, _, errors = relupath(program, [*line, "-o", f"{tmp}/out"], limits)
        if code != 0:
            return float("nan"), f"run: exit code {code}: {' '.join(errors.split())[:200]}"
        files = [f"{tmp}/out"] if os.path.isfile(f"{tmp}/out") else [f"{tmp}/out/{f}" for f in sorted(os.listdir(f"{tmp}/out"))]
        got = {os.path.basename(f): np.load(f) for f in files}
        worst = 0.0
        for o, w in zip(outputs, want):
            if not isinstance(w, np.ndarray) or w.dtype.kind not in "fiub" or w.size == 0:  # what ZipMap gives is no array
                continue
            name = "".join(c if c.isalnum() or c in "-_." else "_" for c in o.name) + ".npy"
            g = next(iter(got.values())) if len(got) == 1 else got.get(name)
            if g is None or g.size != w.size:
                return float("nan"), f"output {o.name} is missing or has shape {None if g is None else g.shape}, want {w.shape}"
            w = w.astype(np.float64)
            g = g.reshape(w.shape).astype(np.float64)
            finite = np.isfinite(w)
            if not np.array_equal(np.where(finite, 0, w), np.where(np.isfinite(g), 0, g), equal_nan=True):
                return float("nan"), f"output {o.name} is finite elsewhere than ONNX Runtime's"
            if finite.any():
                worst = max(worst, float(np.abs(g - w)[finite].max()) / max(float(np.abs(w[finite]).max()), NOISE / TOLERANCE if tolerance > EXACT else 1e-300))
        return worst, "" if worst <= tolerance else f"outputs differ by {worst:.2g}"


def precision(path):
    """What a file of float64 may differ by: as one of float32 where the model itself rounds something to that."""
    import onnx

    rounds = any(n.op_type == "Cast" and any(a.name == "to" and a.i == onnx.TensorProto.FLOAT for a in n.attribute) for n in onnx.load(path).graph.node)
    return TOLERANCE if rounds else EXACT


def recorded(program, path, record, limits, tolerance):
    """difference of the first output from a record, of which the other arrays are the inputs in order."""
    import onnx

    graph = onnx.load(path).graph
    feed = dict(zip([i.name for i in graph.input], [record[k] for k in record.files if k != "y"]))
    return difference(program, path, feed, [], [record["y"]], graph.output, limits, tolerance)


def judge(program, path, given=None, highest=60, limits=None, tolerance=TOLERANCE, norms=False):
    """The verdict on one file. given has shape, lowest and highest value of inputs by name;
    norms says that NumPy can tell the norms of its layers."""
    given, limits = given or {}, limits or Limits()
    out = Verdict()
    run = None
    shapes = []
    try:
        run = session(path)
        feed = random_feed(run, given, highest)
        for i in run.get_inputs():
            if i.name in given and any(not isinstance(d, int) for d in i.shape):
                shapes += ["--input-shape", f"{i.name}={'x'.join(map(str, feed[i.name].shape))}"]
        want = run.run(None, feed)
        if not all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in zip(want, run.run(None, feed)) if isinstance(a, np.ndarray)):
            out.unlike = "it draws random numbers"
    except Exception as e:  # what ONNX Runtime cannot run is audited nevertheless
        out.unlike = f"ONNX Runtime: {' '.join(str(e).split())[:120]}"
    began = time.time()
    code, report, errors = relupath(program, ["audit", path, "--measures", "frobenius,spectral,path_norm", "--format", "json", "--quiet", *shapes], limits)
    out.seconds = time.time() - began
    if code != 0:
        out.fault = f"audit: exit code {code}: {' '.join(errors.split())[:300]}"
        return out
    audit = json.loads(report)["models"][0]
    out.layers, out.segments = len(audit["layers"]), len(audit.get("segments") or []) or 1
    code, report, errors = relupath(program, ["inspect", path, "--format", "json", "--quiet", *shapes], limits)
    if code != 0:
        out.fault = f"inspect: exit code {code}: {' '.join(errors.split())[:300]}"
        return out
    out.fault = "; ".join(unaccounted(path, audit, json.loads(report)["tensors"], norms)[:3])
    out.opaque = "; ".join(w for w in audit["warnings"] if "not evaluated" in w)
    if not (out.opaque or out.unlike or out.fault):
        out.error, out.fault = difference(program, path, feed, shapes, want, run.get_outputs(), limits, tolerance)
    return out


def table(out, rows):
    """A Markdown table of verdicts."""
    out.write("| network | layers | segments | largest difference from ONNX Runtime |\n|---|---:|---:|---:|\n")
    for name, v in rows:
        out.write(f"| {name} | {v.layers} | {v.segments} | {v.words().split(';')[0]} |\n")
