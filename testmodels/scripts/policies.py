"""Policies of reinforcement learning, as game engines read them, with random weights, judged.

    policies.py DIR --relupath PATH

Written in PyTorch after what ML-Agents and Godot RL Agents export, in both exporters: observations
normalised by running moments and clipped, layers with Swish, an LSTM, pictures through convolutions,
mean actions and masked logits, constants as outputs. Actions that are drawn at random are left out, since nothing
could be compared with them. Wants torch, onnx, onnxruntime, onnxscript, numpy.
"""

import argparse
import contextlib
import io
import os
import sys
import warnings

import judge
import torch
from torch import nn


class Normalizer(nn.Module):
    """ML-Agents: (x - mean) / sqrt(variance / steps), clipped to 5."""

    def __init__(self, n):
        super().__init__()
        self.register_buffer("normalization_steps", torch.tensor(37))
        self.register_buffer("running_mean", torch.randn(n))
        self.register_buffer("running_variance", 37 * (1 + torch.rand(n)))

    def forward(self, x):
        return torch.clamp((x - self.running_mean) / torch.sqrt(self.running_variance / self.normalization_steps), -5, 5)


class Swish(nn.Module):
    def forward(self, x):
        return torch.mul(x, torch.sigmoid(x))


def encoder(n, h):
    return nn.Sequential(nn.Linear(n, h), Swish(), nn.Linear(h, h), Swish())


class Agent(nn.Module):
    """ML-Agents: vectors (and a picture) to continuous actions and branches of discrete ones."""

    def __init__(self, picture=False, memory=False, continuous=2, branches=(3, 2)):
        super().__init__()
        self.normalizer, self.body = Normalizer(8), encoder(8 + 32 * picture, 16)
        self.picture = nn.Sequential(nn.Conv2d(3, 8, 8, 4), nn.LeakyReLU(), nn.Conv2d(8, 8, 4, 2), nn.LeakyReLU(), nn.Flatten(), nn.Linear(8 * 3 * 3, 32), nn.LeakyReLU()) if picture else None
        self.lstm = nn.LSTM(16, 16, batch_first=True) if memory else None
        self.mu = nn.Linear(16, continuous) if continuous else None
        self.log_sigma = nn.Parameter(torch.zeros(1, continuous))
        self.branches = nn.ModuleList(nn.Linear(16, b) for b in branches)
        self.register_buffer("version_number", torch.tensor([3.0]))
        self.register_buffer("memory_size", torch.tensor([32.0]))
        self.sizes = list(branches)

    def forward(self, x, *more):
        more = list(more)
        x = self.normalizer(x)
        if self.picture is not None:
            x = torch.cat([x, self.picture(more.pop(0))], dim=1)
        masks = more.pop(0) if self.sizes else None
        x = self.body(x)
        out = [self.version_number, self.memory_size]
        if self.lstm is not None:
            h, c = torch.split(more.pop(0), 16, dim=-1)
            y, (h, c) = self.lstm(x.reshape(-1, 1, 16), (h.transpose(0, 1).contiguous(), c.transpose(0, 1).contiguous()))
            x = y.reshape(-1, 16)
            out.append(torch.cat([h, c], dim=-1).transpose(0, 1))
        if self.mu is not None:
            out.append(torch.clamp(self.mu(x), -3, 3) / 3)
        for layer, mask in zip(self.branches, torch.split(masks, self.sizes, dim=1) if self.sizes else []):
            logits = layer(x) * mask - 1e8 * (1 - mask)
            p = torch.softmax(logits, dim=-1) * mask
            p = p / (torch.sum(p, dim=-1, keepdim=True) + 1e-7)
            out += [torch.log(p + 1e-7), torch.argmax(p, dim=-1, keepdim=True)]
        return tuple(out)


class Godot(nn.Module):
    """Godot RL Agents: a policy of Stable Baselines 3, with its state passed through."""

    def __init__(self, activation):
        super().__init__()
        self.flat = nn.Flatten()
        self.policy = nn.Sequential(nn.Linear(10, 64), activation(), nn.Linear(64, 64), activation())
        self.action = nn.Linear(64, 4)

    def forward(self, obs, state_ins):
        return self.action(self.policy(self.flat(obs))), state_ins


