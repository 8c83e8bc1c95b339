"""Makes testdata/merged: models that merge the batch with other axes, as PyTorch's
exporter writes them, inputs for them, and ONNX Runtime's outputs.

    python3 merged.py       # PyTorch 2.x, torchvision, onnx, onnxruntime
"""
import pathlib
import warnings

import numpy as np
import onnx
import onnxruntime
import torch
from torchvision.models.swin_transformer import SwinTransformer

warnings.filterwarnings("ignore")
out = pathlib.Path(__file__).parent / "merged"
out.mkdir(exist_ok=True)
torch.manual_seed(0)


class Causal(torch.nn.Module):
    """An encoder with a mask of minus infinity: heads and samples are one stack."""

    def __init__(self):
        super().__init__()
        layer = torch.nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0, batch_first=True)
        self.encoder = torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, x):
        n = x.shape[1]
        return self.encoder(x, mask=torch.triu(torch.full((n, n), float("-inf")), 1))


class Windows(torch.nn.Module):
    """Windows of a sequence, merged with the batch, their lines divided by their norms."""

    def __init__(self):
        super().__init__()
        self.a, self.b = torch.nn.Linear(6, 6), torch.nn.Linear(48, 3)

    def forward(self, x):
        h = torch.nn.functional.normalize(self.a(x).reshape(-1, 4, 6), dim=-1)
        h = h * h.mean(1).unsqueeze(1) - h.amax(2, keepdim=True)
        return self.b(torch.relu(h).reshape(x.shape[0], -1))


class Lines(torch.nn.Module):
    """A normalisation over the lines of all samples, as LeViT has it, behind a matrix and behind a
    function, and a row that is repeated for each sample."""

    def __init__(self):
        super().__init__()
        self.a, self.b = torch.nn.Linear(6, 5), torch.nn.Linear(5, 3)
        self.norms = torch.nn.ModuleList([torch.nn.BatchNorm1d(5), torch.nn.BatchNorm1d(5)])
        self.row = torch.nn.Parameter(torch.randn(1, 1, 5))
        for norm in self.norms:
            torch.nn.init.normal_(norm.weight)
            torch.nn.init.normal_(norm.bias)
            torch.nn.init.uniform_(norm.running_var, 0.5, 2)

    def forward(self, x):
        h = self.a(x)
        h = torch.relu(self.norms[0](h.flatten(0, 1)).reshape_as(h))
        h = self.norms[1](torch.tanh(h).flatten(0, 1)).reshape_as(h)
        return self.b(torch.cat([self.row.repeat(x.shape[0], 1, 1), torch.relu(h)], 1))


def write(name, model, x, training, axes):
    path = out / f"{name}.onnx"
    torch.onnx.export(model, (x,), path, dynamo=False, opset_version=17, input_names=["x"], output_names=["y"], dynamic_axes=axes, training=training)
    onnx.checker.check_model(str(path), full_check=True)
    np.save(out / f"{name}_x.npy", x.numpy())
    np.save(out / f"{name}_y.npy", onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"x": x.numpy()})[0])


causal = Causal().train()  # PyTorch's fused encoder is not exported
keep = torch.onnx.TrainingMode.PRESERVE
x = torch.randn(3, 5, 8)
write("encoder_fixed", causal, x, keep, None)
write("encoder_open", causal, x, keep, {"x": {0: "n"}, "y": {0: "n"}})
swin = SwinTransformer(patch_size=[2, 2], embed_dim=4, depths=[2], num_heads=[2], window_size=[4, 4], num_classes=3).eval()
torch.nn.init.normal_(swin.head.weight)
write("swin_open", swin, torch.randn(2, 3, 16, 16), torch.onnx.TrainingMode.EVAL, {"x": {0: "n"}, "y": {0: "n"}})
write("windows_open", Windows().eval(), torch.randn(3, 8, 6), torch.onnx.TrainingMode.EVAL, {"x": {0: "n"}, "y": {0: "n"}})
write("lines_open", Lines().eval(), torch.randn(3, 4, 6), torch.onnx.TrainingMode.EVAL, {"x": {0: "n"}, "y": {0: "n"}})
