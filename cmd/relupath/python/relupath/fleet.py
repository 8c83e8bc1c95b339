"""Audits of many models, on this machine or on a cluster of Ray or Dask.

``audit`` cuts a list of models into tasks: a large model is one, small ones are measured
several at a time. Each task runs the program on the machine that it is on, and gives the
rows of ``relupath audit --format jsonl``. With an output folder the rows of each task are
one file, which is complete or not there; a run that was ended goes on with ``resume``.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import tempfile
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

from ._calls import _bar
from ._program import RelupathError, UsageError, flags, lines
from ._results import Audit, Model

#: Bytes from which on a model is a task of its own, and up to which small ones share one.
LARGE = 32 << 20
#: Models that share a task at most.
SHARED = 64
#: Memory of the program beside the model, in bytes.
BASE = 256 << 20


@dataclass(frozen=True)
class Source:
    """A model as it was found: path or URL, bytes, and time of its last change."""

    path: str
    size: int
    modified: str

    @property
    def key(self) -> tuple[str, int, str]:
        return self.path, self.size, self.modified


@dataclass
class Task:
    """Models that one call of the program measures."""

    sources: list[Source]
    options: dict[str, Any]
    stage: str | None = None
    tries: int = 0

    @property
    def memory(self) -> int:
        """Bytes that the call needs: those of its largest model, and the program's own."""
        return BASE + max(s.size for s in self.sources)


@dataclass
class Fleet:
    """What a run with an output folder did. ``rows`` reads the rows of all its files."""

    folder: str
    measured: int = 0
    failed: int = 0
    skipped: int = 0
    sources: list[Source] = field(default_factory=list, repr=False)

    def rows(self) -> Iterator[Model]:
        """The rows in the order of the list, each once; those with ``obstacles`` were not measured."""
        found = {_key(r): r for r in _read(self.folder)}
        for s in self.sources:
            if s.key in found:
                yield found[s.key]


def audit(
    models: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    engine: str = "local",
    output: str | os.PathLike[str] | None = None,
    resume: bool = False,
    workers: int | None = None,
    address: str | None = None,
    stage: str | os.PathLike[str] | None = None,
    retries: int = 3,
    progress: bool = False,
    **options: Any,
) -> Audit | Fleet:
    """Measures many models.

    ``models`` are paths, folders (the ONNX files below them), patterns such as
    ``zoo/**/*.onnx``, and URLs of fsspec, patterns too. A file at a URL is copied to ``stage``
    (default: the system's temporary folder) for its task and removed at its end, one model of a
    task at a time; data in other files is not followed there.

    ``engine`` is local (``workers`` calls at a time, as far as memory holds their models), ray or
    dask; ``address`` is the cluster's, default one on this machine. The package must be installed
    on the machines of the cluster, which see the same paths. A task needs one CPU and the memory
    of its largest model: Ray is told, Dask where workers declare a resource named memory. A task
    whose worker is lost is done again by the engine; a model on which the program fails
    ``retries`` times is a row with ``obstacles``.

    Without ``output`` all rows come back as :class:`relupath.Audit`. With it each task writes
    ``part-*.jsonl`` there and a :class:`Fleet` comes back; ``resume`` skips models with a row of
    their path, size and time. FileExistsError if there are parts and ``resume`` is not given,
    ValueError if they are of other options.

    ``options`` are those of ``relupath.audit``.

    >>> [m["path"] for m in audit("testmodels/toy*.onnx", p=[1])]
    ['testmodels/toy.onnx', 'testmodels/toy_unbalanced.onnx']
    """
    if engine not in _ENGINES:
        raise ValueError(f"engine {engine!r}: want one of {', '.join(_ENGINES)}")
    options = {"threads": 1, "jobs": 1, **options}
    sources = list(dict.fromkeys(find(models)))
    folder = None if output is None else os.fspath(output)
    done = set() if folder is None else _opened(folder, options, resume)
    todo = [s for s in sources if s.key not in done]
    result = Fleet(folder or "", skipped=len(sources) - len(todo), sources=sources)
    kept: dict[tuple[str, int, str], Model] = {}
    if todo:
        pool = _ENGINES[engine](workers, address, retries)
        try:
            finished = _run(pool, tasks(todo, options, stage and os.fspath(stage)), retries)
            for rows in _bar(finished, 0, progress):
                if folder is None:
                    kept.update((_key(r), r) for r in rows)
                else:
                    _keep(folder, rows)
                failed = sum("obstacles" in r for r in rows)
                result.failed += failed
                result.measured += len(rows) - failed
        finally:
            pool.close()
    if folder is not None:
        return result
    rows = [kept[s.key] for s in sources]
    for r in rows:
        del r["source"]
    return Audit([r for r in rows if "obstacles" not in r], [dict(r) for r in rows if "obstacles" in r])


