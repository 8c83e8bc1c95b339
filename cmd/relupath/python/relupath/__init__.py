"""Path norms, rescaling and Path-SGD for ReLU networks in ONNX.

The package runs the program ``relupath`` and reads its JSON; it computes nothing
itself. Models are paths, ``bytes``, open files, ``onnx.ModelProto``, or torch modules, which are
exported with the inputs ``args``. Options are those of the command line with ``_`` for
``-``: ``p=[1, 2]`` is ``--p 1,2``, ``per_layer=True`` is ``--per-layer``.
"""

from importlib import metadata as _metadata

from ._calls import audit, balance, diff, equivalent, evaluate, finetune, inspect, prune, run
from ._program import ModelError, RelupathError, UsageError, find_program
from ._results import Audit, Model, Written

try:
    __version__ = _metadata.version("relupath")
except _metadata.PackageNotFoundError:  # run from a checkout
    __version__ = "0.0.0.dev0"

__all__ = [
    "Audit",
    "Model",
    "ModelError",
    "RelupathError",
    "UsageError",
    "Written",
    "audit",
    "balance",
    "diff",
    "equivalent",
    "evaluate",
    "find_program",
    "finetune",
    "inspect",
    "prune",
    "run",
]
