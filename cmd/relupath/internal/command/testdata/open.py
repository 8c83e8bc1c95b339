"""Makes testdata/open: networks of images and of sequences whose sizes the files leave open,
as PyTorch exports them, labelled images, and the mean cross-entropy by ONNX Runtime's outputs.

    python3 open.py       # torch 2.15, onnx, onnxscript, onnxruntime
"""
import json
import pathlib

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import numpy_helper
from torch import nn

out = pathlib.Path(__file__).parent / "open"
out.mkdir(exist_ok=True)
torch.manual_seed(0)


class Image(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.norm, self.b, self.out = nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.Conv2d(6, 8, 3, padding=1), nn.Linear(8, 3)
        for p in (self.norm.weight, self.norm.bias, self.norm.running_mean):
            nn.init.normal_(p)
        nn.init.uniform_(self.norm.running_var, 0.5, 2)

    def forward(self, x):
        return self.out(torch.relu(self.b(torch.relu(self.norm(self.a(x))))).mean((2, 3)))


class Positions(nn.Module):  # a table cut to the length
    def __init__(self, first=0):
        super().__init__()
        self.first = first
        self.a, self.table, self.b, self.out = nn.Linear(4, 8), nn.Parameter(torch.randn(64, 8)), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x):
        return self.out(torch.relu(self.b(torch.relu(self.a(x) + self.table[self.first : self.first + x.shape[1]]))))


def export(model, x, name, axes):
    file = str(out / f"{name}.onnx")
    torch.onnx.export(model, (x,), file, dynamo=False, dynamic_axes={"x": axes}, input_names=["x"], output_names=["y"])
    return file


def newer(model, x, name, shapes, outputs=None):
    """Exports with the newer exporter, without what it says of its own code, which names folders of the machine."""
    file = str(out / f"{name}.onnx")
    torch.onnx.export(model, (x,), file, dynamo=True, dynamic_shapes=shapes, input_names=["x"], output_names=outputs, external_data=False)
    m = onnx.load(file)
    for part in [m, m.graph, *m.graph.node, *m.graph.value_info, *m.graph.input, *m.graph.output, *m.graph.initializer]:
        del part.metadata_props[:]
        part.doc_string = ""
    onnx.save(m, file)


image = Image().eval()
file = export(image, torch.randn(2, 1, 12, 12), "image", {0: "n", 2: "h", 3: "w"})
torch.onnx.export(image, (torch.randn(2, 1, 16, 16),), str(out / "image_fixed.onnx"), dynamo=False, input_names=["pixels"], output_names=["y"])
dynamic = ({k: torch.export.Dim.DYNAMIC for k in (0, 2, 3)},)
newer(image, torch.randn(2, 1, 12, 12), "image_dynamo", dynamic)
rng = np.random.default_rng(0)
x, y = rng.normal(size=(5, 1, 10, 11)).astype(np.float32), np.array([0, 1, 2, 1, 0])
np.savez(out / "images.npz", x=x, y=y)
f = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0].astype(float)
loss = float(np.mean(np.log(np.exp(f).sum(1)) - f[np.arange(5), y]))
(out / "images.json").write_text(json.dumps({"loss": loss}) + "\n")

file = export(Positions().eval(), torch.randn(2, 7, 4), "positions", {0: "n", 1: "length"})
model = onnx.load(file)
for t in model.graph.initializer:
    if list(t.dims) == [64, 8]:
        table = numpy_helper.to_array(t).copy()
        table[60, 3] += 0.1
        t.CopyFrom(numpy_helper.from_array(table, t.name))
onnx.save(model, out / "positions_other.onnx")

export(Positions(2).eval(), torch.randn(2, 7, 4), "positions_offset", {0: "n", 1: "length"})  # never all of it


class Boxes(nn.Module):  # places of a grid and its steps, made of the image's size, as detectors have them
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(1, 6, 3, 2, 1), nn.Conv2d(6, 6, 3, 2, 1), nn.Conv2d(6, 8, 3, 2, 1)
        self.box, self.kind = nn.Conv2d(8, 4, 1), nn.Conv2d(8, 2, 1)

    def forward(self, x):
        z = torch.relu(self.c(torch.relu(self.b(torch.relu(self.a(x))))))
        h, w = z.shape[2:]
        v, u = torch.meshgrid(torch.arange(h) + 0.5, torch.arange(w) + 0.5, indexing="ij")
        places, step = torch.stack([u, v]).reshape(1, 2, -1), torch.full((1, 1, h * w), 8.0)
        low, high = self.box(z).flatten(2).chunk(2, 1)
        low, high = torch.relu(places - low), torch.relu(places + high)
        return torch.cat([torch.cat([(low + high) / 2, high - low], 1) * step, self.kind(z).flatten(2)], 1)


