"""Fleets on a Ray of two nodes and a Dask of two workers, on this machine:

    python tests/cluster.py FOLDER LARGE.onnx [local|ray|dask ...]

FOLDER gets 1,000 small models and 20 links to a large one. For each engine the rows are
compared with those of one process; then a run is disturbed: a node or a worker is killed, and
a driver is killed and its run gone on with. None may be lost and none be there twice.
"""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import relupath
from relupath import fleet


def make(folder, large):
    folder.mkdir(parents=True, exist_ok=True)
    small = sorted(Path("testmodels").glob("*.onnx"))
    small = [p for p in small if p.stat().st_size < 100_000]
    for i in range(1000):
        shutil.copy(small[i % len(small)], folder / f"small{i:04}.onnx")
    for i in range(20):
        to = folder / f"large{i:02}.onnx"
        if not to.exists():
            to.symlink_to(Path(large).resolve())
    return sorted(map(str, folder.glob("*.onnx")))


def ray_cluster():
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    other = cluster.add_node(num_cpus=1)
    return cluster, cluster.address, lambda: cluster.remove_node(other, allow_graceful=False)


def dask_cluster():
    from distributed import LocalCluster

    cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0")

    def kill():
        pid = next(iter(cluster.workers.values())).pid
        os.kill(pid, signal.SIGKILL)

    return cluster, cluster.scheduler_address, kill


CLUSTERS = {"ray": ray_cluster, "dask": dask_cluster}


def end(cluster):
    (getattr(cluster, "shutdown", None) or cluster.close)()


def parts(folder):
    return len(list(Path(folder).glob("part-*.jsonl")))


def compare(want, folder, paths, what):
    rows = [json.loads(line) for p in Path(folder).glob("part-*.jsonl") for line in open(p, encoding="utf-8")]
    for r in rows:
        del r["source"]
    rows.sort(key=lambda r: r["path"])
    twice = len(rows) - len({r["path"] for r in rows})
    lost = len(set(paths) - {r["path"] for r in rows})
    same = [json.dumps(r, sort_keys=True) for r in rows] == want
    print(f"{what}: {len(rows)} rows, {lost} lost, {twice} twice, equal to one process: {same}", flush=True)
    return same and not lost and not twice


def drive(paths, engine, address, folder):
    fleet.audit(paths, engine=engine, address=address, output=folder)


def disturbed(paths, engine, address, folder, disturb):
    """Runs in a process of its own; disturb is called when a fifth of the parts are there."""
    process = multiprocessing.get_context("spawn").Process(target=drive, args=(paths, engine, address, folder))
    process.start()
    while parts(folder) < 8 and process.is_alive():
        time.sleep(0.05)
    disturb(process)
    process.join()
    return process.exitcode


def main():
    folder, large, engines = Path(sys.argv[1]), sys.argv[2], sys.argv[3:] or ["local", "ray", "dask"]
    paths = make(folder / "models", large)
    start = time.monotonic()
    run = subprocess.run(
        [relupath.find_program(), "audit", "--files-from", "-", "--format", "jsonl", "--quiet"],
        input="\n".join(paths) + "\n", capture_output=True, encoding="utf-8",
    )
    assert run.returncode in (0, 3), run.stderr  # 3: some have no data file beside them
    print(f"one process: {time.monotonic() - start:.1f} s", flush=True)
    want = [json.dumps(r, sort_keys=True) for r in sorted(map(json.loads, run.stdout.splitlines()), key=lambda r: r["path"])]
    good = True
    for engine in engines:
        for kind in ["undisturbed", "worker killed", "program killed"]:
            if engine == "local" and kind == "worker killed":
                continue
            out = folder / f"{engine} {kind}"
            shutil.rmtree(out, ignore_errors=True)
            start = time.monotonic()
            cluster, address, kill = CLUSTERS[engine]() if engine in CLUSTERS else (None, None, None)
            begun = time.monotonic()
            if kind == "undisturbed":
                drive(paths, engine, address, out)
            elif kind == "worker killed":
                disturbed(paths, engine, address, out, lambda _: kill())
            else:
                code = disturbed(paths, engine, address, out, lambda p: p.kill())
                print(f"  killed with {parts(out)} parts, exit code {code}")
                fleet.audit(paths, engine=engine, address=address, output=out, resume=True)
            print(f"{engine}, {kind}: {time.monotonic() - begun:.1f} s, and {begun - start:.1f} to start the cluster", flush=True)
            good = compare(want, out, paths, f"{engine}, {kind}") and good
            if cluster is not None:
                end(cluster)
    sys.exit(not good)


if __name__ == "__main__":
    main()
