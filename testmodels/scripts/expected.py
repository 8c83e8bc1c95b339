"""Writes ../expected/NAME.json: measures, counts and recorded outputs of each model.

    python3 expected.py [name ...]

Nothing here is computed by relupath: the file is read by the onnx package, the
measures come from body.py and measures.py, the outputs from ONNX Runtime. The
schema is documented in ../README.md and in the Go type Expected.
"""

import importlib.metadata
import json
import pathlib
import re
import sys

import numpy as np
import onnxruntime

import data
import measures
import record
from body import Body

SAMPLES = 4
TOY = np.array([[1, 2], [-1, 0.5], [0.25, -4], [-3, -1]], np.float32)
ORT_TYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16}


def sample_rows(source):
    if source == "none":
        return TOY
    x = getattr(data, source)()[2]
    return x[:: len(x) // SAMPLES][:SAMPLES]


def run(body, rows):
    """Each row alone through ONNX Runtime: the graph's outputs and the measured output."""
    model = body.model
    plain = {v.name for v in model.graph.output}
    extended = type(model)()
    extended.CopyFrom(model)
    measured = body.outputs[0]
    if measured not in plain:
        extended.graph.output.add().name = measured
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        extended.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    feed = session.get_inputs()[0]
    rank = len(feed.shape)
    names = [o.name for o in session.get_outputs()]
    out = []
    for row in rows:
        x = np.asarray(row, ORT_TYPES[feed.type])
        shape = (x.size,) if rank == 1 else (1, *[d if isinstance(d, int) else x.size for d in feed.shape[1:]])
        x = x.reshape(shape)
        got = dict(zip(names, session.run(names, {feed.name: x})))
        logits = np.asarray(got[measured]).ravel()
        want = body.forward(x.ravel())
        # float32 dot products of up to 784 terms, float16 ones of up to 64.
        tolerance = {np.float64: 1e-12, np.float32: 1e-5, np.float16: 1e-2}[x.dtype.type] * max(1, np.abs(want).max())
        assert np.abs(logits - want).max() <= tolerance, (logits, want)
        outputs = {n: flat(v) for n, v in got.items() if n in plain}
        out.append({"input": flat(x), "measured": flat(logits), "outputs": outputs})
    return {"name": feed.name, "shape": [d if isinstance(d, int) else str(d) for d in feed.shape]}, out


def flat(value):
    """Numbers with the fewest digits that give them back in their own type; a map's in the order of its keys."""
    if isinstance(value, list):
        (value,) = value
        value = np.array([value[k] for k in sorted(value)], np.float32)
    a = np.asarray(value).ravel()
    if a.dtype.kind in "iu":
        return [int(v) for v in a]
    return [float(np.format_float_scientific(v, unique=True)) for v in a]


def expected(name, made):
    body = Body(record.model_path(name))
    layers = [measures.layer_measures(l) for l in body.layers]
    policies = {p: measures.policy_measures(body, p) for p in measures.POLICIES}
    checked = all([measures.check_paths(body, policies[p], p) for p in measures.POLICIES])
    feed, samples = run(body, sample_rows(made["data"]))
    model = body.model
    return {
        "schema": 1,
        "model": name,
        "producer": f"{model.producer_name} {model.producer_version}".strip(),
        "ir_version": model.ir_version,
        "opset": body.opset.get("", 0),
        "input": dict(feed, elements=body.input.size, preamble=list(body.input.ops)),
        "measured_output": {"name": body.outputs[0], "elements": body.output.size, "head": body.head},
        "parameters": sum(body.stored.values()),
        "depth": measures.depth(body),
        "hidden_units": measures.hidden_units(body),
        "layers": layers,
        "network": measures.network_measures(body, layers),
        "policies": policies,
        "paths_enumerated": checked,
        "runtime": "onnxruntime " + importlib.metadata.version("onnxruntime"),
        "samples": samples,
    }


def dump(value):
    """JSON with lists of numbers on one line."""
    text = json.dumps(value, indent=1, allow_nan=False)
    return re.sub(r"\[[^\[\]{}]*\]", lambda m: re.sub(r"\s*\n\s*", " ", m[0]).replace("[ ", "[").replace(" ]", "]"), text) + "\n"


if __name__ == "__main__":
    training = json.loads(record.FILE.read_text())
    folder = pathlib.Path(record.FOLDER) / "expected"
    folder.mkdir(exist_ok=True)
    for wanted in sys.argv[1:] or training:
        result = expected(wanted, training[wanted])
        (folder / f"{wanted}.json").write_text(dump(result))
        first = result["policies"]["include"]["path_norms"]["1"]
        print(wanted, result["parameters"], "parameters, path norm", first["value"], "enumerated" if result["paths_enumerated"] else "")
