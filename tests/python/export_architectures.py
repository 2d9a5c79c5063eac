"""Exports networks of full size, with random weights and what onnxruntime computes from them.

usage: python export_architectures.py OUT_FOLDER [NAME...]
       (pip install torch torchvision onnx onnxscript onnxruntime safetensors)

Each NAME becomes NAME.onnx, as `torch.onnx.export(model.eval(), (x[:1],), dynamo=True,
optimize=False)` writes it, and NAME.data.safetensors with `input/NAME` of two samples, `target`,
and `output`, computed by onnxruntime sample by sample.
"""

import os
import sys

import numpy as np
import onnxruntime
import torch
import torchvision
from safetensors.numpy import save_file
from torch import nn


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.c_attn, self.c_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        n, t, f = x.shape
        q, k, v = self.c_attn(x).split(f, dim=2)
        q, k, v = (part.view(n, t, self.heads, f // self.heads).transpose(1, 2) for part in (q, k, v))
        y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.c_proj(y.transpose(1, 2).reshape(n, t, f))


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.ln_1, self.attn, self.ln_2 = nn.LayerNorm(width), Attention(width, heads), nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width)
        )

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class Gpt2(nn.Module):
    """GPT-2 small's shape; its output is [N, C, T]."""

    def __init__(self, vocabulary=50257, context=1024, width=768, heads=12, blocks=12):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        self.h = nn.ModuleList(Block(width, heads) for _ in range(blocks))
        self.ln_f = nn.LayerNorm(width)
        self.lm_head = nn.Linear(width, vocabulary, bias=False)
        self.lm_head.weight = self.wte.weight

    def forward(self, ids):
        x = self.wte(ids) + self.wpe(torch.arange(ids.shape[1], device=ids.device))
        for block in self.h:
            x = block(x)
        return self.lm_head(self.ln_f(x)).transpose(1, 2)


def image(size):
    return torch.randn(2, 3, size, size)


ARCHITECTURES = {
    "resnet18": (torchvision.models.resnet18, lambda: image(224)),
    "mobilenet_v3_small": (torchvision.models.mobilenet_v3_small, lambda: image(224)),
    "densenet121": (torchvision.models.densenet121, lambda: image(224)),
    "convnext_tiny": (torchvision.models.convnext_tiny, lambda: image(224)),
    "vit_b_16": (torchvision.models.vit_b_16, lambda: image(224)),
    "efficientnet_b0": (torchvision.models.efficientnet_b0, lambda: image(224)),
    "squeezenet1_1": (torchvision.models.squeezenet1_1, lambda: image(224)),
    "gpt2_small": (Gpt2, lambda: torch.randint(0, 50257, (2, 64))),
}


def export(name, folder):
    torch.manual_seed(0)
    make, inputs = ARCHITECTURES[name]
    model, x = make().eval(), inputs()
    # Weights as small as GPT-2's where layers start at zero or at standard normals.
    with torch.no_grad():
        for p in model.parameters():
            if p.dim() > 1 and (not p.any() or p.std() > 0.5):
                p.normal_(std=0.02)
    # Statistics of random inputs, as after training: random weights alone blow activations up.
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.train()
        norm.momentum = None
        norm.reset_running_stats()
    with torch.no_grad():
        model(torch.cat([x, inputs()]))
    model.eval()
    path = os.path.join(folder, name + ".onnx")
    torch.onnx.export(model, (x[:1],), path, dynamo=True, optimize=False, external_data=True,
                      verbose=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    port = session.get_inputs()[0].name
    outputs = [session.run(None, {port: x[at : at + 1].numpy()})[0] for at in range(len(x))]
    output = np.concatenate(outputs)
    positions = output.shape[2:]
    target = np.random.default_rng(0).integers(0, output.shape[1], (len(x), *positions))
    arrays = {f"input/{port}": x.numpy(), "target": target, "output": output}
    save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()},
              os.path.join(folder, name + ".data.safetensors"))
    print(name, sum(p.numel() for p in model.parameters()), "parameters", flush=True)


if __name__ == "__main__":
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    for name in sys.argv[2:] or ARCHITECTURES:
        export(name, folder)
