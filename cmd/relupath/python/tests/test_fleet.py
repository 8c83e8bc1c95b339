"""Many models by the local engine; tests/cluster.py does the same on Ray and Dask."""

import json
import os
import shutil
import stat
from pathlib import Path

import pytest

import relupath
from relupath import fleet

MODELS = Path("testmodels")


def many(folder, n=150):
    for i in range(n):
        shutil.copy(MODELS / ("toy.onnx" if i % 2 else "iris_own.onnx"), folder / f"m{i:03}.onnx")
    (folder / "broken.onnx").write_bytes(b"no model")
    return sorted(map(str, folder.glob("*.onnx")))


def plain(rows):
    return [{k: v for k, v in r.items() if k != "source"} for r in rows]


def test_rows_are_those_of_one_process(tmp_path):
    paths = many(tmp_path)
    one, all_ = relupath.audit(paths), fleet.audit(str(tmp_path / "*.onnx"))
    assert list(all_) == list(one) and all_.errors == one.errors and len(one) == 150
    assert list(fleet.audit(tmp_path)) == list(one)


def test_parts_are_whole_and_resumed(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    paths, out = many(tmp_path / "in"), tmp_path / "out"
    first = fleet.audit(paths[:100], output=out)
    assert (first.measured, first.failed, first.skipped) == (99, 1, 0)
    with pytest.raises(FileExistsError):
        fleet.audit(paths, output=out)
    with pytest.raises(ValueError):
        fleet.audit(paths, output=out, resume=True, p=[3])
    (out / "part-0.jsonl.1.tmp").write_text('{"cut')  # of a run that was killed
    os.utime(paths[7])
    rest = fleet.audit(paths, output=out, resume=True)
    assert (rest.measured, rest.failed, rest.skipped) == (52, 0, 99)
    one = relupath.audit(paths)
    rows = list(rest.rows())
    assert [r["path"] for r in rows] == paths
    assert plain(r for r in rows if "obstacles" not in r) == list(one)
    monkeypatch.setenv("RELUPATH_BINARY", "/nowhere")
    assert fleet.audit(paths, output=out, resume=True).skipped == 151


def test_a_program_that_is_killed_costs_its_model_alone(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    paths = many(tmp_path / "in", 20)
    script = tmp_path / "relupath"
    log = tmp_path / "log"
    script.write_text(
        f'#!/bin/sh\nlist=$(cat)\necho x >>{log}\ncase "$list" in *m007.onnx*) kill -9 $$;; esac\n'
        f'printf "%s\\n" "$list" | {relupath.find_program()} "$@"\n'
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("RELUPATH_BINARY", str(script))
    got = fleet.audit(paths, retries=2)
    assert len(got) == 19 and [Path(e["path"]).name for e in got.errors] == ["broken.onnx", "m007.onnx"]
    assert "2 times" in got.errors[1]["obstacles"][0]["reason"]
    assert len(log.read_text().split()) == 1 + 20 + 2


def test_wrong_use():
    with pytest.raises(relupath.UsageError):
        fleet.audit(MODELS / "toy.onnx", measures="none")
    with pytest.raises(FileNotFoundError):
        fleet.audit("nowhere/*.onnx")
    with pytest.raises(ValueError):
        fleet.audit("toy.onnx", engine="spark")


def test_urls(tmp_path):
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    for path in many(tmp_path, 4):
        memory.put_file(path, "/zoo/" + Path(path).name)
    stage = tmp_path / "stage"
    stage.mkdir()
    got = fleet.audit("memory://zoo/*.onnx", stage=stage)
    assert [m["path"] for m in got] == [f"memory:///zoo/m{i:03}.onnx" for i in range(4)] and len(got.errors) == 1
    want = relupath.audit(sorted(tmp_path.glob("m*.onnx")))
    assert [m["measures"] for m in got] == [m["measures"] for m in want]
    assert not list(stage.iterdir())


def test_large_models_begin_first():
    sizes = [5, fleet.LARGE * 3, 7, fleet.LARGE, fleet.LARGE // 2, fleet.LARGE // 2] + [1] * 200
    made = fleet.tasks([fleet.Source(str(i), n, "") for i, n in enumerate(sizes)], {})
    assert [len(t.sources) for t in made[:3]] == [1, 1, 2]
    assert sum(len(t.sources) for t in made) == len(sizes)
    assert all(len(t.sources) <= fleet.SHARED for t in made)
    assert made[0].memory == fleet.BASE + 3 * fleet.LARGE


def test_rows_are_lines(tmp_path):
    fleet.audit(MODELS / "toy.onnx", output=tmp_path / "out")
    (part,) = (tmp_path / "out").glob("part-*")
    (line,) = part.read_text().splitlines()
    assert json.loads(line)["path"] == "testmodels/toy.onnx"
