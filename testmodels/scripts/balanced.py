"""What balancing does to the outputs of networks, as ONNX Runtime computes them.

    python balanced.py RELUPATH FOLDER... [--seconds S] [--only NAME,...] [--columns NAME,...] [--lines FILE] [--markdown FILE] [--strict]

Each model is thrown out of balance, then balanced by each method, and by the first with
--exact. Every file that is written passes the ONNX checker, and its outputs on random inputs
are compared with the model's: the largest difference relative to the largest output. With
--exact they are compared with those of the unbalanced file, and are the same in every bit.
Prints one JSON object a line, the smallest files first; a run of relupath may take S seconds
(60). --lines reads such lines and adds to them: what they know is not run again, a run that took too
long or failed is. --columns restricts what is run. --markdown writes a table of all. With
--strict the exit code is 1 unless every file was written and keeps to 1e-5, or to the bits.
"""
import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

METHODS = ["enorm", "cle", "path", "pathcond"]
COLUMNS = ["unbalance", *METHODS, "exact"]
TOLERANCE = 1e-5
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
        elif i.type == "tensor(uint8)":
            out[i.name] = rng.integers(0, 256, shape).astype(np.uint8)
        else:
            out[i.name] = (np.ones if "mask" in i.name else lambda s: rng.integers(0, 8, s))(shape).astype(np.int64)
    return out


def outputs(path, x):
    onnx.checker.check_model(str(path), full_check=True)
    return [np.asarray(y, np.float64) for y in session(path).run(None, x)]


def deviation(a, b):
    """The largest difference of an output relative to its largest number, infinite where one
    has NaN and the other has not."""
    worst = 0.0
    for x, y in zip(a, b, strict=True):
        if x.shape != y.shape or not np.array_equal(np.isnan(x), np.isnan(y)):
            return float("inf")
        if np.isfinite(x).any():
            top = np.abs(x[np.isfinite(x)]).max()
            worst = max(worst, float(np.nan_to_num(np.abs(x - y), nan=0.0).max() / max(top, 1e-300)))
    return worst


def study(relupath, path, seconds, columns, known):
    """The line of a model: what is known of it, and the columns that it lacks."""
    r = {k: v for k, v in known.items() if k != "error"} | {"model": path.stem, "bytes": path.stat().st_size}

    def balance(source, to, method, *more):
        """What the run's output says of its end; empty if it went well."""
        try:
            line = [relupath, "balance", source, "--method", method, "-o", to, "--force", "--samples", "2", "--format", "json", "--quiet", *more]
            subprocess.run(line, check=True, capture_output=True, timeout=seconds)
        except subprocess.TimeoutExpired:
            return "time"
        except subprocess.CalledProcessError as e:
            return e.stderr.decode()[-300:]
        return ""

    x = feed(session(path), np.random.default_rng(1))
    y = outputs(path, x)
    with tempfile.TemporaryDirectory() as folder:
        u, b = Path(folder) / "u.onnx", Path(folder) / "b.onnx"
        if why := balance(path, u, "unbalance"):
            return r | {"error": why}
        z = outputs(u, x)
        for c in columns:
            if c == "unbalance":
                r[c] = deviation(y, z)
            elif c == "exact":
                r[c] = balance(u, b, METHODS[0], "--exact") or all(np.array_equal(p, q, equal_nan=True) for p, q in zip(z, outputs(b, x)))
            else:
                r[c] = balance(u, b, c) or deviation(y, outputs(b, x))
    return r


def cell(x):
    if isinstance(x, bool):
        return "bit for bit" if x else "**differs**"
    if isinstance(x, float):
        return f"{x:.1e}" if x <= TOLERANCE else f"**{x:.1e}**"
    if x is None:
        return ""
    return "time" if x == "time" else "refused"


def kept(x):
    return x is True or isinstance(x, float) and x <= TOLERANCE


def table(rows):
    yield "| network | " + " | ".join(COLUMNS) + " |"
    yield "|---|" + "---:|" * len(COLUMNS)
    for r in sorted(rows, key=lambda r: r["model"]):
        yield f"| {r['model']} | " + " | ".join(cell(r.get(c, r.get("error"))) for c in COLUMNS) + " |"


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("relupath")
    p.add_argument("folders", type=Path, nargs="+")
    p.add_argument("--seconds", type=float, default=60)
    p.add_argument("--only", default="")
    p.add_argument("--columns", default=",".join(COLUMNS))
    p.add_argument("--markdown", type=Path)
    p.add_argument("--lines", type=Path)
    p.add_argument("--strict", action="store_true")
    args = p.parse_args()
    rows = {}
    if args.lines and args.lines.exists():
        rows = {r["model"]: r for r in map(json.loads, args.lines.read_text().splitlines())}
    files = [f for folder in args.folders for f in ([folder] if folder.is_file() else folder.rglob("*.onnx"))]
    for path in sorted(files, key=lambda p: p.stat().st_size):
        known = rows.get(path.stem, {})
        columns = [c for c in args.columns.split(",") if known.get(c) is None or isinstance(known[c], str)]
        if not columns or args.only and path.stem not in args.only.split(","):
            continue
        try:
            rows[path.stem] = study(args.relupath, path, args.seconds, columns, known)
        except Exception as e:  # noqa: BLE001 a model that fails is reported, the rest go on
            rows[path.stem] = known | {"model": path.stem, "error": str(e)[-300:]}
        line = json.dumps(rows[path.stem])
        print(line, flush=True)
        if args.lines:
            with args.lines.open("a") as f:
                f.write(line + "\n")
    if args.markdown:
        args.markdown.write_text("\n".join(table(rows.values())) + "\n")
    if args.strict and (not rows or any("error" in r or not all(kept(r.get(c)) for c in args.columns.split(",")) for r in rows.values())):
        sys.exit(1)


main()
