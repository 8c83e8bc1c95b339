"""Computes the measures of package analysis with NumPy, on unrolled matrices.

Independent of the Go code: networks are lists of dense matrices, one row an
output element, in float64; path norms use mpmath where float64 would not do.
Weights come from a generator that Go repeats exactly. Run with NumPy and mpmath:

    python measures.py > measures.json
"""

import json
import math

import mpmath
import numpy as np

INF = math.inf
MASK = (1 << 64) - 1


class Generator:
    """A 64-bit linear congruential generator; values in [-1, 1)."""

    def __init__(self, seed):
        self.s = seed

    def value(self):
        self.s = (self.s * 6364136223846793005 + 1442695040888963407) & MASK
        return (self.s >> 11) / 2.0**52 - 1

    def array(self, *shape):
        return np.array([self.value() for _ in range(int(np.prod(shape)))]).reshape(shape)


def norm(x, p):
    x = np.abs(np.asarray(x, dtype=float)).ravel()
    if x.size == 0:
        return 0.0
    return x.max() if p == INF else (x**p).sum() ** (1 / p)


def order(p):
    return "inf" if p == INF else f"{p:g}"


class Net:
    """Layers of (W as listed in reports, dense matrix, bias an element)."""

    def __init__(self, slope):
        self.slope = slope
        self.w, self.dense, self.bias, self.units, self.unit_bias = [], [], [], [], []

    def layer(self, w, dense, bias, units):
        self.w.append(w)
        self.dense.append(dense)
        self.unit_bias.append(bias)
        self.units.append(units)
        self.bias.append(None if bias is None else bias[units])

    def forward(self, x):
        for k, (d, b) in enumerate(zip(self.dense, self.bias)):
            x = x @ d.T
            if b is not None:
                x = x + b
            if k + 1 < len(self.dense):
                x = np.where(x > 0, x, self.slope * x)
        return x


def conv_matrix(w, side):
    """3x3 kernels, padding 1, stride 1, as a dense matrix, by definition."""
    co, ci = w.shape[:2]
    m = np.zeros((co * side * side, ci * side * side))
    for o in range(co):
        for y in range(side):
            for x in range(side):
                for i in range(ci):
                    for a in range(3):
                        for b in range(3):
                            u, v = y + a - 1, x + b - 1
                            if 0 <= u < side and 0 <= v < side:
                                m[(o * side + y) * side + x, (i * side + u) * side + v] = w[o, i, a, b]
    return m


def make(spec, seed):
    gen = Generator(seed)
    net = Net(spec["slope"])
    if spec["kind"] == "mlp":
        ws = spec["widths"]
        for a, b in zip(ws, ws[1:]):
            w = gen.array(b, a)
            net.layer(w, w, gen.array(b) if spec["bias"] else None, np.arange(b))
        return net
    side, channels = spec["side"], spec["channels"]
    for a, b in zip(channels, channels[1:]):
        w = gen.array(b, a, 3, 3)
        bias = gen.array(b) if spec["bias"] else None
        net.layer(w.reshape(b, -1), conv_matrix(w, side), bias, np.repeat(np.arange(b), side * side))
    w = gen.array(spec["classes"], channels[-1] * side * side)
    net.layer(w, w, gen.array(spec["classes"]) if spec["bias"] else None, np.arange(spec["classes"]))
    return net


def path_vector(net, p, include):
    """g^(1/p) of each output, with 60 digits."""
    mpmath.mp.dps = 60
    gain = max(1.0, abs(net.slope))
    g = [mpmath.mpf(1)] * net.dense[0].shape[1]
    for k, (d, b) in enumerate(zip(net.dense, net.bias)):
        new = []
        for i in range(d.shape[0]):
            terms = [abs(mpmath.mpf(float(d[i, j]))) * g[j] for j in np.flatnonzero(d[i])]
            if include and b is not None:
                terms.append(abs(mpmath.mpf(float(b[i]))))
            if p == INF:
                h = max(terms)
            else:
                h = mpmath.fsum(t**p for t in terms) ** (mpmath.mpf(1) / p)
            new.append(h * gain if k + 1 < len(net.dense) else h)
        g = new
    return g


def pnorm(values, p):
    return max(values) if p == INF else mpmath.fsum(v**p for v in values) ** (mpmath.mpf(1) / p)


def count(net, include):
    g = np.array([1] * net.dense[0].shape[1], dtype=object)
    for k, d in enumerate(net.dense):
        # Structural: the pattern, not the values.
        pattern = np.array(d != 0, dtype=object).astype(int).astype(object)
        g = pattern.dot(g)
        if include and net.bias[k] is not None:
            g = g + 1
    return int(sum(g))


def rows(net, l, p, include):
    out = []
    for i, r in enumerate(net.w[l]):
        r = list(r)
        if include and net.unit_bias[l] is not None:
            r.append(net.unit_bias[l][i])
        out.append(norm(r, p))
    return out


