"""Spectral norms of convolutions on their grids, with NumPy.

Each convolution is written out as a matrix by its definition, one row an output element,
and its singular values are NumPy's. The periodic convolution on the padded grid has
numpy.fft's transform of the kernel. Weights come from the generator of measures.py. Run:

    python operators.py > operators.json
"""

import itertools
import json

import numpy as np

MASK = (1 << 64) - 1


def values(seed, n):
    out = np.empty(n)
    for i in range(n):
        seed = (seed * 6364136223846793005 + 1442695040888963407) & MASK
        out[i] = (seed >> 11) / 2.0**52 - 1
    return out


def matrix(c, w, out):
    """The convolution from (inner, in) to (outer, out); a transposed one is its transpose."""
    groups, outer, inner, kernel = c["groups"], c["outer"], c["inner"], c["kernel"]
    n_out, n_in = int(np.prod(out)), int(np.prod(c["in"]))
    m = np.zeros((groups * outer * n_out, groups * inner * n_in))
    for g, o, i in itertools.product(range(groups), range(outer), range(inner)):
        for at in np.ndindex(*out):
            for t in np.ndindex(*kernel):
                p = [x * s - b + k * d for x, s, b, k, d in zip(at, c["stride"], c["before"], t, c["dilation"])]
                if all(0 <= x < n for x, n in zip(p, c["in"])):
                    row = (g * outer + o) * n_out + np.ravel_multi_index(at, out)
                    col = (g * inner + i) * n_in + np.ravel_multi_index(p, c["in"])
                    m[row, col] += w[(g * outer + o, i) + t]
    return m


def circular(c, w):
    grid = [n + b + a for n, b, a in zip(c["in"], c["before"], c["after"])]
    top = 0
    for g in range(c["groups"]):
        k = np.zeros((c["outer"], c["inner"], *grid))
        for t in np.ndindex(*c["kernel"]):
            at = tuple(x * d % n for x, d, n in zip(t, c["dilation"], grid))
            k[(slice(None), slice(None)) + at] += w[(slice(g * c["outer"], (g + 1) * c["outer"]), slice(None)) + t]
        f = np.fft.fftn(k, axes=range(2, k.ndim))
        f = np.moveaxis(f.reshape(c["outer"], c["inner"], -1), -1, 0)
        top = max(top, np.linalg.svd(f, compute_uv=False).max())
    return top


def case(name, sizes, kernel, stride=1, dilation=1, pad=(0, 0), groups=1, outer=3, inner=2, transposed=False):
    d = len(sizes)
    return dict(name=name, **{"in": list(sizes)}, kernel=list(kernel), stride=[stride] * d, dilation=[dilation] * d,
                before=[pad[0]] * d, after=[pad[1]] * d, groups=groups, outer=outer, inner=inner, transposed=transposed)


CASES = [
    case("padded", (6, 5), (3, 3), pad=(1, 1)),
    case("valid", (7, 6), (3, 3)),
    case("strided", (8, 9), (3, 3), stride=2, pad=(1, 1)),
    case("dilated", (9, 8), (3, 3), dilation=2, pad=(2, 2)),
    case("grouped", (5, 5), (3, 3), pad=(1, 1), groups=3, outer=2, inner=2),
    case("depthwise", (6, 6), (3, 3), pad=(1, 1), groups=5, outer=1, inner=1),
    case("uneven", (6, 7), (2, 4), pad=(1, 2)),
    case("cropped", (7, 7), (3, 3), pad=(-1, 0)),
    case("pointwise", (4, 4), (1, 1), outer=5, inner=4),
    case("pointwise strided", (5, 5), (1, 1), stride=2),
    case("whole", (4, 4), (4, 4), outer=6),
    case("one dimension", (20,), (5,), stride=3, pad=(2, 2), outer=6, inner=5),
    case("three dimensions", (4, 3, 4), (3, 2, 3), pad=(1, 1)),
    case("transposed", (7, 7), (3, 3), stride=2, pad=(1, 1), transposed=True),
    case("transposed grouped", (6, 6), (2, 2), stride=2, groups=2, outer=2, inner=3, transposed=True),
    case("many channels", (6, 6), (3, 3), pad=(1, 1), outer=40, inner=30),
    case("large", (14, 14), (3, 3), pad=(1, 1), outer=6, inner=6),
    case("large, strided", (21, 21), (3, 3), stride=2, pad=(1, 1), outer=12, inner=4),
    case("large, dilated", (14, 15), (3, 3), dilation=3, pad=(3, 2), outer=5, inner=6),
    case("large, strided and dilated", (22, 20), (3, 3), stride=2, dilation=2, pad=(2, 1), outer=10, inner=4),
    case("large, grouped", (12, 12), (3, 3), pad=(1, 1), groups=3, outer=3, inner=3),
    case("large, depthwise", (14, 14), (5, 5), pad=(2, 2), groups=6, outer=1, inner=1),
    case("large, multiplied", (14, 14), (3, 3), pad=(1, 1), groups=5, outer=2, inner=1),
    case("large, uneven, grouped", (13, 16), (2, 5), dilation=2, pad=(3, 1), groups=2, outer=3, inner=3),
    case("large, transposed", (13, 14), (3, 4), pad=(1, 2), outer=5, inner=7, transposed=True),
    case("large, transposed, dilated and grouped", (13, 13), (3, 3), dilation=2, pad=(1, 3), groups=2, outer=2, inner=4, transposed=True),
]


def main():
    found = []
    for seed, c in enumerate(CASES, 1):
        out = [(n + b + a - d * (k - 1) - 1) // s + 1 for n, b, a, d, k, s in
               zip(c["in"], c["before"], c["after"], c["dilation"], c["kernel"], c["stride"])]
        shape = (c["groups"] * c["outer"], c["inner"], *c["kernel"])
        w = values(seed, int(np.prod(shape))).reshape(shape)
        found.append(dict(c, seed=seed, operator=float(np.linalg.norm(matrix(c, w, out), 2)), circular=float(circular(c, w))))
    print("[" + ",\n".join(json.dumps(c) for c in found) + "]")


main()
