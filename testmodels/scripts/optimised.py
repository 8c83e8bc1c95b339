"""Optimise and quantise networks as ONNX Runtime's own tools do, and judge relupath on them.

    optimised.py FROM TO --relupath PATH [--only NAME,...] [--markdown FILE]

FROM has models, such as zoo.py exports them; TO gets what the tools make of each: the
optimiser for transformers, the optimisations of a session (extended), and quantisation
to 8 bits (dynamic, static as QDQ and as QLinear operators) and to 4. Each file is judged as
zoo.py does. A tool that cannot work on a model costs that file only.

Weights are quantised to 7 bits: on processors without VNNI the products of ONNX Runtime
saturate in 16 bits at 8.

Wants onnx, onnxruntime, sympy, onnx_ir, numpy.
"""

import argparse
import logging
import os
import sys

import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
from onnxruntime.transformers import optimizer
from onnxruntime.transformers.fusion_options import FusionOptions

import judge

logging.disable(logging.CRITICAL)
IDS = 12  # as in zoo.py
STATIC = ("qdq", "qdq_signed", "qlinear", "qlinear_signed", "qdq_channels", "qlinear_channels", "qdq_16", "qdq_four")
QUANTA = 5 / 255  # a value between two quanta falls to either side, in float32 or float64


class Examples(CalibrationDataReader):
    """Three random examples."""

    def __init__(self, path):
        run = judge.session(path)
        self.left = [judge.random_feed(run, {}, IDS) for _ in range(3)]

    def get_next(self):
        return self.left.pop() if self.left else None


def optimised(level, fused=False):
    def make(path, out):
        kind = next((k for k in ("gpt2", "vit", "t5") if k in os.path.basename(path)), "bert")
        options = FusionOptions(kind)
        options.use_multi_head_attention = options.enable_gelu_approximation = fused
        optimizer.optimize_model(path, model_type=kind, num_heads=4, hidden_size=32, opt_level=level, optimization_options=options).save_model_to_file(out)

    return make


def extended(path, out):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath, options.log_severity_level = out, 4
    ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def static(form, activations, weights, **more):
    return lambda path, out: quantize_static(path, out, Examples(path), quant_format=form, activation_type=activations, weight_type=weights, reduce_range=weights == QuantType.QInt8, **more)


def chained(path, out):
    """What the session makes of a network that is quantised already."""
    quantize_dynamic(path, out + ".part", reduce_range=True)
    extended(out + ".part", out)
    os.remove(out + ".part")


def blocks(form, bits=4, symmetric=False):
    def make(path, out):
        kinds = ("MatMul", "Gather") if form == QuantFormat.QOperator and bits == 4 else ("MatMul",)
        q = MatMulNBitsQuantizer(onnx.load(path), bits=bits, block_size=16, is_symmetric=symmetric, quant_format=form, op_types_to_quantize=kinds)
        q.process()
        q.model.save_model_to_file(out)

    return make


WAYS = {
    "optimised0": optimised(0), "optimised1": optimised(1), "optimised2": optimised(2), "multihead": optimised(1, True),
    "extended": extended,
    "dynamic": lambda path, out: quantize_dynamic(path, out, reduce_range=True),
    "dynamic_extended": chained,
    "qdq": static(QuantFormat.QDQ, QuantType.QUInt8, QuantType.QInt8),
    "qdq_signed": static(QuantFormat.QDQ, QuantType.QInt8, QuantType.QInt8),
    "qlinear": static(QuantFormat.QOperator, QuantType.QUInt8, QuantType.QUInt8),
    "qlinear_signed": static(QuantFormat.QOperator, QuantType.QInt8, QuantType.QInt8),
    "four": blocks(QuantFormat.QOperator), "four_qdq": blocks(QuantFormat.QDQ, symmetric=True),
    "four_symmetric": blocks(QuantFormat.QOperator, symmetric=True), "eight": blocks(QuantFormat.QOperator, 8), "two": blocks(QuantFormat.QOperator, 2),
    "dynamic_channels": lambda path, out: quantize_dynamic(path, out, reduce_range=True, per_channel=True, weight_type=QuantType.QInt8),
    "qdq_channels": static(QuantFormat.QDQ, QuantType.QUInt8, QuantType.QInt8, per_channel=True),
    "qlinear_channels": static(QuantFormat.QOperator, QuantType.QUInt8, QuantType.QInt8, per_channel=True),
    "qdq_16": static(QuantFormat.QDQ, QuantType.QUInt16, QuantType.QUInt8, extra_options={"UseQDQContribOps": True}),
    "qdq_four": static(QuantFormat.QDQ, QuantType.QUInt8, QuantType.QInt4, extra_options={"UseQDQContribOps": True}),
}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("source")
    p.add_argument("to")
    p.add_argument("--relupath", default="relupath")
    p.add_argument("--only", default="")
    p.add_argument("--markdown", default="")
    args = p.parse_args()
    os.makedirs(args.to, exist_ok=True)
    failed, rows = 0, []
    for f in sorted(os.listdir(args.source)):
        if not f.endswith(".onnx") or args.only and not any(o in f for o in args.only.split(",")):
            continue
        for way, make in WAYS.items():
            name = f"{f[:-5]}_{way}"
            path = os.path.join(args.to, name + ".onnx")
            try:
                make(os.path.join(args.source, f), path)
                run = judge.session(path)
                run.run(None, judge.random_feed(run, {}, IDS))
            except Exception as e:  # a tool that cannot is no fault of the file's reader
                print(f"none {name}: {type(e).__name__}: {' '.join(str(e).split())[:100]}", flush=True)
                continue
            v = judge.judge(args.relupath, path, highest=IDS, tolerance=QUANTA if way in STATIC else judge.TOLERANCE)
            failed += bool(v.fault)
            rows.append((name, v))
            print(f"{'FAIL' if v.fault else 'ok  '} {name}: {v.layers} layers, {v.words()}", flush=True)
    print(f"{len(rows)} files, {failed} failed")
    if args.markdown:
        with open(args.markdown, "w") as out:
            judge.table(out, rows)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