def find(models: Any) -> Iterator[Source]:
    """The models that paths, folders, patterns and URLs stand for, in sorted order for each.

    FileNotFoundError where one stands for nothing.
    """
    for model in [models] if isinstance(models, (str, os.PathLike)) else models:
        name = os.fspath(model)
        if "\n" in name:
            raise ValueError(f"{name!r}: a path with a line break")
        if "://" in name:
            yield from _remote(name)
            continue
        if os.path.isdir(name):
            paths = glob.glob(os.path.join(glob.escape(name), "**", "*.onnx"), recursive=True)
        elif os.path.exists(name) or not glob.has_magic(name):
            paths = [name]
        else:
            paths = glob.glob(name, recursive=True)
        if not paths:
            raise FileNotFoundError(f"{name}: no model")
        for path in sorted(paths):
            info = os.stat(path)
            beside = sum(os.path.getsize(path + end) for end in (".data", "_data") if os.path.isfile(path + end))
            yield Source(path, info.st_size + beside, str(info.st_mtime_ns))


def _remote(url: str) -> Iterator[Source]:
    import fsspec

    fs, path = fsspec.core.url_to_fs(url)
    paths = sorted(fs.glob(path)) if glob.has_magic(path) else [path]
    if not paths:
        raise FileNotFoundError(f"{url}: no model")
    for p in paths:
        info = fs.info(p)
        time = info.get("mtime") or info.get("LastModified") or info.get("updated") or info.get("ETag") or info.get("created")
        yield Source(fs.unstrip_protocol(p), int(info["size"] or 0), str(time))


def tasks(sources: Iterable[Source], options: dict[str, Any], stage: str | None = None) -> list[Task]:
    """Tasks, those with the largest models first, so that none of them begins last.

    >>> [len(t.sources) for t in tasks([Source("a", 1, ""), Source("b", LARGE, ""), Source("c", 2, "")], {})]
    [1, 2]
    """
    out: list[Task] = []
    total = LARGE
    for s in sorted(sources, key=lambda s: -s.size):
        if total + s.size > LARGE or len(out[-1].sources) == SHARED:
            out.append(Task([], options, stage))
            total = 0
        out[-1].sources.append(s)
        total += s.size
    return out


def measure(task: Task) -> list[dict[str, Any]]:
    """Measures the models of a task on this machine: a row each, with its ``source``.

    What only one model may be at fault for raises RelupathError, for the caller to try again.
    """
    rows: list[dict[str, Any]] = []
    here = [s for s in task.sources if "://" not in s.path]
    if here:
        names = [os.path.join(".", s.path) if s.path.startswith("-") else s.path for s in here]
        rows += _rows(here, names, task.options)
    for s in task.sources:
        if "://" in s.path:
            rows += _staged(s, task)
    return rows


def _staged(s: Source, task: Task) -> list[dict[str, Any]]:
    import fsspec

    with tempfile.TemporaryDirectory(prefix="relupath-", dir=task.stage) as folder:
        path = os.path.join(folder, "model.onnx")
        try:
            fs, name = fsspec.core.url_to_fs(s.path)
            fs.get_file(name, path)
        except OSError as e:
            return [_failed(s, f"cannot be copied: {e}")]
        return _rows([s], [path], task.options)


def _rows(sources: list[Source], names: list[str], options: dict[str, Any]) -> list[dict[str, Any]]:
    with lines(["audit", "--files-from=-", *flags(options)], "\n".join(names) + "\n") as read:
        rows = list(read)
    if len(rows) != len(sources):
        raise RelupathError(f"{len(rows)} rows of {len(sources)} models", 1)
    for r, s in zip(rows, sources):
        r["path"] = s.path
        r["source"] = {"size": s.size, "modified": s.modified}
    return rows


def _failed(s: Source, reason: str) -> dict[str, Any]:
    return {
        "path": s.path,
        "obstacles": [{"node": "", "op": "", "reason": reason}],
        "source": {"size": s.size, "modified": s.modified},
    }


def _run(pool: Any, todo: list[Task], retries: int) -> Iterator[list[Model]]:
    """The rows of each task as it ends. A task of several that fails is done model by model."""
    todo = todo[::-1]
    while todo or pool.busy():
        while todo and pool.room(todo[-1]):
            pool.submit(todo.pop())
        for task, rows, error in pool.ended():
            if error is None:
                yield [Model(r) for r in rows]
            elif isinstance(error, UsageError) or not isinstance(error, Exception):
                raise error
            elif len(task.sources) > 1:
                todo += [Task([s], task.options, task.stage) for s in reversed(task.sources)]
            elif task.tries + 1 < retries:
                todo.append(Task(task.sources, task.options, task.stage, task.tries + 1))
            else:
                yield [Model(_failed(task.sources[0], f"failed {retries} times: {error}"))]


