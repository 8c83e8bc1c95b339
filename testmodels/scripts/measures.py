"""Norms and counts of a Body, by their definitions, in NumPy.

Group norms, path norms: Neyshabur, Tomioka, Srebro, Norm-based capacity control
in neural networks, COLT 2015, sections 2 and 3. A bias is an edge from one
constant unit (policy include) or left out (policy exclude). A convolution has the
edges of its unrolled matrix for paths, and one row a channel for everything
else; a maximum counts every path into it (Gonon et al., A path-norm toolkit for
modern networks, ICLR 2024). Sums run in long double, whose exponents reach
10^4932: no scaling is needed for these models.
"""

import numpy as np

from body import Activation, Add, Average, Concat, Input, Linear, MaxPool, Select, sources

LD = np.longdouble
INF = float("inf")
PATH_P = [1.0, 2.0, 16.0, INF]
GROUP_PQ = [(1.0, INF), (2.0, 2.0), (1.0, 1.0), (2.0, INF), (3.0, 1.5)]
POLICIES = ["include", "exclude"]


def key(*numbers):
    return ",".join("inf" if n == INF else f"{n:g}" for n in numbers)


def number(x):
    """A value beside its log10; the value is null where float64 has no normal number for it."""
    x = LD(x)
    log = float(np.log10(x)) if x > 0 else None
    plain = float(x) if log is None or -307 < log < 308 else None
    return {"value": plain, "log10": log}


def vector_norm(a, p, axis=None):
    a = np.abs(np.asarray(a, LD))
    if p == INF:
        return a.max(axis=axis)
    return (a ** LD(p)).sum(axis=axis) ** (1 / LD(p))


def incoming(layer, policy):
    """out x (in, and 1 for a counted bias): every edge into the layer's units."""
    if policy == "include" and layer.b is not None:
        return np.column_stack([layer.W, layer.b])
    return layer.W


def group_norm(layers, p, q, policy):
    rows = np.concatenate([vector_norm(incoming(l, policy), p, axis=1) for l in layers])
    return vector_norm(rows, q)


def path_g(body, p, policy):
    """sum over the paths into each output of prod |w|^p (p = inf: the largest product)."""
    done = {}
    with_bias = policy == "include"
    for node in body.nodes:
        args = [done[id(s)] for s in sources(node)]
        if isinstance(node, Input):
            g = np.ones(node.size, LD)
        elif isinstance(node, Activation):
            gain = np.maximum(1, np.abs(node.slope)).astype(LD)
            g = args[0] * (gain if p == INF else gain ** LD(p))
        elif isinstance(node, Add):
            g = np.maximum(*args) if p == INF else args[0] + args[1]
        elif isinstance(node, Concat):
            g = np.concatenate(args)
        elif isinstance(node, Select):
            g = args[0][node.index]
        elif isinstance(node, MaxPool):
            g = np.array([args[0][w].max() if p == INF else args[0][w].sum() for w in node.windows])
        elif isinstance(node, Average):
            k = np.array([len(w) for w in node.windows]).astype(LD)
            if p == INF:
                g = np.array([args[0][w].max() for w in node.windows]) / k
            else:
                g = np.array([args[0][w].sum() for w in node.windows]) / k ** LD(p)
        else:
            W, b = node.dense()
            bias = b if with_bias and b is not None else np.zeros(node.size)
            g = _through(np.abs(W).astype(LD), np.abs(bias).astype(LD), args[0], p)
        done[id(node)] = g
    return done[id(body.output)]


def _through(W, b, g, p):
    if p == INF:
        return np.maximum((W * g).max(axis=1), b)
    return (W ** LD(p)) @ g + b ** LD(p)


def path_count(body, policy):
    """Structural paths, exact: zero weights count."""
    done = {}
    for node in body.nodes:
        args = [done[id(s)] for s in sources(node)]
        if isinstance(node, Input):
            n = [1] * node.size
        elif isinstance(node, Activation):
            n = args[0]
        elif isinstance(node, Add):
            n = [a + b for a, b in zip(*args)]
        elif isinstance(node, Concat):
            n = [a for part in args for a in part]
        elif isinstance(node, Select):
            n = [args[0][j] for j in node.index]
        elif isinstance(node, (MaxPool, Average)):
            n = [sum(args[0][j] for j in w) for w in node.windows]
        else:
            bias = int(policy == "include" and node.b is not None)
            n = [sum(args[0][j] for j in np.flatnonzero(row)) + bias for row in node.edges()]
        done[id(node)] = n
    return sum(done[id(body.output)])


