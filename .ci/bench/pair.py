"""Times two commands as whole processes, in turn, and prints medians and ratios.

    python3 pair.py [-n RUNS] [--before CMD] -- COMMAND_A -- COMMAND_B

Each run's wall time is taken around the process, its processor time and largest
resident memory from the operating system's accounting. The largest anonymous
memory is polled every half millisecond in one more run of A that is not timed.
--before runs through a shell before each run (to remove an output, say), outside
of the timing. Output is thrown away.
"""

import argparse
import os
import shlex
import statistics
import subprocess
import sys
import time


def run(cmd):
    start = time.perf_counter()
    p = subprocess.Popen(cmd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, use = os.wait4(p.pid, 0)
    wall = time.perf_counter() - start
    p.returncode = os.waitstatus_to_exitcode(status)
    if p.returncode != 0:
        sys.exit(f"{shlex.join(cmd)}: exit code {p.returncode}")
    return wall, use.ru_utime + use.ru_stime, use.ru_maxrss / 1024


def anonymous(cmd):
    """The largest RssAnon in MiB."""
    p = subprocess.Popen(cmd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    most = 0
    while p.poll() is None:
        try:
            for line in open(f"/proc/{p.pid}/status"):
                if line.startswith("RssAnon"):
                    most = max(most, int(line.split()[1]))
        except OSError:
            break
        time.sleep(0.0005)
    p.wait()
    return most / 1024


def main():
    words = sys.argv[1:]
    cut = [i for i, w in enumerate(words) if w == "--"]
    parser = argparse.ArgumentParser()
    parser.add_argument("-n", type=int, default=15)
    parser.add_argument("--before")
    opt = parser.parse_args(words[: cut[0]])
    pair = [words[cut[0] + 1 : cut[1]], words[cut[1] + 1 :]]
    runs = [[], []]
    for k in range(opt.n + 1):
        for side, cmd in enumerate(pair):
            if opt.before:
                subprocess.run(opt.before, shell=True, check=True)
            r = run(cmd)
            if k > 0:  # the first is a warm-up
                runs[side].append(r)
    for side, cmd in zip("AB", pair):
        print(side, shlex.join(cmd))
    for what, i in (("wall s", 0), ("cpu s", 1), ("peak MiB", 2)):
        a, b = ([r[i] for r in side] for side in runs)
        ratio = [x / y for x, y in zip(a, b)]
        print(f"{what:9} A {statistics.median(a):.4g} (least {min(a):.4g})  B {statistics.median(b):.4g} (least {min(b):.4g})"
              f"  A/B {statistics.median(ratio):.3g}")
    if opt.before:
        subprocess.run(opt.before, shell=True, check=True)
    print(f"anonymous memory of A: {anonymous(pair[0]):.0f} MiB")


if __name__ == "__main__":
    main()
