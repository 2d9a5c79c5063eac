"""Writes the reference cases of sequence layers and norms with PyTorch, in f64.

    pip install torch numpy safetensors
    python tests/cases/make.py

Models (cases of this folder): a row of layers as the library describes it, the same row of PyTorch
modules, and dense per-sample Jacobians and Hessians of the latter. Tapes (the folder `tape`): a
function of PyTorch, its arguments, its result, and what a given cotangent gives at each argument.
"""

import json
import pathlib

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn
from torch.autograd.functional import jacobian
from torch.nn.attention import SDPBackend, sdpa_kernel

torch.set_default_dtype(torch.float64)
HERE = pathlib.Path(__file__).parent


class Rnn(nn.RNN):
    def forward(self, x):
        return super().forward(x)[0]


class Lstm(nn.LSTM):
    def forward(self, x):
        return super().forward(x)[0]


class Gru(nn.GRU):
    def forward(self, x):
        return super().forward(x)[0]


def causal(length):
    return torch.full((length, length), -float("inf")).triu(1)


class SelfAttention(nn.MultiheadAttention):
    def forward(self, x):
        mask = causal(x.shape[1])
        return super().forward(x, x, x, attn_mask=mask, need_weights=False)[0]


class Encoder(nn.TransformerEncoderLayer):
    def __init__(self, *args, masked=False, **options):
        super().__init__(*args, dropout=0.0, batch_first=True, **options)
        self.masked = masked

    def forward(self, x):
        return super().forward(x, src_mask=causal(x.shape[1]) if self.masked else None)


class Mean(nn.Module):
    def forward(self, x):
        return x.mean(1)


class Last(nn.Module):
    def forward(self, x):
        return x[:, -1]


MODELS = {
    "gru": (
        [{"op": "gru", "in": 2, "hidden": 3}, {"op": "flatten"}, {"op": "linear", "in": 12, "out": 3}],
        lambda: [Gru(2, 3, batch_first=True), nn.Flatten(), nn.Linear(12, 3)],
        (3, 4, 2),
    ),
    "gru_bidirectional": (
        [
            {"op": "gru", "in": 2, "hidden": 2, "num_layers": 2, "bidirectional": True, "bias": False},
            {"op": "mean", "axis": 1},
            {"op": "linear", "in": 4, "out": 3},
        ],
        lambda: [
            Gru(2, 2, num_layers=2, bidirectional=True, bias=False, batch_first=True),
            Mean(),
            nn.Linear(4, 3),
        ],
        (3, 3, 2),
    ),
    "lstm_bidirectional": (
        [
            {"op": "lstm", "in": 2, "hidden": 1, "num_layers": 2, "bidirectional": True},
            {"op": "select", "axis": 1, "index": -1},
            {"op": "linear", "in": 2, "out": 3},
        ],
        lambda: [
            Lstm(2, 1, num_layers=2, bidirectional=True, batch_first=True),
            Last(),
            nn.Linear(2, 3),
        ],
        (3, 3, 2),
    ),
    "rnn_relu": (
        [{"op": "rnn_relu", "in": 3, "hidden": 3}, {"op": "mean", "axis": 1}],
        lambda: [Rnn(3, 3, nonlinearity="relu", batch_first=True), Mean()],
        (4, 4, 3),
    ),
    "multihead_attention": (
        [
            {"op": "multihead_attention", "features": 4, "heads": 2, "causal": True},
            {"op": "mean", "axis": 1},
        ],
        lambda: [SelfAttention(4, 2, batch_first=True), Mean()],
        (3, 3, 4),
    ),
    "transformer_encoder_layer": (
        [
            {"op": "transformer_encoder_layer", "features": 4, "heads": 2, "hidden": 3},
            {"op": "mean", "axis": 1},
        ],
        lambda: [Encoder(4, 2, 3), Mean()],
        (3, 3, 4),
    ),
    "transformer_encoder_layer_norm_first": (
        [
            {
                "op": "transformer_encoder_layer", "features": 4, "heads": 1, "hidden": 2,
                "norm_first": True, "gelu": True, "causal": True, "bias": False, "eps": 1e-3,
            },
            {"op": "mean", "axis": 1},
        ],
        lambda: [
            Encoder(
                4, 1, 2, norm_first=True, activation="gelu", masked=True, bias=False,
                layer_norm_eps=1e-3,
            ),
            Mean(),
        ],
        (3, 3, 4),
    ),
    "instance_norm": (
        [
            {"op": "linear", "in": 3, "out": 4},
            {"op": "instance_norm1d", "features": 2, "eps": 1e-3, "affine": True},
            {"op": "tanh"},
            {"op": "flatten"},
            {"op": "linear", "in": 8, "out": 3},
        ],
        lambda: [
            nn.Linear(3, 4), nn.InstanceNorm1d(2, eps=1e-3, affine=True), nn.Tanh(), nn.Flatten(),
            nn.Linear(8, 3),
        ],
        (3, 2, 3),
    ),
    "local_response_norm": (
        [
            {"op": "conv1d", "in": 2, "out": 5, "kernel": 2},
            {"op": "local_response_norm", "size": 3, "alpha": 0.7, "beta": 0.6, "k": 1.3},
            {"op": "flatten"},
            {"op": "linear", "in": 10, "out": 3},
        ],
        lambda: [
            nn.Conv1d(2, 5, 2), nn.LocalResponseNorm(3, alpha=0.7, beta=0.6, k=1.3), nn.Flatten(),
            nn.Linear(10, 3),
        ],
        (3, 2, 3),
    ),
}


