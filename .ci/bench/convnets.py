"""Path norms of convolutional networks, in turn with PyTorch's forward passes, and the audit.

    OMP_WAIT_POLICY=PASSIVE python convnets.py [-n RUNS] RELUPATH MODEL.onnx ...

Ours is a whole process: path norms of order 1 and 2, and an audit as it comes. PyTorch's is the time of
one forward pass an order in float64 on ones, with |w|^p made of float32 weights; importing, reading and
the first pass are not counted. Both have two threads. Sums stand for maxima of a pooling, so that the
values agree; they are compared. Prints medians, and the median of the ratios of neighbouring runs.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

import onnx
import torch
import torch.nn.functional as F
from onnx import numpy_helper


class Net:
    def __init__(self, path):
        g = onnx.load(path).graph
        self.stored = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in g.initializer}
        self.nodes = [(n.op_type, list(n.input), list(n.output), {a.name: onnx.helper.get_attribute_value(a) for a in n.attribute})
                      for n in g.node]
        (x,) = [i for i in g.input if i.name not in self.stored]
        self.input, self.shape = x.name, [d.dim_value or 1 for d in x.type.tensor_type.shape.dim]
        self.output = g.output[0].name

    def path_norm(self, p):
        """(sum of |products along paths|^p)^(1/p): what runs through is the sum of p-th powers."""
        power = lambda w: w.double().abs().pow(p) if p != 1 else w.double().abs()
        v = {self.input: torch.ones(self.shape, dtype=torch.float64)}
        last = {name: k for k, (_, ins, _, _) in enumerate(self.nodes) for name in ins}
        for k, (op, ins, outs, at) in enumerate(self.nodes):
            x = v.get(ins[0]) if ins else None
            w = [self.stored.get(i) for i in ins]
            pool = dict(kernel_size=at.get("kernel_shape"), stride=at.get("strides"))
            if op in ("MaxPool", "AveragePool"):
                pads = at.get("pads", [0] * 4)
                assert pads[:2] == pads[2:]
                pool.update(padding=pads[:2], ceil_mode=bool(at.get("ceil_mode")), divisor_override=1)
            if op == "Constant":
                self.stored[outs[0]] = torch.from_numpy(numpy_helper.to_array(at["value"]).copy())
                continue
            if op == "Identity" and w[0] is not None:
                self.stored[outs[0]] = w[0]
                continue
            if op == "Conv":
                pads = at.get("pads", [0] * 4)
                assert pads[:2] == pads[2:]
                y = F.conv2d(x, power(w[1]), power(w[2]) if len(w) > 2 else None, at.get("strides", 1), pads[:2],
                             at.get("dilations", 1), at.get("group", 1))
            elif op == "BatchNormalization":
                s = w[1].double() / (w[4].double() + at.get("epsilon", 1e-5)).sqrt()
                b = w[2].double() - w[3].double() * s
                y = x * power(s)[:, None, None] + power(b)[:, None, None]
            elif op in ("Relu", "Clip", "Dropout", "Identity"):
                y = x
            elif op == "MaxPool":
                y = F.avg_pool2d(x, **pool)
            elif op == "AveragePool":
                y = F.avg_pool2d(x, **pool)
                area = pool["kernel_size"][0] * pool["kernel_size"][1]
                if at.get("count_include_pad"):
                    y = y / area**p
                else:
                    y = y / F.avg_pool2d(torch.ones_like(x[:, :1]), **pool).pow(p)
            elif op == "GlobalAveragePool":
                y = x.sum((2, 3), keepdim=True) / (x.shape[2] * x.shape[3]) ** p
            elif op == "ReduceMean":
                y = x.sum((2, 3), keepdim=bool(at.get("keepdims", 1))) / (x.shape[2] * x.shape[3]) ** p
            elif op == "Add":
                y = x + v[ins[1]]
            elif op == "Concat":
                y = torch.cat([v[i] for i in ins], at["axis"])
            elif op == "Flatten":
                y = x.flatten(at.get("axis", 1))
            elif op == "Reshape":
                y = x.reshape([x.shape[i] if d == 0 else int(d) for i, d in enumerate(self.stored[ins[1]])])
            elif op == "Gemm":
                assert at.get("transB")
                y = F.linear(x, power(w[1]), power(w[2]))
            else:
                sys.exit(f"{op}: not in this script")
            v[outs[0]] = y
            for i in ins:
                if last[i] == k:
                    v.pop(i, None)
        return v[self.output].sum().item() ** (1 / p)


def ours(cmd):
    start = time.perf_counter()
    p = subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start, p.stdout


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-n", type=int, default=5)
    parser.add_argument("relupath")
    parser.add_argument("models", nargs="+")
    opt = parser.parse_args()
    torch.set_num_threads(2)
    print(f"torch {torch.__version__}, load {os.getloadavg()[0]:.1f}")
    print(f"{'model':18} {'paths':>7} {'torch':>7} {'ratio':>6} {'audit':>7}   largest relative difference")
    for path in opt.models:
        norms = [opt.relupath, "audit", path, "--measures", "path_norm", "--p", "1,2", "--threads", "2", "--format", "json"]
        audit = [opt.relupath, "audit", path, "--threads", "2", "--format", "json"]
        name = os.path.basename(path).removesuffix(".onnx")
        try:
            out = json.loads(ours(norms)[1])
        except subprocess.CalledProcessError:
            print(f"{name:18} is not read")
            continue
        got = {m["p"]: m["value"] for m in out["models"][0]["measures"] if m["name"] == "path_norm" and "output" not in m}
        net = Net(path)
        times = [[], [], []]
        with torch.no_grad():
            worst = max(abs(net.path_norm(p) / float(got[str(p)] if str(p) in got else got[p]) - 1) for p in (1, 2))
            for _ in range(opt.n):
                times[0].append(ours(norms)[0])
                start = time.perf_counter()
                for p in (1, 2):
                    net.path_norm(p)
                times[1].append(time.perf_counter() - start)
                times[2].append(ours(audit)[0])
        a, b, c = (statistics.median(t) for t in times)
        ratio = statistics.median(x / y for x, y in zip(times[0], times[1]))
        print(f"{name:18} {a:6.3f}s {b:6.3f}s {ratio:6.2f} {c:6.3f}s   {worst:.1e}")


if __name__ == "__main__":
    main()