def measures(spec, net, ref, x, labels, include, percentile):
    out, layers = {}, [{} for _ in net.w]

    def put(name, value, *args):
        out["|".join([name, *args])] = float(value)

    d = len(net.w)
    orders = [1, 1.5, 2, 3, INF]
    groups = [(1, INF), (2, INF), (1, 1), (2, 1), (2, 2), (3, 1.5), (INF, INF), (1.5, 3)]
    for p in orders:
        phi = path_vector(net, p, include)
        put("path_norm", pnorm(phi, p), order(p))
        put("path_norm_max_output", max(phi), order(p))
        for j, v in enumerate(phi):
            put("path_norm_output", v, order(p), f"y[{j}]")
    slopes = path_vector(net, 1, False)
    put("lipschitz_path", pnorm(slopes, 1))
    put("lipschitz_path_max_output", max(slopes))
    # No pooling in these networks.
    put("lipschitz_path_maxpool", pnorm(slopes, 1))
    put("lipschitz_path_maxpool_max_output", max(slopes))
    put("path_2", pnorm(path_vector(net, 2, include), 2) ** 2)
    n_par = sum(w.size + (0 if b is None else b.size) for w, b in zip(net.w, net.unit_bias))
    put("parameter_count", n_par)
    for p, q in groups:
        per = [rows(net, l, p, include) for l in range(d)]
        put("group_norm", norm(sum(per, []), q), order(p), order(q))
        plain = [norm(rows(net, l, p, False), q) for l in range(d)]
        put("product_group_norm", np.prod(plain), order(p), order(q))
        for l in range(d):
            layers[l]["|".join(["group_norm", order(p), order(q)])] = norm(per[l], q)
    svd = [np.linalg.svd(w, compute_uv=False) for w in net.w]
    fro = [np.linalg.norm(w) for w in net.w]
    sigma = [s[0] for s in svd]
    delta = [w - v for w, v in zip(net.w, ref.w)]
    dfro = [np.linalg.norm(w) for w in delta]
    dsig = [np.linalg.norm(w, 2) for w in delta]
    for l, w in enumerate(net.w):
        layers[l].update(
            frobenius=fro[l], max_abs=np.abs(w).max(), zero_share=np.mean(w == 0), spectral=sigma[l],
            nuclear=svd[l].sum(), stable_rank=fro[l] ** 2 / sigma[l] ** 2,
            distance_frobenius=dfro[l], distance_spectral=dsig[l])
    operators = [np.linalg.norm(m, 2) for m in net.dense]
    periodic = []
    for l, w in enumerate(net.w):
        side = spec.get("side")
        periodic.append(operators[l])
        if side and l + 1 < d:
            f = np.fft.fft2(w.reshape(len(w), -1, 3, 3), (side + 2, side + 2))
            periodic[-1] = np.linalg.svd(np.moveaxis(f, (2, 3), (0, 1)), compute_uv=False).max()
        layers[l].update(spectral_operator=operators[l], spectral_circular=periodic[l])
    for p in orders:
        put("schatten", norm(np.concatenate(svd), p), order(p))
        put("product_schatten", np.prod([norm(s, p) for s in svd]), order(p))
        for l in range(d):
            layers[l]["schatten|" + order(p)] = norm(svd[l], p)
    prod = np.prod(sigma)
    ratio = lambda f: sum((a / s) ** 2 for a, s in zip(f, sigma))
    base = {
        "frobenius": (norm(fro, 2), "linear"), "product_frobenius": (np.prod(fro), "linear"),
        "sum_frobenius_squared": (sum(f**2 for f in fro), "squared"),
        "sum_log_frobenius_squared": (sum(np.log(f**2) for f in fro), "log"),
        "sum_of_frobenius": (d * np.prod([f**2 for f in fro]) ** (1 / d), "rooted"),
        "product_spectral_operator": (np.prod(operators), "linear"), "product_spectral_circular": (np.prod(periodic), "linear"),
        "max_abs": (max(np.abs(w).max() for w in net.w), "linear"),
        "product_spectral": (prod, "linear"),
        "sum_log_spectral_squared": (sum(np.log(s**2) for s in sigma), "log"),
        "sum_of_spectral": (d * np.prod([s**2 for s in sigma]) ** (1 / d), "rooted"),
        "fro_over_spec": (ratio(fro), "squared"), "spec_orig": (prod**2 * ratio(fro), "squared"),
        "distance_frobenius": (norm(dfro, 2), "linear"), "distance_spectral": (norm(dsig, 2), "linear"),
        "spec_init": (prod**2 * ratio(dfro), "squared"),
    }
    put("zero_share", sum((w == 0).sum() for w in net.w) / sum(w.size for w in net.w))

    f = net.forward(x)
    m = len(labels)
    margins = [f[i, y] - np.max(np.delete(f[i], y)) for i, y in enumerate(labels)]
    gamma = np.percentile(margins, percentile)
    put("margin", gamma)
    put("inverse_margin_squared", 1 / gamma**2)
    for name, (v, how) in base.items():
        put(name, v)
        put(name + "_over_margin", {"linear": lambda: v / gamma, "squared": lambda: v / gamma**2,
                                    "log": lambda: v - np.log(gamma**2), "rooted": lambda: v / gamma ** (2 / d)}[how]())
    for name in list(out):
        key = name.split("|")[0]
        rest = "|".join(name.split("|")[1:])
        if key in ("path_norm", "path_norm_max_output", "group_norm", "product_group_norm", "schatten", "product_schatten"):
            out[key + "_over_margin|" + rest] = out[name] / gamma
    put("path_2_over_margin", out["path_2"] / gamma**2)

    d_in = x.shape[1]
    alpha = math.sqrt(d + math.log(d_in))
    pq = lambda p, q: np.prod([norm([norm(r, p) for r in w], q) for w in net.w])
    put("bound_l1_inf", alpha * pq(1, INF) / (gamma * math.sqrt(m)))
    put("bound_frobenius", alpha * pq(2, 2) / (gamma * math.sqrt(m)))
    put("bound_l3_15", alpha * pq(3, 1.5) / (gamma * m ** (1 / 3)))
    l21 = [np.linalg.norm(w, axis=1).sum() for w in delta]
    put("bound_spectral_l21", math.log(m) * math.log(n_par) * prod / gamma
        * sum((a / s) ** (2 / 3) for a, s in zip(l21, sigma)) ** 1.5 / math.sqrt(m))
    for name, fs in [("bound_spectral_frobenius", dfro), ("bound_spectral_frobenius_theorem", fro)]:
        put(name, d * prod / gamma * math.sqrt(sum(len(w) * (a / s) ** 2 for w, a, s in zip(net.w, fs, sigma))) / math.sqrt(m))
    big = max(1.0, np.abs(x).max())
    with_bias = float(pnorm(path_vector(net, 1, True), 1))
    put("bound_path_g24", 4 * big / (gamma * math.sqrt(m)) * with_bias
        * math.sqrt(d * math.log(3) + math.log(3 * (d_in + 1) * f.shape[1])))
    put("bound_path_g24_sharpened", 4 * big / (gamma * math.sqrt(m)) * with_bias
        * math.sqrt(d * math.log(3) + math.log((d_in + 1) * f.shape[1])))
    if spec["kind"] == "mlp":
        spreads(net, include, put)
    return out, layers


