"""Calls of the program, its exit codes as exceptions."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


class RelupathError(RuntimeError):
    """The program failed. ``code`` is its exit code, ``obstacles`` what it lists."""

    def __init__(self, message: str, code: int, obstacles: Sequence[dict[str, Any]] = ()):
        super().__init__(message)
        self.code = code
        self.obstacles = list(obstacles)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.code, self.obstacles)


class UsageError(RelupathError, ValueError):
    """A wrong option (exit code 2)."""


class ModelError(RelupathError, ValueError):
    """The model or the data is invalid or not supported (exit code 3).

    ``obstacles`` has a dict for each: node, op, reason.
    """


def find_program() -> str:
    """The path of the program: RELUPATH_BINARY, else that of this installation, else of PATH."""
    given = os.environ.get("RELUPATH_BINARY")
    if given:
        return given
    name = "relupath" + (".exe" if sys.platform == "win32" else "")
    folders = [sysconfig.get_path("scripts")]
    user = sysconfig.get_preferred_scheme("user") if hasattr(sysconfig, "get_preferred_scheme") else None
    if user:
        folders.append(sysconfig.get_path("scripts", scheme=user))
    for folder in folders:
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            return path
    found = shutil.which(name)
    if found is None:
        raise FileNotFoundError("the program relupath is not installed: install the wheel again, or set RELUPATH_BINARY")
    return found


def flags(options: dict[str, Any]) -> list[str]:
    """Options as flags; a list is joined with commas, None and False leave a flag out.

    >>> flags({"p": [1, 2], "per_layer": True, "data": None, "group": [(1, float("inf"))]})
    ['--p=1,2', '--per-layer', '--group=1:inf']
    """
    out = []
    for name, value in options.items():
        flag = "--" + name.rstrip("_").replace("_", "-")
        if name == "fail_if" and isinstance(value, (list, tuple)):
            out += [f"{flag}={v}" for v in value]
        elif value is True:
            out.append(flag)
        elif value is not None and value is not False:
            out.append(f"{flag}={_word(value)}")
    return out


def _word(value: Any) -> str:
    if isinstance(value, tuple) and len(value) == 2 and all(isinstance(v, (int, float)) for v in value):
        return ":".join(map(str, value))
    if isinstance(value, (list, tuple)):
        return ",".join(map(_word, value))
    return str(os.fspath(value)) if isinstance(value, os.PathLike) else str(value)


def fail(code: int, message: str) -> None:
    """Raises what an exit code and the text on standard error say."""
    message = message.strip() or f"relupath ended with code {code}"
    if code == 130:
        raise KeyboardInterrupt(message)
    kind = {2: UsageError, 3: ModelError}.get(code, RelupathError)
    reason = message.removeprefix("relupath: ")
    obstacles = [{"node": "", "op": "", "reason": reason}] if code == 3 else []
    raise kind(reason, code, obstacles)


def call(args: Sequence[str], accept: Sequence[int] = (0,)) -> Any:
    """Runs a command and returns its JSON, None if there is none."""
    done = subprocess.run(
        [find_program(), *args, "--format=json", "--quiet"], stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8"
    )
    if done.returncode not in accept:
        fail(done.returncode, done.stderr)
    return json.loads(done.stdout) if done.stdout.strip() else None


@contextmanager
def lines(args: Sequence[str], listed: str | None = None) -> Iterator[Iterator[dict[str, Any]]]:
    """The lines of audit as they come, with the list of paths on standard input.

    A program that is left early is ended. Exit code 3 says that a line has obstacles.
    """
    import tempfile

    with tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as given:
        given.write((listed or "").encode("utf-8"))
        given.seek(0)
        process = subprocess.Popen(
            [find_program(), *args, "--format=jsonl", "--quiet"],
            stdin=given, stdout=subprocess.PIPE, stderr=told, encoding="utf-8",
        )
        try:
            assert process.stdout is not None
            yield (json.loads(line) for line in process.stdout)
            process.stdout.close()
            code = process.wait()
            if code not in (0, 3):
                told.seek(0)
                fail(code, told.read().decode("utf-8", "replace"))
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()
