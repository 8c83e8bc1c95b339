"""What the calls return: the program's JSON with a few views."""

from __future__ import annotations

import html
import os
from dataclasses import dataclass
from typing import Any


class Model(dict):
    """The measures of one model, as in the program's JSON (schema relupath.audit/1)."""

    def measure(self, name: str, **of: Any) -> float | None:
        """The value of a measure, None where it is undefined or leaves float64.

        ``of`` chooses one of several, such as ``p=2`` or ``q="inf"``. KeyError without one.
        """
        for m in self.get("measures", ()):
            if m["name"] == name and all(str(m.get(k)) == str(v) for k, v in of.items()):
                return m.get("value")
        raise KeyError(name)


def label(m: dict[str, Any]) -> str:
    """The name of a measure with its orders: path_norm(2), group_norm(1,inf).

    >>> label({"name": "group_norm", "p": "1", "q": "inf"})
    'group_norm(1,inf)'
    """
    orders = [str(m[k]) for k in ("p", "q", "output", "percentile") if k in m]
    return m["name"] + (f"({','.join(orders)})" if orders else "")


class Audit(list):
    """A list of :class:`Model`, in the order of the models; ``errors`` are those not measured.

    An entry of ``errors`` has the path and its obstacles (node, op, reason).
    """

    def __init__(self, models: list[Model], errors: list[dict[str, Any]]):
        super().__init__(models)
        self.errors = errors

    def _rows(self) -> list[dict[str, Any]]:
        facts = ("path", "parameters", "hidden_units", "depth", "paths")
        return [
            {**{k: m.get(k) for k in facts}, **{label(x): x.get("value") for x in m.get("measures", ())}} for m in self
        ]

    def frame(self) -> Any:
        """A pandas.DataFrame: a row a model, its facts and measures as columns."""
        import pandas

        return pandas.DataFrame(self._rows())

    def _repr_html_(self) -> str:
        rows = self._rows()
        columns = list(dict.fromkeys(k for r in rows for k in r))
        cell = lambda v: html.escape(f"{v:.5g}" if isinstance(v, float) else "" if v is None else str(v))  # noqa: E731
        head = "".join(f"<th>{html.escape(c)}</th>" for c in columns)
        body = "".join("<tr>" + "".join(f"<td>{cell(r.get(c))}</td>" for c in columns) + "</tr>" for r in rows)
        told = "".join(
            f"<p>{html.escape(e['path'])}: {html.escape('; '.join(o['reason'] for o in e['obstacles']))}</p>" for e in self.errors
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{told}"


@dataclass
class Written:
    """A model that was written: ``report`` is the program's JSON, ``path`` the file.

    Without an output file of the caller's, ``path`` is None and ``model`` its bytes.
    """

    report: dict[str, Any]
    path: str | None
    model: bytes | None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the bytes of ``model``; FileExistsError if there is such a file."""
        if self.model is None:
            raise ValueError(f"the model is in {self.path}")
        with open(path, "xb") as f:
            f.write(self.model)