class Squashed(nn.Module):
    """SAC: the mean action through tanh, scaled to the range of the actions."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.LayerNorm(32), nn.Linear(32, 32), nn.ELU())
        self.mu, self.log_std = nn.Linear(32, 3), nn.Linear(32, 3)

    def forward(self, obs):
        h = self.body(obs)
        low, high = torch.tensor([-1.0, -2.0, 0.0]), torch.tensor([1.0, 2.0, 5.0])
        return low + 0.5 * (torch.tanh(self.mu(h)) + 1) * (high - low), torch.clamp(self.log_std(h), -20, 2).exp()


class Dueling(nn.Module):
    """DQN of pictures: bytes divided by 255, and two heads, value and advantages."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(4, 8, 8, 4), nn.ReLU(), nn.Conv2d(8, 8, 4, 2), nn.ReLU(), nn.Conv2d(8, 8, 3, 1), nn.ReLU(), nn.Flatten())
        self.value, self.advantage = nn.Sequential(nn.Linear(8 * 7 * 7, 16), nn.ReLU(), nn.Linear(16, 1)), nn.Sequential(nn.Linear(8 * 7 * 7, 16), nn.ReLU(), nn.Linear(16, 5))

    def forward(self, x):
        h = self.conv(x.float() / 255)
        a = self.advantage(h)
        q = self.value(h) + a - a.mean(1, keepdim=True)
        return q, q.argmax(1)


class Ensemble(nn.Module):
    """Ten critics at once, as batched matrices."""

    def __init__(self):
        super().__init__()
        self.w1, self.b1 = nn.Parameter(torch.randn(10, 13, 16) / 4), nn.Parameter(torch.randn(10, 1, 16) / 4)
        self.w2, self.b2 = nn.Parameter(torch.randn(10, 16, 1) / 4), nn.Parameter(torch.randn(10, 1, 1))

    def forward(self, obs, action):
        x = torch.cat([obs, action], dim=-1)
        h = torch.relu(torch.einsum("bi,kij->kbj", x, self.w1) + self.b1)
        return (torch.bmm(h, self.w2) + self.b2).min(dim=0).values


def networks():
    x, mask = torch.randn(2, 8), torch.tensor([[1.0, 0, 1, 1, 1]] * 2)
    yield "mlagents_continuous", Agent(branches=()), (x,)
    yield "mlagents_discrete", Agent(continuous=0), (x, mask)
    yield "mlagents_hybrid", Agent(), (x, mask)
    yield "mlagents_picture", Agent(picture=True), (x, torch.rand(2, 3, 36, 36), mask)
    yield "mlagents_memory", Agent(memory=True), (x, mask, torch.randn(2, 1, 32))
    yield "godot_tanh", Godot(nn.Tanh), (torch.randn(2, 10), torch.zeros(2, 1))
    yield "godot_relu", Godot(nn.ReLU), (torch.randn(2, 10), torch.zeros(2, 1))
    yield "sac", Squashed(), (torch.randn(2, 10),)
    yield "dqn_dueling", Dueling(), (torch.randint(0, 256, (2, 4, 84, 84), dtype=torch.uint8),)
    yield "critics", Ensemble(), (torch.randn(2, 10), torch.randn(2, 3))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("dir")
    p.add_argument("--relupath", default="relupath")
    args = p.parse_args()
    os.makedirs(args.dir, exist_ok=True)
    failed = 0
    for name, model, inputs in networks():
        for exporter in ("ts", "dynamo"):
            path = os.path.join(args.dir, f"{name}_{exporter}.onnx")
            names = [f"obs_{k}" for k in range(len(inputs))]
            torch.manual_seed(0)
            try:
                with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                    warnings.simplefilter("ignore")
                    if exporter == "dynamo":
                        batch = torch.export.Dim("batch", min=1)
                        torch.onnx.export(model.eval(), inputs, path, dynamo=True, external_data=False, input_names=names, dynamic_shapes=shapes(model, inputs, batch))
                    else:
                        torch.onnx.export(model.eval(), inputs, path, dynamo=False, input_names=names, dynamic_axes={n: {0: "batch"} for n in names}, opset_version=17)
            except Exception as e:  # an exporter that cannot is no fault of the file's reader
                print(f"     {path}: not exported: {type(e).__name__}: {str(e).splitlines()[0][:160] if str(e) else ''}", flush=True)
                continue
            v = judge.judge(args.relupath, path, highest=256, norms=True)
            failed += bool(v.fault)
            print(f"{'FAIL' if v.fault else 'ok  '} {os.path.basename(path)}: {v.layers} layers, {v.segments} segments, {v.words()}", flush=True)
    return 1 if failed else 0


def shapes(model, inputs, batch):
    """The batch is open, in every input."""
    import inspect

    kinds = [q.kind for q in inspect.signature(model.forward).parameters.values()]
    each = [{0: batch} for _ in inputs]
    if inspect.Parameter.VAR_POSITIONAL in kinds and each[1:]:
        return (each[0], tuple(each[1:]))
    return tuple(each)


if __name__ == "__main__":
    sys.exit(main())