class _Local:
    """Calls of the program beside each other, as many as there are CPUs and memory."""

    def __init__(self, workers: int | None, address: str | None, retries: int):
        if address is not None:
            raise ValueError("address is for ray and dask")
        self.workers = workers or os.cpu_count() or 1
        self.pool = ThreadPoolExecutor(self.workers)
        self.futures: dict[Future[Any], Task] = {}
        try:
            self.memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 3 // 4
        except (AttributeError, ValueError, OSError):
            self.memory = 1 << 62

    def busy(self) -> bool:
        return bool(self.futures)

    def room(self, task: Task) -> bool:
        used = sum(t.memory for t in self.futures.values())
        return not self.futures or len(self.futures) < self.workers and used + task.memory <= self.memory

    def submit(self, task: Task) -> None:
        self.futures[self.pool.submit(measure, task)] = task

    def ended(self) -> Iterator[tuple[Task, Any, BaseException | None]]:
        for f in wait(self.futures, return_when=FIRST_COMPLETED).done:
            error = f.exception()
            yield self.futures.pop(f), None if error else f.result(), error

    def close(self) -> None:
        self.pool.shutdown(cancel_futures=True)


class _Ray:
    def __init__(self, workers: int | None, address: str | None, retries: int):
        import ray

        self.ray = ray
        self.own = not ray.is_initialized()
        if self.own:
            ray.init(address=address, num_cpus=None if address else workers, log_to_driver=False)
        self.call = ray.remote(measure)
        self.retries = retries
        self.most = 4 * int(ray.cluster_resources().get("CPU", 1)) + 4
        self.refs: dict[Any, Task] = {}

    def busy(self) -> bool:
        return bool(self.refs)

    def room(self, task: Task) -> bool:
        return len(self.refs) < self.most

    def submit(self, task: Task) -> None:
        call = self.call.options(num_cpus=1, memory=task.memory, max_retries=self.retries)
        self.refs[call.remote(task)] = task

    def ended(self) -> Iterator[tuple[Task, Any, BaseException | None]]:
        for ref in self.ray.wait(list(self.refs), num_returns=1)[0]:
            task = self.refs.pop(ref)
            try:
                yield task, self.ray.get(ref), None
            except self.ray.exceptions.RayTaskError as e:
                yield task, None, e.cause if isinstance(e.cause, Exception) else e
            except self.ray.exceptions.RayError as e:
                yield task, None, e

    def close(self) -> None:
        if self.own:
            self.ray.shutdown()


class _Dask:
    def __init__(self, workers: int | None, address: str | None, retries: int):
        from distributed import Client, as_completed

        self.client = Client(address) if address else Client(n_workers=workers, threads_per_worker=1)
        info = self.client.scheduler_info(n_workers=-1)["workers"].values()
        self.declared = any("memory" in w.get("resources", {}) for w in info)
        self.most = 4 * sum(w["nthreads"] for w in info) + 4
        self.retries = retries
        self.futures: dict[Any, Task] = {}
        self.completed = as_completed()

    def busy(self) -> bool:
        return bool(self.futures)

    def room(self, task: Task) -> bool:
        return len(self.futures) < self.most

    def submit(self, task: Task) -> None:
        resources = {"memory": task.memory} if self.declared else None
        f = self.client.submit(measure, task, pure=False, resources=resources)
        self.futures[f] = task
        self.completed.add(f)

    def ended(self) -> Iterator[tuple[Task, Any, BaseException | None]]:
        f = next(self.completed)
        task = self.futures.pop(f)
        error = f.exception()
        yield task, None if error else f.result(), error

    def close(self) -> None:
        self.client.close()
        if getattr(self.client, "cluster", None) is not None:
            self.client.cluster.close()


_ENGINES = {"local": _Local, "ray": _Ray, "dask": _Dask}


def _key(row: dict[str, Any]) -> tuple[str, int, str]:
    return row["path"], row["source"]["size"], row["source"]["modified"]


def _read(folder: str) -> Iterator[Model]:
    for path in sorted(glob.glob(os.path.join(glob.escape(folder), "part-*.jsonl"))):
        with open(path, encoding="utf-8") as f:
            yield from (Model(json.loads(line)) for line in f)


def _opened(folder: str, options: dict[str, Any], resume: bool) -> set[tuple[str, int, str]]:
    """Makes or opens an output folder and returns what it has."""
    os.makedirs(folder, exist_ok=True)
    about = os.path.join(folder, "options.json")
    said = flags(options)
    if os.path.exists(about):
        with open(about, encoding="utf-8") as f:
            old = json.load(f)
        if old != said:
            raise ValueError(f"{folder} has rows of other options, {' '.join(old)}: give another folder")
        if not resume:
            raise FileExistsError(f"{folder} has rows: give resume=True, or another folder")
    else:
        _write(about, json.dumps(said))
    return {_key(r) for r in _read(folder)}


def _keep(folder: str, rows: list[Model]) -> None:
    """Writes the rows of a task as one file, whose name tells its models."""
    text = "".join(json.dumps(r) + "\n" for r in rows)
    name = hashlib.sha256(repr([_key(r) for r in rows]).encode()).hexdigest()[:20]
    _write(os.path.join(folder, f"part-{name}.jsonl"), text)


def _write(path: str, text: str) -> None:
    aside = f"{path}.{os.getpid()}.{threading.get_ident()}.tmp"
    try:
        with open(aside, "w", encoding="utf-8") as f:
            f.write(text)
            f.flush()
            os.fsync(f.fileno())
        os.replace(aside, path)
    finally:
        if os.path.exists(aside):
            os.remove(aside)
