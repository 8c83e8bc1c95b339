"""Readers of the public data sets that the models in this folder learn.

Every function returns (x_train, y_train, x_test, y_test): x as float32 rows in
the units the network sees at its input, y as int64 classes (or float32 targets).
The folder of the data is $RELUPATH_SHARED/datasets, else ../shared/datasets
beside the repository.
"""

import csv
import gzip
import os
import pathlib

import numpy as np

REPO = pathlib.Path(__file__).resolve().parents[2]
SHARED = pathlib.Path(os.environ.get("RELUPATH_SHARED", REPO.parent / "shared"))
DATASETS = SHARED / "datasets"


def _idx(path):
    raw = gzip.open(path, "rb").read()
    dims = raw[3]
    shape = [int.from_bytes(raw[4 + 4 * i : 8 + 4 * i], "big") for i in range(dims)]
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * dims).reshape(shape)


def mnist():
    """28 x 28 grey images as rows of 1 x 28 x 28, pixels in [0, 1]."""
    d = DATASETS / "mnist"
    out = []
    for part in ("train", "t10k"):
        x = _idx(d / f"{part}-images-idx3-ubyte.gz").astype(np.float32)[:, None] / np.float32(255)
        y = _idx(d / f"{part}-labels-idx1-ubyte.gz").astype(np.int64)
        out += [x, y]
    return tuple(out)


def _split(x, y, seed, test=0.2):
    order = np.random.RandomState(seed).permutation(len(x))
    n = int(round(len(x) * (1 - test)))
    a, b = order[:n], order[n:]
    return x[a], y[a], x[b], y[b]


def _table(name, skip):
    path = DATASETS / "tabular" / name
    opener = gzip.open if name.endswith(".gz") else open
    with opener(path, "rt", newline="") as f:
        return list(csv.reader(f))[skip:]


def digits(seed=0):
    """8 x 8 digits (UCI optical recognition), 64 values in [0, 1]."""
    t = np.array(_table("digits.csv.gz", 0), np.float64)
    return _split((t[:, :64] / 16).astype(np.float32), t[:, 64].astype(np.int64), seed)


def digits_raw(seed=0):
    """The same digits with the values as the file has them, 0 to 16."""
    x, y, x_test, y_test = digits(seed)
    return x * 16, y, x_test * 16, y_test


def usps():
    """16 x 16 digits scanned by the US Postal Service, 256 values in [-1, 1]."""
    out = []
    for part in ("train", "test"):
        t = np.array(_usps_rows(part), np.float64)
        out += [t[:, 1:].astype(np.float32), t[:, 0].astype(np.int64)]
    return tuple(out)


def _usps_rows(part):
    with gzip.open(DATASETS / "usps" / f"zip.{part}.csv.gz", "rt", newline="") as f:
        return [row for row in csv.reader(f) if row and _number(row[0])]


def _number(s):
    try:
        float(s)
    except ValueError:
        return False
    return True


def iris(seed=0):
    """Four lengths in centimetres, three species."""
    t = np.array(_table("iris.csv", 1), np.float64)
    return _split(t[:, :4].astype(np.float32), t[:, 4].astype(np.int64), seed)


def iris_petal(seed=0):
    """Regression: the petal's width from the other three lengths."""
    t = np.array(_table("iris.csv", 1), np.float64)
    return _split(t[:, :3].astype(np.float32), t[:, 3].astype(np.float32), seed)


def _standardised(parts):
    """Scales every feature by the training part's mean and deviation, outside the network."""
    x_train, y_train, x_test, y_test = parts
    x_train, x_test = x_train.astype(np.float64), x_test.astype(np.float64)
    mean, std = x_train.mean(0), x_train.std(0)
    scaled = [((x - mean) / std).astype(np.float32) for x in (x_train, x_test)]
    return scaled[0], y_train, scaled[1], y_test


def cancer(seed=0):
    """Wisconsin diagnostic breast cancer: 30 standardised features, two classes."""
    t = np.array(_table("breast_cancer.csv", 1), np.float64)
    return _standardised(_split(t[:, :30].astype(np.float32), t[:, 30].astype(np.int64), seed))


def letter(seed=0):
    """Letter recognition: 16 features 0..15 divided by 15, 26 classes."""
    rows = _table("LetterRecognition.csv.gz", 1)
    x = np.array([r[1:] for r in rows], np.float32) / 15
    y = np.array([ord(r[0]) - ord("A") for r in rows], np.int64)
    return _split(x, y, seed)


def satellite(seed=0):
    """Landsat satellite: 36 standardised values of a 3 x 3 patch, six kinds of ground."""
    rows = [r for r in _table("Satellite.csv.gz", 0) if _number(r[0])]
    names = sorted({r[36] for r in rows})
    x = np.array([r[:36] for r in rows], np.float32)
    y = np.array([names.index(r[36]) for r in rows], np.int64)
    return _standardised(_split(x, y, seed))


def cifar10():
    """3 x 32 x 32 colour images in ten classes, pixels in [-1, 1]."""
    out = []
    for part in ("train", "test"):
        rows = np.fromfile(DATASETS / "cifar10" / f"{part}.bin", np.uint8).reshape(-1, 3073)
        out += [rows[:, 1:].reshape(-1, 3, 32, 32).astype(np.float32) / np.float32(127.5) - 1, rows[:, 0].astype(np.int64)]
    return tuple(out)
