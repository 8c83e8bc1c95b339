"""The package beside the program itself, which is called here without it."""

import io
import json
import pickle
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper
import pytest

import relupath

MODELS = Path("testmodels")
TOY, UNBALANCED = MODELS / "toy.onnx", MODELS / "toy_unbalanced.onnx"


def program(*args):
    return json.loads(subprocess.run([relupath.find_program(), *args, "--format", "json"], capture_output=True, check=True).stdout)


def weights(raw):
    return [onnx.numpy_helper.to_array(i) for i in onnx.load_model_from_string(raw).graph.initializer]


def test_audit_is_the_command_line():
    paths = sorted(map(str, MODELS.glob("*.onnx")))
    assert list(relupath.audit(paths)) == [
        {k: m[k] for k in m} | {"schema": "relupath.audit/1", "bias": "include"} for m in program("audit", *paths)["models"]
    ]


def test_models_in_memory():
    want = relupath.audit(TOY)[0]["measures"]
    raw = TOY.read_bytes()
    for model in (raw, bytearray(raw), io.BytesIO(raw), onnx.load_model_from_string(raw), str(TOY)):
        assert relupath.audit(model)[0]["measures"] == want
        if not hasattr(model, "read"):  # a file is read once
            assert relupath.audit([model])[0]["measures"] == want
    with open(TOY, "rb") as f:
        assert len(relupath.audit([f, raw])) == 2


def test_names_of_models_in_memory():
    raw = TOY.read_bytes()
    result = relupath.audit([raw, TOY, onnx.load_model_from_string(raw), b"none"])
    assert [m["path"] for m in result] == ["bytes[0]", str(TOY), "ModelProto[2]"]
    assert result.errors[0]["path"] == "bytes[3]"
    assert relupath.inspect(raw)["path"] == "bytes[0]"
    with pytest.raises(relupath.ModelError, match=r" bytes\[0\]: "):
        relupath.inspect(b"none")


class Sequential(list):
    """What torch.nn.Sequential has for an exporter; one can iterate over it."""

    training = True

    def state_dict(self):
        return {}

    def forward(self, x):
        return x

    def modules(self):
        return [self, *self]

    def eval(self):
        for m in self.modules():
            m.training = False


def test_modules(monkeypatch):
    frozen, net, calls = Sequential(), Sequential(), []
    frozen.training = False
    net.append(frozen)

    def export(model, args, path, **_):
        calls.append((model.training, args))
        Path(path).write_bytes(TOY.read_bytes())

    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(onnx=types.SimpleNamespace(export=export)))
    (one,) = relupath.audit(net, args="x")
    assert one["path"] == "Sequential[0]" and one["measures"] == relupath.audit(TOY)[0]["measures"]
    assert len(relupath.audit([net, net], args=("x",))) == 2
    assert calls == [(False, ("x",))] * 3 and net.training and not frozen.training
    with pytest.raises(TypeError, match="example inputs"):
        relupath.audit(net)


def test_torch():
    torch = pytest.importorskip("torch")
    pytest.importorskip("tqdm")
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    (m,) = relupath.audit(net, args=torch.zeros(1, 3), progress=True, p=[1], bias="exclude")
    a, b = (net[i].weight.detach().abs().double() for i in (0, 2))
    assert m.measure("path_norm", p=1) == pytest.approx(float((b @ a).sum()), rel=1e-12)


def test_path_norm_of_the_readme():
    for m in relupath.audit(iter([TOY, UNBALANCED]), p=[1], group=[(1, float("inf"))]):
        assert m.measure("path_norm", p=1) == pytest.approx(29, rel=1e-6)  # float32 weights
    with pytest.raises(KeyError):
        m.measure("none")