torch.manual_seed(2)
export(Boxes().eval(), torch.randn(2, 1, 12, 16), "boxes", {0: "n", 2: "h", 3: "w"})


class Wave(nn.Module):  # the more pixels, the more it makes of rounding
    def __init__(self):
        super().__init__()
        self.a, self.b, self.out = nn.Conv2d(1, 6, 3, padding=1), nn.Conv2d(6, 3, 3, padding=1), nn.Linear(3, 2)

    def forward(self, x):
        return self.out(torch.sin(self.b(torch.relu(self.a(x))).sum((2, 3)) * 2e-3))


torch.manual_seed(3)
export(Wave().eval(), torch.randn(2, 1, 12, 16), "wave", {0: "n", 2: "h", 3: "w"})


class Kinds(nn.Module):  # a row of a table of positions for each place, and the first of a table of kinds
    def __init__(self):
        super().__init__()
        self.a, self.table, self.kinds, self.out = nn.Linear(4, 8), nn.Parameter(torch.randn(64, 8)), nn.Parameter(torch.randn(2, 8)), nn.Linear(8, 3)

    def forward(self, x):
        n = x.shape[1]
        return self.out(torch.relu(self.a(x) + self.table[:n] + self.kinds[torch.zeros(n, dtype=torch.long)]))


torch.manual_seed(4)
export(Kinds().eval(), torch.randn(2, 7, 4), "kinds", {0: "n", 1: "length"})


class Relative(nn.Module):  # weights at places that the length decides, as of relative positions
    def __init__(self):
        super().__init__()
        self.a, self.table, self.turn, self.out = nn.Linear(4, 8), nn.Parameter(torch.randn(16, 8)), nn.Parameter(torch.randn(8, 8)), nn.Linear(8, 3)

    def forward(self, x):
        n = x.shape[1]
        place = torch.arange(n)
        keys = (self.table @ self.turn)[(place[:, None] - place[None]).clamp(-7, 7) + 8]  # length x length x 8
        z = torch.relu(self.a(x))
        return self.out(torch.relu(torch.einsum("bld,lmd->bmd", z, keys)))


torch.manual_seed(5)
export(Relative().eval(), torch.randn(2, 7, 4), "relative", {0: "n", 1: "length"})


class Causal(nn.Module):  # a matrix made of the length, and one learned number that is spread over it
    def __init__(self):
        super().__init__()
        self.a, self.b, self.out = nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.gain = nn.Parameter(torch.tensor(1.5))

    def forward(self, x):
        place = torch.arange(x.shape[1])
        mean = (place[None] <= place[:, None]).float()  # length x length
        z = mean @ torch.relu(self.a(x))
        z = torch.relu(self.b(z))
        return self.out(z * self.gain.expand(z.shape[1], 8))


torch.manual_seed(6)
causal = Causal().eval()
file = export(causal, torch.randn(2, 7, 4), "causal", {0: "n", 1: "length"})
newer(causal, torch.randn(2, 7, 4), "causal_dynamo", ({0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC},), ["y"])
model = onnx.load(file)  # the same of one length, whose operators still make the matrix
model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 7
onnx.save(model, out / "causal_fixed.onnx")


class Decoder(nn.Module):  # a table that is cut to the length beside a mask that is made of it
    def __init__(self):
        super().__init__()
        self.a, self.table, self.out = nn.Linear(4, 8), nn.Parameter(torch.randn(64, 8)), nn.Linear(8, 3)

    def forward(self, x):
        z = self.a(x) + self.table[2:x.shape[1] + 2]
        later = torch.ones(x.shape[1], x.shape[1]).triu(1) * -1e4
        return self.out(torch.softmax(z @ z.transpose(1, 2) + later, -1) @ z)


torch.manual_seed(7)
export(Decoder().eval(), torch.randn(2, 7, 4), "decoder", {0: "n", 1: "length"})