def write_model(number, name, description, modules, shape):
    torch.manual_seed(number)
    model = nn.Sequential(*modules())
    for param in model.parameters():
        nn.init.normal_(param, std=0.5)
    names = [name for name, _ in model.named_parameters()]
    start = [param.detach().clone() for param in model.parameters()]
    shapes = [param.shape for param in start]
    lens = [param.numel() for param in start]
    x = torch.randn(shape)

    def output(theta):
        values = [part.view(shape) for part, shape in zip(theta.split(lens), shapes)]
        return torch.func.functional_call(model, dict(zip(names, values)), (x,))

    theta = torch.cat([param.flatten() for param in start])
    f = output(theta)
    n, classes = f.shape
    target = torch.randint(classes, (n,))

    def loss(theta):
        return F.cross_entropy(output(theta), target)

    gradient = jacobian(loss, theta)
    jac = jacobian(output, theta)
    # Reverse over reverse, in the model and its loss alike.
    hessian = jacobian(lambda t: jacobian(loss, t, create_graph=True), theta)
    p = F.softmax(f, 1)
    root = (torch.diag_embed(p) - p.unsqueeze(2) * p.unsqueeze(1)) / n
    per_sample = torch.einsum("ncd,nce,nef->ndf", jac, root, jac)
    ggn = per_sample.sum(0)
    batch_grad = torch.einsum("ncd,nc->nd", jac, (p - F.one_hot(target, classes)) / n)
    assert torch.allclose(batch_grad.sum(0), gradient, atol=1e-13)
    direction = torch.randn(theta.shape)
    arrays = {"input": x, "target": target, "expected/output": f, "expected/loss": loss(theta)[None]}
    quantities = {
        "param": theta,
        "direction": direction,
        "expected/grad": gradient,
        "expected/batch_grad": batch_grad,
        "expected/batch_diag_ggn": per_sample.diagonal(dim1=1, dim2=2),
        "expected/diag_ggn": ggn.diagonal(),
        "expected/diag_hessian": hessian.diagonal(),
        "expected/ggnvp": ggn @ direction,
        "expected/hvp": hessian @ direction,
    }
    for quantity, values in quantities.items():
        for name_of, part, of in zip(names, values.split(lens, -1), shapes):
            arrays[f"{quantity}/{name_of}"] = part.reshape(values.shape[:-1] + of)
    # The group of all parameters: the three leading eigenpairs, and Newton's step with damping 1.
    top = 3
    spectrum, vectors = torch.linalg.eigh(ggn)
    values, vectors = spectrum[-top:], vectors[:, -top:].T
    gammas = n * batch_grad @ vectors.T
    lambdas = n * torch.einsum("kd,nde,ke->nk", vectors, per_sample, vectors)
    newton = -(gammas.mean(0) / (lambdas.mean(0) + 1.0)) @ vectors
    group = {"eigenvalues": values, "gammas": gammas, "lambdas": lambdas}
    group["spectrum"] = spectrum[-n * (classes - 1):]
    arrays |= {f"expected/group0/{key}": value for key, value in group.items()}
    for key, of_all in [("eigenvectors", vectors), ("newton", newton)]:
        for name_of, part, of in zip(names, of_all.split(lens, -1), shapes):
            arrays[f"expected/group0/{key}/{name_of}"] = part.reshape(of_all.shape[:-1] + of)
    case = {
        "name": name,
        "model": description,
        "loss": {"op": "cross_entropy"},
        "groups": [{"params": "all", "top": top}],
        "checked_with": [f"torch {torch.__version__} dense f64"],
    }
    save(HERE / f"{name}.safetensors", arrays, {"case": json.dumps(case)})


def save(path, arrays, metadata=None):
    arrays = {key: value.detach().contiguous().clone() for key, value in arrays.items()}
    save_file(arrays, path, metadata)


def attention(q, k, v, **options):
    with sdpa_kernel(SDPBackend.MATH):
        return F.scaled_dot_product_attention(q, k, v, **options)


def masks():
    hidden = torch.zeros(2, 1, 3, 4)
    hidden[0, :, :, 2:] = -float("inf")
    hidden[1, :, 1] = -float("inf")
    return hidden


