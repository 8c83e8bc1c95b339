"""Region coverage of torchvision networks: relupath's, from ONNX files, beside that of
Brevitas' graph equalization, from the modules.

    python coverage.py RELUPATH [NAME ...]

Prints one JSON object a line. Brevitas counts modules: its sources are convolutions,
matrices, attentions and normalizations of the network, its sinks the same without
normalizations (tests/brevitas/graph/test_equalization.py). A file has a normalization of
a batch folded into the layer before it, and it counts here as it does there: among the
layers, and not among the rows. Without Brevitas its published shares stand alone.
"""
import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import torch
from torch import nn
from torchvision import models

PUBLISHED = {
    "resnet18": (0.487, 0.952), "googlenet": (0.495, 0.982), "inception_v3": (0.497, 0.989), "alexnet": (0.75, 0.75),
    "shufflenet_v2_x0_5": (0.318, 0.649), "mobilenet_v2": (0.161, 0.320), "vit_b_32": (0.396, 0.657),
}


def brevitas(model):
    """The shares of sources and sinks that Brevitas finds, None where it is not installed."""
    try:
        from brevitas.fx import symbolic_trace
        from brevitas.graph.equalize import _batch_norm, _extract_regions, _is_supported_module, _supported_layers
        from brevitas.graph.standardize import TorchFunctionalToModule
        from brevitas.graph.utils import get_module
    except ImportError:
        return None
    norms = (nn.LayerNorm, *_batch_norm)
    model = TorchFunctionalToModule().apply(symbolic_trace(model))
    regions = _extract_regions(model, state_impl_kwargs={"supported_sinks": tuple(x for x in _supported_layers if x not in norms)})
    srcs = {name for r in regions for name in r.srcs_names}
    sinks = {name for r in regions for name in r.sinks_names}
    layers = [get_module(model, n.target) for n in model.graph.nodes if _is_supported_module(model, n)]
    return len(srcs) / len(layers), len(sinks) / sum(not isinstance(m, norms) for m in layers)


def main(relupath, names):
    warnings.simplefilter("ignore")
    for name in names or PUBLISHED:
        torch.manual_seed(0)
        more = {"aux_logits": False} if name in ("googlenet", "inception_v3") else {}
        model = getattr(models, name)(weights=None, **more).eval()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "m.onnx"
            side = 299 if name == "inception_v3" else 224
            torch.onnx.export(model, torch.zeros(1, 3, side, side), path, dynamo=False)
            report = json.loads(subprocess.run([relupath, "inspect", path, "--format", "json"], check=True, capture_output=True).stdout)
        c = report["coverage"]
        batch = sum(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules())
        found = brevitas(model)
        print(json.dumps({
            "network": name, "layers": c["layers"], "row_share": round(c["row_share"], 3), "column_share": round(c["column_share"], 3),
            "counted_alike": [round(c["rows"] / (c["layers"] + batch), 3), round(c["column_share"], 3)],
            "brevitas": found and [round(x, 3) for x in found], "published": PUBLISHED.get(name),
        }), flush=True)


main(sys.argv[1], sys.argv[2:])