def spreads(net, include, put):
    """Hidden units of an MLP: all are live here."""
    d, logs = len(net.w), []
    for l in range(d - 1):
        incoming = rows(net, l, 2, include)
        outgoing = np.linalg.norm(net.w[l + 1], axis=0)
        logs += list(np.log(np.array(incoming) / outgoing))
    put("balance_spread", max(logs) - min(logs))
    g, gain = [np.ones(net.w[0].shape[1])], max(1.0, abs(net.slope)) ** 2
    for l, w in enumerate(net.w):
        v = (w**2) @ g[-1]
        if include and net.bias[l] is not None:
            v = v + net.bias[l] ** 2
        g.append(v * gain)
    back, kappas = np.ones(len(net.w[-1])), []
    for l in reversed(range(d)):
        kappas += list(np.log(np.outer(back, g[l])).ravel())
        if include and net.bias[l] is not None:
            kappas += list(np.log(back))
        back = (net.w[l] ** 2).T @ back * gain
    put("kappa_spread", max(kappas) - min(kappas), "2")


SPECS = [
    dict(name="no bias", kind="mlp", widths=[5, 7, 6, 3], bias=False, slope=0.0),
    dict(name="bias", kind="mlp", widths=[4, 8, 5], bias=True, slope=0.0),
    dict(name="leaky", kind="mlp", widths=[3, 6, 6, 6, 4], bias=True, slope=-1.5),
    dict(name="wide", kind="mlp", widths=[60, 90, 70, 10], bias=True, slope=0.1),
    dict(name="narrow", kind="mlp", widths=[30, 1, 60, 2], bias=True, slope=0.0),
    dict(name="convolutions", kind="conv", side=4, channels=[2, 3, 4], classes=3, bias=True, slope=0.0),
]


def main():
    nets = []
    for k, spec in enumerate(SPECS):
        net, ref = make(spec, 2 * k + 1), make(spec, 2 * k + 2)
        x = Generator(1000 + k).array(40, net.dense[0].shape[1]) * 2
        labels = [int(y) for y in net.forward(x).argmax(axis=1)]
        cases = []
        for bias, percentile in [("include", 5), ("exclude", 10)]:
            m, layers = measures(spec, net, ref, x, labels, bias == "include", percentile)
            layers = [{k: float(v) for k, v in l.items()} for l in layers]
            cases.append(dict(bias=bias, percentile=percentile, paths=str(count(net, bias == "include")),
                              measures=m, layers=layers))
        nets.append(dict(spec, seed=2 * k + 1, reference_seed=2 * k + 2, data_seed=1000 + k, examples=40,
                         labels=labels, cases=cases))
    print("[" + ",\n".join(json.dumps(n) for n in nets) + "]")


main()