def cross_attention(query, memory, other, q, k, v, in_bias, out, out_bias):
    return F.multi_head_attention_forward(
        query.transpose(0, 1), memory.transpose(0, 1), other.transpose(0, 1), 4, 2, None, in_bias,
        None, None, False, 0.0, out, out_bias, need_weights=False, use_separate_proj_weight=True,
        q_proj_weight=q, k_proj_weight=k, v_proj_weight=v,
    )[0].transpose(0, 1)


def recurrent(module, states, x, hidden, *params):
    """All hidden states, and the last ones, side by side."""
    net = module(2, 3, batch_first=True)
    named = dict(zip(["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"], params))
    start = tuple(part[None] for part in hidden.chunk(states, 1))
    start = start if states > 1 else start[0]
    outputs, last = torch.func.functional_call(net, named, (x, start))
    last = last if states > 1 else (last,)
    return torch.cat([outputs] + [part.transpose(0, 1) for part in last], 1)


def gru_reset_before(x, hidden, w, u, b, c):
    """ONNX's GRU with linear_before_reset = 0, gates in PyTorch's order."""
    states = []
    for at in range(x.shape[1]):
        a, h = x[:, at] @ w.T + b, hidden.shape[1]
        r, z = torch.sigmoid(a[:, :2 * h] + hidden @ u[:2 * h].T + c[:2 * h]).chunk(2, 1)
        n = torch.tanh(a[:, 2 * h:] + (r * hidden) @ u[2 * h:].T + c[2 * h:])
        hidden = (1 - z) * n + z * hidden
        states.append(hidden)
    return torch.stack(states, 1)


def gates(count):
    return [(3 * count, 2), (3 * count, 3), (3 * count,), (3 * count,)]


TAPES = {
    "attention": (attention, {}, [(2, 2, 3, 4), (2, 2, 4, 4), (2, 2, 4, 3)]),
    "attention_causal": (
        attention, {"is_causal": True, "scale": 0.3}, [(2, 2, 3, 4), (2, 2, 4, 4), (2, 2, 4, 3)],
    ),
    "attention_grouped": (
        attention, {"enable_gqa": True}, [(2, 4, 3, 2), (2, 2, 5, 2), (2, 2, 5, 3)],
    ),
    "attention_masked": (
        attention, {"attn_mask": masks()}, [(2, 2, 3, 4), (2, 2, 4, 4), (2, 2, 4, 3)],
    ),
    "cross_attention": (
        cross_attention,
        {},
        [(2, 3, 4), (2, 5, 3), (2, 5, 2), (4, 4), (4, 3), (4, 2), (12,), (4, 4), (4,)],
    ),
    "gru_states": (
        lambda *args: recurrent(nn.GRU, 1, *args), {}, [(2, 4, 2), (2, 3)] + gates(3),
    ),
    "lstm_states": (
        lambda *args: recurrent(nn.LSTM, 2, *args), {}, [(2, 4, 2), (2, 6)] + gates(4),
    ),
    "gru_reset_before": (gru_reset_before, {}, [(2, 4, 2), (2, 3)] + gates(3)),
    "bilinear": (F.bilinear, {}, [(2, 3, 2), (2, 3, 4), (3, 2, 4), (3,)]),
    "local_response_norm_even": (
        lambda x: F.local_response_norm(x, 4, alpha=0.9, beta=0.5, k=0.7), {}, [(2, 5, 3)],
    ),
    "l2_normalize": (lambda x: F.normalize(x, dim=1), {}, [(2, 3, 4)]),
    "l1_normalize": (lambda x: F.normalize(x, p=1, dim=2), {}, [(2, 3, 4)]),
    "instance_norm": (
        lambda x, w, b: F.instance_norm(x, weight=w, bias=b, eps=1e-3),
        {},
        [(2, 3, 2, 2), (3,), (3,)],
    ),
}


def write_tape(number, name, function, options, shapes):
    torch.manual_seed(100 + number)
    args = [torch.randn(shape, requires_grad=True) for shape in shapes]
    result = function(*args, **options)
    cotangent = torch.randn(result.shape)
    gradients = torch.autograd.grad(result, args, cotangent)
    arrays = {"result": result, "cotangent": cotangent}
    for at, (arg, gradient) in enumerate(zip(args, gradients)):
        arrays |= {f"arg/{at}": arg, f"gradient/{at}": gradient}
    if "attn_mask" in options:
        arrays["mask"] = options["attn_mask"]
    save(HERE / "tape" / f"{name}.safetensors", arrays)


if __name__ == "__main__":
    (HERE / "tape").mkdir(exist_ok=True)
    for number, (name, case) in enumerate(MODELS.items()):
        with sdpa_kernel(SDPBackend.MATH):
            write_model(number, name, *case)
    for number, (name, case) in enumerate(TAPES.items()):
        write_tape(number, name, *case)
