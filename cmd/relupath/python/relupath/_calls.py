"""The commands as functions."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from typing import Any, Union

from ._program import ModelError, RelupathError, call, flags, lines
from ._results import Audit, Model, Written

AnyModel = Union[str, "os.PathLike[str]", bytes, Any]


def _is_path(model: Any) -> bool:
    return isinstance(model, (str, os.PathLike))


def _is_model(model: Any) -> bool:
    """Whether it is one model: files and some torch modules are iterable."""
    if _is_path(model) or isinstance(model, (bytes, bytearray, memoryview)):
        return True
    return hasattr(model, "SerializeToString") or hasattr(model, "read") or _is_module(model)


def _is_module(model: Any) -> bool:
    return hasattr(model, "state_dict") and hasattr(model, "forward")


def _write(model: Any, path: str, args: Any) -> None:
    """Writes bytes, an open file, an onnx.ModelProto or a torch module as a file."""
    if isinstance(model, (bytes, bytearray, memoryview)):
        raw = bytes(model)
    elif hasattr(model, "SerializeToString"):
        raw = model.SerializeToString()
    elif hasattr(model, "read"):
        raw = model.read()
    elif _is_module(model):
        import torch

        if args is None:
            raise TypeError("a torch module is exported with example inputs: give args=(x,)")
        modes = [(m, m.training) for m in model.modules()]
        model.eval()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                torch.onnx.export(model, args if isinstance(args, (tuple, list)) else (args,), path, dynamo=False)
        finally:
            for m, training in modes:
                m.training = training
        return
    else:
        raise TypeError(f"{type(model).__name__} is no model: want a path, bytes, a file, an onnx.ModelProto or a torch module")
    with open(path, "wb") as f:
        f.write(raw)


@contextmanager
def _folder():
    """A folder that is removed afterwards, and of which errors do not speak."""
    with tempfile.TemporaryDirectory(prefix="relupath-") as folder:
        try:
            yield folder
        except RelupathError as e:
            raise type(e)(str(e).replace(folder + os.sep, ""), e.code, e.obstacles) from None


@contextmanager
def _files(models: Iterable[Any], args: Any = None):
    """Paths of models, those that are no files in a folder that is removed afterwards.

    They are named after their class and their place in the list.
    """
    with _folder() as folder:
        paths = []
        for i, model in enumerate(models):
            if _is_path(model):
                paths.append(os.fspath(model))
                continue
            path = os.path.join(folder, f"{type(model).__name__}[{i}]")
            _write(model, path, args)
            paths.append(path)
        yield paths, folder


@contextmanager
def _data(data: Any):
    """The spec of examples: a spec, or a pair of arrays as a file."""
    if isinstance(data, str):
        yield data
        return
    x, y = data
    np = _numpy()
    with _folder() as folder:
        path = os.path.join(folder, "data.npz")
        np.savez(path, x=np.asarray(x), y=np.asarray(y))
        yield "npz:" + path


def _known(row: dict[str, Any], folder: str) -> dict[str, Any]:
    """A report whose models are named as the caller knows them."""
    return {k: v.removeprefix(folder + os.sep) if isinstance(v, str) else v for k, v in row.items()}


def _plain(path: str) -> str:
    return os.path.join(".", path) if path.startswith("-") else path


def audit(models: AnyModel | Iterable[AnyModel], *, args: Any = None, progress: bool = False, **options: Any) -> Audit:
    """Measures models: path norms, group norms and other capacities.

    ``models`` is one model or several; a folder stands for the ONNX files below it.
    ``options`` are those of ``relupath audit``: ``p``, ``group``, ``measures``, ``data``,
    ``bias``, ``threads``, ``jobs``. Norms are in the units of the weights, path norms in
    those of the output by those of the input; each measure says whether it is invariant
    under rescaling (Neyshabur, Tomioka and Srebro 2015). ``progress`` shows tqdm's bar,
    where tqdm is installed. ``args`` are the example inputs with which torch modules are
    exported. Models that are no files are named after their class and place.

    One model that cannot be read raises :class:`ModelError`; of several it is in
    ``errors`` of the result.

    >>> toy = "testmodels/toy.onnx"
    >>> audit(toy, p=[1])[0].measure("path_norm", p=1)
    29
    """
    single = _is_model(models) or not isinstance(models, Iterable)
    rows: list[Model] = []
    errors: list[dict[str, Any]] = []
    with _files([models] if single else models, args) as (paths, folder):
        if not paths:
            return Audit(rows, errors)
        for path in paths:
            if "\n" in path:
                raise ValueError(f"{path!r}: a path with a line break")
        with lines(["audit", "--files-from=-", *flags(options)], "\n".join(map(_plain, paths)) + "\n") as read:
            total = None if any(map(os.path.isdir, paths)) else len(paths)
            for row in _bar(read, total, progress):
                row = _known(row, folder)
                (errors if "obstacles" in row else rows).append(Model(row))
    if single and errors and not rows and len(errors) == 1:
        obstacles = errors[0]["obstacles"]
        raise ModelError(f"{errors[0]['path']}: " + "; ".join(o["reason"] for o in obstacles), 3, obstacles)
    return Audit(rows, [dict(e) for e in errors])


def _bar(rows: Iterable[Any], total: int | None, shown: bool) -> Iterable[Any]:
    if not shown:
        return rows
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return rows
    return tqdm(rows, total=total, unit="model")


def inspect(model: AnyModel, *, args: Any = None, **options: Any) -> dict[str, Any]:
    """The network as read: layers, tied groups, what is pinned and why (relupath.inspect/1).

    >>> inspect("testmodels/toy.onnx")["opset"]
    13
    """
    with _files([model], args) as ((path,), folder):
        return _known(call(["inspect", _plain(path), *flags(options)]), folder)


def equivalent(a: AnyModel, b: AnyModel, *, args: Any = None, **options: Any) -> dict[str, Any]:
    """Whether two models are rescalings of each other, and the factors (relupath.equivalent/1).

    >>> equivalent("testmodels/toy.onnx", "testmodels/toy_unbalanced.onnx")["equivalent"]
    True
    """
    with _files([a, b], args) as (paths, _):
        return call(["equivalent", *map(_plain, paths), *flags(options)], accept=(0, 1))


def diff(a: AnyModel, b: AnyModel, *, args: Any = None, **options: Any) -> dict[str, Any]:
    """How the measures of two models differ, or of two folders by name (relupath.diff/1).

    >>> pair = diff("testmodels/toy.onnx", "testmodels/toy_unbalanced.onnx")["pairs"][0]
    >>> pair["measures"][0]["measure"]
    'parameters'
    """
    with _files([a, b], args) as (paths, folder):
        return _known(call(["diff", *map(_plain, paths), *flags(options)], accept=(0, 1)), folder)


def balance(model: AnyModel, output: Any = None, *, args: Any = None, **options: Any) -> Written:
    """A rescaling-equivalent network, balanced, with a proof that the function is the same.

    ``method`` is path (the smallest largest incoming norm), enorm (Stock et al. 2019), cle
    (Nagel et al. 2019), pathcond or unbalance. Without ``output`` the result has the bytes.

    >>> balance("testmodels/toy_unbalanced.onnx", p=1).report["method"]
    'path'
    """
    return _writing("balance", model, output, args, options)


def prune(model: AnyModel, sparsity: float, output: Any = None, *, args: Any = None, **options: Any) -> Written:
    """Sets the share ``sparsity`` of the weights to zero, by path-magnitude or ``by="magnitude"``.

    >>> prune("testmodels/toy.onnx", 0.5).report["zeros"]
    [0, 4]
    """
    return _writing("prune", model, output, args, {"sparsity": sparsity, **options})


def finetune(model: AnyModel, data: Any, output: Any = None, *, args: Any = None, **options: Any) -> Written:
    """Continues training with Path-SGD (Neyshabur et al. 2015), or another ``optimizer``.

    ``data`` is a spec of the program, such as ``"mnist:DIR"``, or a pair of arrays: examples
    and labels.
    """
    with _data(data) as spec:
        return _writing("finetune", model, output, args, {"data": spec, **options})


def evaluate(model: AnyModel, data: Any, *, args: Any = None, **options: Any) -> dict[str, Any]:
    """Loss, share of wrong answers and percentiles of the margins on examples (relupath.eval/1).

    ``data`` is as of :func:`finetune`.
    """
    with _data(data) as spec, _files([model], args) as ((path,), folder):
        return _known(call(["eval", _plain(path), *flags({"data": spec, **options})]), folder)


def _writing(command: str, model: Any, output: Any, args: Any, options: dict[str, Any]) -> Written:
    with _files([model], args) as ((path,), folder):
        to = os.path.join(folder, "out.onnx") if output is None else os.fspath(output)
        report = call([command, _plain(path), f"--output={to}", *flags(options)])
        if output is not None:
            return Written(report, to, None)
        if not os.path.exists(to):  # dry_run
            return Written(report, None, None)
        if len(os.listdir(folder)) > 2:
            raise ValueError("the model has a data file beside it: give output")
        with open(to, "rb") as f:
            return Written(report, None, f.read())


def _numpy() -> Any:
    try:
        import numpy
    except ImportError as e:
        raise ImportError("arrays need NumPy: pip install relupath[arrays]") from e
    return numpy


def run(model: AnyModel, inputs: Any, *, args: Any = None, **options: Any) -> Any:
    """Evaluates a model in float64 on a batch: an array, or a mapping of names to arrays.

    Returns an array, or a dict of arrays by name where there are several outputs.
    """
    np = _numpy()
    named: Mapping[Any, Any] = inputs if isinstance(inputs, Mapping) else {None: inputs}
    with _files([model], args) as ((path,), folder):
        command = ["run", _plain(path), *flags(options)]
        for i, (name, values) in enumerate(named.items()):
            file = os.path.join(folder, f"input{i}.npy")
            np.save(file, np.asarray(values))
            command.append(f"--input={file if name is None else f'{name}={file}'}")
        to = os.path.join(folder, "outputs")
        os.mkdir(to)
        outputs = call([*command, f"--output={to}"])["outputs"]
        arrays = {o["name"]: np.load(o["file"]) for o in outputs}
    return next(iter(arrays.values())) if len(arrays) == 1 else arrays