def test_errors():
    with pytest.raises(relupath.ModelError) as e:
        relupath.audit(b"no model")
    assert e.value.code == 3 and e.value.obstacles[0]["reason"]
    assert pickle.loads(pickle.dumps(e.value)).obstacles == e.value.obstacles
    some = relupath.audit([TOY, b"no model"])
    assert len(some) == 1 and len(some.errors) == 1
    with pytest.raises(relupath.ModelError):
        relupath.balance(b"no model")
    with pytest.raises(relupath.UsageError):
        relupath.audit(TOY, measures="none")
    with pytest.raises(TypeError):
        relupath.audit(3)


def test_views():
    result = relupath.audit([TOY, b"<no> model"])
    page = result._repr_html_()
    assert "path_norm(2)" in page and "toy.onnx" in page


def test_frame():
    pytest.importorskip("pandas")
    assert relupath.audit([TOY, UNBALANCED]).frame()["parameters"].tolist() == [8, 8]


def test_balance_and_equivalent(tmp_path):
    balanced = relupath.balance(UNBALANCED, p=1)
    assert relupath.equivalent(TOY, balanced.model)["equivalent"]
    assert not relupath.equivalent(TOY, MODELS / "mnist_mlp.onnx")["equivalent"]
    written = relupath.balance(UNBALANCED, tmp_path / "b.onnx", p=1)
    assert Path(written.path).read_bytes() == balanced.model
    with pytest.raises(relupath.RelupathError, match="force"):
        relupath.balance(UNBALANCED, tmp_path / "b.onnx", p=1)


def test_diff():
    (pair,) = relupath.diff(TOY, UNBALANCED, p=[1])["pairs"]
    by = {m["measure"]: m for m in pair["measures"]}
    assert by["path_norm(1)"]["a"]["value"] == pytest.approx(29, rel=1e-6)
    failed = relupath.diff(TOY, UNBALANCED.read_bytes(), fail_if=["product_frobenius > 1x"])
    assert failed["b"] == "bytes[1]"


def test_evaluate():
    x = np.random.default_rng(1).normal(size=(64, 2)).astype(np.float32)
    logits = relupath.run(TOY, x)
    y = (x[:, 0] > 0).astype(np.int64)
    found = relupath.evaluate(TOY, (x, y))
    assert found["error"] == pytest.approx((logits.argmax(1) != y).mean())
    with pytest.raises(relupath.ModelError, match="^(?!.*relupath-)") as e:
        relupath.evaluate(TOY, (x, y[:9]))
    assert "9 labels" in str(e.value)


def test_version():
    assert relupath.__version__[0].isdigit()


def test_prune():
    pruned = relupath.prune(TOY, 0.5)
    assert sum(int((w == 0).sum()) for w in weights(pruned.model)) == 4


def test_run():
    w1, w2 = np.array([[6, 1], [1, 4]]), np.array([[1, 1], [1, 2]])
    x = np.array([[1, 2], [-3, 0.5]], dtype=np.float32)
    want = np.maximum(x @ w1.T, 0) @ w2.T
    np.testing.assert_allclose(relupath.run(TOY, x), want, rtol=1e-6)
    np.testing.assert_allclose(relupath.run(TOY, {"x": x}), want, rtol=1e-6)


def test_finetune_on_arrays():
    x = np.random.default_rng(1).normal(size=(64, 2)).astype(np.float32)
    trained = relupath.finetune(TOY, (x, (x[:, 0] > x[:, 1]).astype(np.int64)), epochs=2, lr=0.01)
    assert not all(np.array_equal(a, b) for a, b in zip(weights(trained.model), weights(TOY.read_bytes())))


def test_module():
    done = subprocess.run([sys.executable, "-m", "relupath", "audit", "none.onnx"], capture_output=True, text=True)
    assert done.returncode == 3 and "none.onnx" in done.stderr


@pytest.mark.parametrize("page", [Path(__file__).parents[1] / "README.md", Path("README.md")])
def test_readme(page):
    readme = page.read_text()
    exec(readme.split("```python\n")[1].split("```")[0], {})