def path_vector(body, policy):
    """The explicit path products of each output, a list of arrays: the check of path_g."""
    done = {}
    for node in body.nodes:
        args = [done[id(s)] for s in sources(node)]
        if isinstance(node, Input):
            v = [np.ones(1)] * node.size
        elif isinstance(node, Activation):
            v = [max(1.0, abs(a)) * x for a, x in zip(node.slope, args[0])]
        elif isinstance(node, Add):
            v = [np.concatenate(pair) for pair in zip(*args)]
        elif isinstance(node, Concat):
            v = [x for part in args for x in part]
        elif isinstance(node, Select):
            v = [args[0][j] for j in node.index]
        elif isinstance(node, MaxPool):
            v = [np.concatenate([args[0][j] for j in w]) for w in node.windows]
        elif isinstance(node, Average):
            v = [np.concatenate([args[0][j] for j in w]) / len(w) for w in node.windows]
        else:
            v = []
            W, b = node.dense()
            for i, (row, mask) in enumerate(zip(W, node.edges())):
                parts = [row[j] * args[0][j] for j in np.flatnonzero(mask)]
                if policy == "include" and b is not None:
                    parts.append(np.array([b[i]]))
                v.append(np.concatenate(parts))
        done[id(node)] = v
    return done[id(body.output)]


def depth(body):
    done = {}
    for node in body.nodes:
        before = max((done[id(s)] for s in sources(node)), default=0)
        done[id(node)] = before + isinstance(node, Linear)
    return done[id(body.output)]


def hidden_units(body):
    """Rows (channels) of linear layers that feed an activation, each use of a layer once."""
    found = {}

    def feed(node):
        if isinstance(node, Linear):
            found[id(node)] = len(node.W)
        elif isinstance(node, (Add, Concat, Select, MaxPool)):
            for s in sources(node):
                feed(s)

    for node in body.nodes:
        if isinstance(node, Activation):
            feed(node.source)
    return sum(found.values())


def layer_measures(layer):
    """Of W alone, whatever the policy."""
    sigma = np.linalg.svd(layer.W, compute_uv=False)
    fro = float(vector_norm(layer.W, 2))
    return {
        "name": layer.name,
        "rows": layer.W.shape[0],
        "cols": layer.W.shape[1],
        "bias": layer.b is not None,
        "frobenius": fro,
        "spectral": float(sigma[0]),
        "nuclear": float(sigma.sum()),
        "stable_rank": fro**2 / float(sigma[0]) ** 2,
        "max_abs": float(np.abs(layer.W).max()),
        "zero_share": float((layer.W == 0).mean()),
        "l1_inf": float(vector_norm(layer.W, 1, axis=1).max()),
        "l2_1": float(vector_norm(layer.W, 2, axis=1).sum()),
    }


def network_measures(body, layers):
    weights = np.concatenate([l.W.ravel() for l in body.layers])
    products = {k: number(np.prod([LD(l[k]) for l in layers])) for k in ("frobenius", "spectral", "l1_inf")}
    products["l3_1.5"] = number(np.prod([group_norm([l], 3.0, 1.5, "exclude") for l in body.layers]))
    return {
        "frobenius": float(vector_norm(weights, 2)),
        "max_abs": float(np.abs(weights).max()),
        "zero_share": float((weights == 0).mean()),
        "products": products,
    }


def policy_measures(body, policy):
    paths = {}
    for p in PATH_P:
        g = path_g(body, p, policy)
        root = LD(1) if p == INF else 1 / LD(p)
        total = g.max() if p == INF else g.sum()
        paths[key(p)] = dict(number(total**root), outputs_log10=[number(x**root)["log10"] for x in g])
    groups = {}
    for p, q in GROUP_PQ:
        layers = [group_norm([l], p, q, policy) for l in body.layers]
        groups[key(p, q)] = dict(
            number(group_norm(body.layers, p, q, policy)),
            layers=[float(x) for x in layers],
            product_log10=number(np.prod(layers))["log10"],
        )
    return {"paths": str(path_count(body, policy)), "path_norms": paths, "group_norms": groups}


def check_paths(body, report, policy, most=10_000_000):
    """Compares the programme with the explicit path vector where that is small enough."""
    if int(report["paths"]) > most:
        return False
    vectors = path_vector(body, policy)
    every = np.concatenate(vectors)
    assert len(every) == int(report["paths"]), (len(every), report["paths"])
    for p in PATH_P:
        want = report["path_norms"][key(p)]
        for got, log in [(every, want["log10"]), *zip(vectors, want["outputs_log10"])]:
            # 1e-9: long double sums of at most 1e7 float64 products, in two orders.
            assert abs(np.log10(vector_norm(got, p)) - log) < 1e-9, (p, log)
    return True
