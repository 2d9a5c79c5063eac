"""Small networks whose exports cover what PyTorch's exporters write for plain modules."""

import math

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

NETWORKS = {}


class Case:
    """A network with its inputs: name to (shape of one sample, kind), and where samples are."""

    def __init__(self, module, loss, inputs, axes, samples, frozen):
        self.module, self.loss, self.inputs = module, loss, inputs
        self.axes, self.samples, self.frozen = axes, samples, frozen


def network(loss="cross_entropy", axes=None, samples=3, frozen=(), **inputs):
    """Registers a module. An input is a shape (floats), or (number of classes, shape) (integers)."""

    def register(module):
        NETWORKS[module.__name__] = Case(module, loss, inputs, axes or {}, samples, frozen)
        return module

    return register


def mlp(*widths, act=nn.Tanh):
    layers = []
    for i, o in zip(widths, widths[1:]):
        layers += [nn.Linear(i, o), act()]
    return nn.Sequential(*layers[:-1])


# Images.


@network(x=(2, 6, 6))
class dense_net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3, padding=1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(4 + 2 * i) for i in range(3)])
        self.convs = nn.ModuleList([nn.Conv2d(4 + 2 * i, 2, 3, padding=1, bias=False) for i in range(3)])
        self.norm, self.transition = nn.BatchNorm2d(10), nn.Conv2d(10, 5, 1, bias=False)
        self.last, self.head = nn.BatchNorm2d(5), nn.Linear(5, 3)

    def forward(self, x):
        parts = [self.stem(x)]
        for norm, conv in zip(self.norms, self.convs):
            parts.append(conv(F.relu(norm(torch.cat(parts, 1)))))
        x = F.avg_pool2d(self.transition(F.relu(self.norm(torch.cat(parts, 1)))), 2)
        x = F.adaptive_avg_pool2d(F.relu(self.last(x)), (1, 1))
        return self.head(torch.flatten(x, 1))


@network(x=(2, 4, 6))
class mlp_mixer(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(2, 5, 2, stride=2)
        self.n1, self.n2, self.n3 = nn.LayerNorm(5), nn.LayerNorm(5), nn.LayerNorm(5)
        self.tokens, self.channels = mlp(6, 7, 6, act=nn.GELU), mlp(5, 6, 5, act=nn.GELU)
        self.head = nn.Linear(5, 3)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = x + self.tokens(self.n1(x).transpose(1, 2)).transpose(1, 2)
        x = x + self.channels(self.n2(x))
        return self.head(self.n3(x).mean(1))


@network(x=(3, 6, 6))
class norms(nn.Module):
    def __init__(self):
        super().__init__()
        self.c1, self.g = nn.Conv2d(3, 4, 3, padding=1), nn.GroupNorm(2, 4)
        self.c2, self.i = nn.Conv2d(4, 4, 3, padding=1), nn.InstanceNorm2d(4, affine=True)
        self.lrn, self.plain = nn.LocalResponseNorm(3, alpha=0.5), nn.InstanceNorm2d(4)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = F.silu(self.g(self.c1(x)))
        x = self.lrn(torch.tanh(self.i(self.c2(x))))
        x = x + 0.1 * self.plain(x)
        return self.head(x.mean((2, 3)) + x.amax((2, 3)))


@network(loss="mse", x=(2, 3, 4))
class up_sampling(nn.Module):
    def __init__(self):
        super().__init__()
        self.c = nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect")
        self.t = nn.ConvTranspose2d(3, 2, 3, stride=2, padding=1, output_padding=1)
        self.d = nn.Conv2d(3, 2, 3, padding=1, padding_mode="replicate")
        self.r = nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular")
        self.o = nn.Conv2d(2, 1, 1)

    def forward(self, x):
        x = torch.tanh(self.c(x))
        a = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        b = F.interpolate(x, size=(6, 8), mode="bilinear", align_corners=True)
        c = F.interpolate(x, scale_factor=(2, 2), mode="nearest")
        d = F.interpolate(x, size=(6, 8), mode="bicubic", align_corners=False)
        y = torch.tanh(self.d(a + b * c - d)) + self.t(x)
        return self.o(F.pad(self.r(y), (1, 0, 0, 1), mode="reflect"))


@network(loss="mse", x=(2, 6))
class up_sampling_1d(nn.Module):
    def __init__(self):
        super().__init__()
        self.c, self.t = nn.Conv1d(2, 3, 3, padding="same"), nn.ConvTranspose1d(3, 2, 2, stride=2)

    def forward(self, x):
        x = torch.tanh(self.c(x))
        y = F.interpolate(x, scale_factor=2, mode="linear") + F.interpolate(x, size=12, mode="nearest")
        return F.pad(torch.tanh(self.t(x)), (1, 1), mode="replicate")[..., 1:-1] + y[:, :2]


@network(x=(3, 7, 9))
class pools(nn.Module):
    def __init__(self):
        super().__init__()
        self.c, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4 * 9 + 4 * 2, 3)
        self.m = nn.MaxPool2d(3, 2, padding=1, ceil_mode=True)
        self.a = nn.AvgPool2d(2, 2, padding=1, ceil_mode=True, count_include_pad=False)
        self.b = nn.AvgPool2d((3, 2), (1, 2), padding=1)
        self.s = nn.AdaptiveAvgPool2d((3, 3))

    def forward(self, x):
        x = torch.tanh(self.c(x))
        y = F.interpolate(self.m(x), size=(3, 4)) + F.interpolate(self.b(x), size=(3, 4))
        y = y + F.interpolate(self.a(x), size=(3, 4))
        y = F.interpolate(y, size=(6, 6), mode="bilinear")
        z = F.adaptive_max_pool2d(F.pad(x, (0, 1)), (1, 2))
        return self.head(torch.cat([self.s(y).flatten(1), z.flatten(1)], -1))


@network(x=(4, 4, 4))
class mobile(nn.Module):
    def __init__(self):
        super().__init__()
        self.expand, self.depth = nn.Conv2d(4, 6, 1), nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.squeeze, self.excite = nn.Conv2d(6, 2, 1), nn.Conv2d(2, 6, 1)
        self.project, self.head = nn.Conv2d(6, 4, 1), nn.Linear(4, 3)

    def forward(self, x):
        y = F.hardswish(self.depth(F.relu6(self.expand(x))))
        s = F.adaptive_avg_pool2d(y, 1)
        y = y * F.hardsigmoid(self.excite(F.relu(self.squeeze(s))))
        x = x + self.project(y)
        return self.head(x.mean([2, 3]))


@network(x=(2, 4, 4))
class folded_norm(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Linear(12, 3)

    def forward(self, x):
        x = F.relu(self.norm(self.conv(x)))
        return self.head(x.view(x.size(0), -1))


@network(loss="mse", x=(4, 3, 3))
class shuffles(nn.Module):
    def __init__(self):
        super().__init__()
        self.c, self.u, self.d = nn.Conv2d(4, 8, 1), nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(8, 4, 1)

    def forward(self, x):
        y = self.u(torch.sin(F.pixel_shuffle(self.c(x), 2)))
        y = self.d(torch.tanh(F.pixel_unshuffle(y, 2)))
        n, c, h, w = y.shape
        return y.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


@network(x=(2, 3, 4, 4))
class volumes(nn.Module):
    def __init__(self):
        super().__init__()
        self.c, self.p = nn.Conv3d(2, 3, 2, padding=1), nn.AvgPool3d(2)
        self.t, self.m = nn.ConvTranspose3d(3, 2, 2), nn.MaxPool3d(2, padding=1, ceil_mode=True)
        self.n, self.head = nn.GroupNorm(1, 2), nn.Linear(2, 3)

    def forward(self, x):
        x = self.m(self.n(self.t(self.p(torch.tanh(self.c(x))))))
        return self.head(F.adaptive_avg_pool3d(x, 1).flatten(1))


@network(x=(3, 5, 5))
class weight_norms(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = weight_norm(nn.Conv2d(3, 3, 3))
        self.hidden, self.head = weight_norm(nn.Linear(27, 5)), weight_norm(nn.Linear(5, 3), dim=None)

    def forward(self, x):
        x = F.elu(self.conv(x)).flatten(1)
        return self.head(F.celu(self.hidden(x), alpha=0.7))


@network(x=(6,))
class computed_weights(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(5, 6))
        self.u = nn.Parameter(torch.randn(3, 5))
        self.s = nn.Parameter(torch.randn(5))
        self.b = nn.Parameter(torch.randn(3))

    def forward(self, x):
        w = self.w / self.w.norm(dim=1, keepdim=True) * torch.exp(self.s).unsqueeze(1)
        u = (self.u - self.u.mean(1, keepdim=True)) / self.u.std(1, keepdim=True)
        return F.linear(torch.tanh(F.linear(x, w)), F.softmax(u, 1) * u, self.b)


@network(x=(5,))
class spectral_norms(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden, self.head = spectral_norm(nn.Linear(5, 4)), nn.Linear(4, 3)

    def forward(self, x):
        return self.head(torch.tanh(self.hidden(x)))


# Sets and graphs.


@network(x=(7, 3))
class point_net(nn.Module):
    def __init__(self):
        super().__init__()
        self.align = mlp(3, 6, 9, act=nn.ReLU)
        self.each, self.head = mlp(3, 8, 6, act=nn.ReLU), mlp(6, 5, 4, act=nn.ReLU)

    def forward(self, x):
        turn = self.align(x).max(dim=1)[0].view(-1, 3, 3) + torch.eye(3)
        x = torch.bmm(x, turn)
        return self.head(self.each(x).max(dim=1).values)


@network(x=(6, 3))
class point_net_conv(nn.Module):
    def __init__(self):
        super().__init__()
        self.c1, self.b1 = nn.Conv1d(3, 5, 1), nn.BatchNorm1d(5)
        self.c2, self.f1 = nn.Conv1d(10, 4, 1), nn.Linear(4, 5)
        self.b2, self.f2 = nn.BatchNorm1d(5), nn.Linear(5, 3)

    def forward(self, x):
        x = F.relu(self.b1(self.c1(x.transpose(2, 1))))
        g = torch.max(x, 2, keepdim=True)[0].repeat(1, 1, x.shape[2])
        x = torch.max(self.c2(torch.cat([x, g], 1)), 2)[0].view(-1, 4)
        return self.f2(F.relu(self.b2(self.f1(x))))


@network(loss="cross_entropy", x=(5, 3), adjacency=(5, 5), axes={"adjacency": None})
class graph_conv(nn.Module):
    def __init__(self):
        super().__init__()
        self.w1, self.w2 = nn.Linear(3, 6, bias=False), nn.Linear(6, 4)
        self.w3 = nn.Linear(6, 4, bias=False)

    def forward(self, x, adjacency):
        a = torch.sigmoid(adjacency) + torch.eye(5)
        scale = a.sum(1).rsqrt()
        a = scale[:, None] * a * scale[None, :]
        h = torch.relu(a @ self.w1(x))
        return (torch.matmul(a, self.w2(h)) + self.w3(h)).mean(1)


@network(loss="mse", x=(5, 3))
class pairwise(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.scale = nn.Linear(3, 4), nn.Parameter(torch.tensor([0.3]))
        self.head = nn.Linear(5, 2)

    def forward(self, x):
        h = torch.tanh(self.embed(x))
        d = ((h[:, :, None, :] - h[:, None, :, :]) ** 2).sum(-1)
        k = torch.exp(-d * self.scale.exp()) + torch.sqrt(d + 1e-2)
        c = F.cosine_similarity(h[:, :1], h, dim=-1)
        return self.head(k.mean(2) + c + F.normalize(h, dim=-1).sum(-1))


# Sequences.


@network(x=(5, 3))
class bidirectional_gru(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(3, 4, num_layers=2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        out, last = self.gru(x)
        return self.head(out[:, -1] + torch.cat([last[-2], last[-1]], dim=1))


@network(x=(5, 3), h=(4,))
class gru_states(nn.Module):
    def __init__(self):
        super().__init__()
        self.start, self.gru = nn.Linear(4, 4), nn.GRU(3, 4, batch_first=True)
        self.head = nn.Linear(4, 3)

    def forward(self, x, h):
        h = torch.tanh(self.start(h)).unsqueeze(0)
        return self.head(self.gru(x, h)[0].mean(1))


@network(x=(4, 3), axes={"x": 1})
class time_major_lstm(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 4, num_layers=2)
        self.h, self.c, self.head = nn.Linear(3, 8), nn.Linear(3, 8), nn.Linear(12, 3)

    def forward(self, x):
        h = self.h(x[0]).view(-1, 2, 4).transpose(0, 1).contiguous()
        c = self.c(x[0]).view(-1, 2, 4).transpose(0, 1).contiguous()
        out, (hn, cn) = self.lstm(x, (h, c))
        return self.head(torch.cat([out[-1], hn[0], cn[1]], -1))


@network(x=(4, 3))
class recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.RNN(3, 4, batch_first=True, bidirectional=True)
        self.b = nn.LSTM(8, 3, batch_first=True, bias=False)
        self.c = nn.RNN(3, 3, nonlinearity="relu", batch_first=True)
        self.head = nn.Linear(3, 3)

    def forward(self, x):
        x, _ = self.a(x)
        x, _ = self.b(x)
        _, h = self.c(x)
        return self.head(h.squeeze(0))


@network(x=(3, 3))
class cells(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.gru, self.rnn = nn.LSTMCell(3, 3), nn.GRUCell(3, 4), nn.RNNCell(4, 3)
        self.head = nn.Linear(3, 3)

    def forward(self, x):
        h = x.new_zeros(x.shape[0], 3)
        c, g, r = torch.zeros_like(h), torch.zeros(x.size(0), 4), torch.zeros(x.size(0), 3)
        for t in range(x.shape[1]):
            h, c = self.lstm(x[:, t], (h, c))
            g = self.gru(h, g.to(h.dtype))
            r = self.rnn(g, r.to(h.dtype))
        return self.head(r)


@network(x=(8, 2))
class wave_net(nn.Module):
    def __init__(self):
        super().__init__()
        self.start = nn.Conv1d(2, 3, 1)
        self.filters = nn.ModuleList([nn.Conv1d(3, 3, 2, dilation=2**i) for i in range(3)])
        self.gates = nn.ModuleList([nn.Conv1d(3, 3, 2, dilation=2**i) for i in range(3)])
        self.skips = nn.ModuleList([nn.Conv1d(3, 4, 1) for _ in range(3)])
        self.end = nn.Conv1d(4, 3, 1)

    def forward(self, x):
        x, skip = self.start(x.transpose(1, 2)), 0
        for i, (f, g, s) in enumerate(zip(self.filters, self.gates, self.skips)):
            p = F.pad(x, (2**i, 0))
            y = torch.tanh(f(p)) * torch.sigmoid(g(p))
            x, skip = x + y, skip + s(y)
        return self.end(torch.relu(skip))[:, :, -1]


def rotate(x, theta=100.0):
    d, t = x.shape[-1], x.shape[-2]
    rates = 1.0 / theta ** (torch.arange(0, d, 2, device=x.device).to(x.dtype) / d)
    angles = torch.outer(torch.arange(t, device=x.device).to(x.dtype), rates)
    angles = torch.cat([angles, angles], -1)
    half = torch.cat([-x[..., d // 2 :], x[..., : d // 2]], -1)
    return x * angles.cos() + half * angles.sin()


class RmsNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width) + 0.1 * torch.randn(width))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * self.weight


@network(x=(9, (5,)))
class llama(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(9, 8)
        self.q, self.k = nn.Linear(8, 8, bias=False), nn.Linear(8, 4, bias=False)
        self.v, self.o = nn.Linear(8, 4, bias=False), nn.Linear(8, 8, bias=False)
        self.n1, self.n2, self.n3 = RmsNorm(8), RmsNorm(8), nn.RMSNorm(8)
        self.gate, self.up, self.down = (nn.Linear(*s, bias=False) for s in ((8, 6), (8, 6), (6, 8)))

    def attention(self, x):
        n, t, _ = x.shape
        q = rotate(self.q(x).view(n, t, 4, 2).transpose(1, 2))
        k = rotate(self.k(x).view(n, t, 2, 2).transpose(1, 2))
        v = self.v(x).view(n, t, 2, 2).transpose(1, 2)
        k, v = k.repeat_interleave(2, dim=1), v.repeat_interleave(2, dim=1)
        s = q @ k.transpose(-2, -1) / math.sqrt(2)
        mask = torch.triu(torch.ones(t, t, dtype=torch.bool, device=x.device), diagonal=1)
        s = s.masked_fill(mask, float("-inf"))
        return self.o((s.softmax(-1) @ v).transpose(1, 2).reshape(n, t, 8))

    def forward(self, x):
        x = self.tokens(x)
        x = x + self.attention(self.n1(x))
        h = self.n2(x)
        x = x + self.down(F.silu(self.gate(h)) * self.up(h))
        return F.linear(self.n3(x), self.tokens.weight).transpose(1, 2)


@network(x=(6, 4))
class grouped_attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.kv, self.o = nn.Linear(4, 8), nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, x):
        n, t, _ = x.shape
        q = self.q(x).view(n, t, 4, 2).transpose(1, 2)
        k, v = self.kv(x).view(n, t, 2, 2, 2).permute(2, 0, 3, 1, 4).unbind(0)
        k, v = (a[:, :, None].expand(n, 2, 2, t, 2).reshape(n, 4, t, 2) for a in (k, v))
        at = torch.arange(t, device=x.device)
        distance = at[:, None] - at[None, :]
        window = (distance >= 0) & (distance < 3)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=window)
        return self.o(y.transpose(1, 2).flatten(2)).mean(1)


@network(x=(5, 4))
class causal_attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv, self.o, self.head = nn.Linear(4, 12), nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        q, k, v = (a.unflatten(-1, (2, 2)).transpose(1, 2) for a in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        y = x + self.o(y.transpose(1, 2).reshape(x.shape))
        return self.head(y[:, -1])


@network(x=(5, 4), mask=(2, (5,)))
class padded_attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention, self.head = nn.MultiheadAttention(4, 2, batch_first=True), nn.Linear(4, 3)

    def forward(self, x, mask):
        keys = (mask.cumsum(1) + mask).gt(100)
        y, _ = self.attention(x, x, x, key_padding_mask=keys, need_weights=False)
        kept = 1.0 + mask.to(x.dtype).unsqueeze(-1)
        return self.head((y * kept).sum(1) / kept.sum(1))


@network(x=(5, 4), axes={"x": 1})
class time_major_attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention, self.head = nn.MultiheadAttention(4, 2), nn.Linear(4, 3)

    def forward(self, x):
        y, w = self.attention(x, x, x)
        return self.head(y.mean(0)) + w.amax((1, 2)).unsqueeze(1)


@network(x=(4, 4))
class encoder_layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(4, 2, 6, batch_first=True, activation="gelu")
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.layer(x)[:, 0])


@network(x=(4, 4), axes={"x": 1})
class time_major_encoder(nn.Module):
    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(4, 2, 6, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[0], dtype=x.dtype)
        return self.head(self.layers(x, mask=mask, is_causal=True)[-1])


@network(x=(3, 4), memory=(4, 4))
class decoder_layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerDecoderLayer(4, 2, 6, batch_first=True, activation="relu")
        self.head = nn.Linear(4, 3)

    def forward(self, x, memory):
        return self.head(self.layer(x, memory).mean(1))


@network(x=(3, 4), y=(4, 4))
class einsum_attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.k = nn.Parameter(torch.randn(4, 2, 3)), nn.Parameter(torch.randn(4, 2, 3))
        self.v, self.o = nn.Parameter(torch.randn(4, 2, 3)), nn.Parameter(torch.randn(2, 3, 3))
        self.b = nn.Bilinear(4, 4, 3)

    def forward(self, x, y):
        q = torch.einsum("btd,dhe->bhte", x, self.q)
        k, v = torch.einsum("bsd,dhe->bhse", y, self.k), torch.einsum("bsd,dhe->bhse", y, self.v)
        w = torch.softmax(torch.einsum("bhte,bhse->bhts", q, k) / 3**0.5, -1)
        z = torch.einsum("bhts,bhse,heo->bto", w, v, self.o)
        return z.mean(1) + self.b(x.mean(1), y.mean(1))


@network(x=(11, (5,)))
class text(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens, self.places = nn.Embedding(11, 6, padding_idx=0), nn.Embedding(8, 6)
        self.mix = nn.Linear(6, 6)

    def forward(self, x):
        at = torch.arange(x.size(1), device=x.device)
        h = self.tokens(x) + self.places(at)[None]
        h = h + torch.tanh(self.mix(h)).cumsum(1) / 5
        return F.linear(h, self.tokens.weight).permute(0, 2, 1)


@network(x=(11, (4,)))
class bag_of_words(nn.Module):
    def __init__(self):
        super().__init__()
        self.bag, self.head = nn.Embedding(11, 5), mlp(5, 4, 3)

    def forward(self, x):
        return self.head(self.bag(x).mean(dim=1))


@network(x=(11, (4,)))
class embedding_bag(nn.Module):
    def __init__(self):
        super().__init__()
        self.bag, self.head = nn.EmbeddingBag(11, 5, mode="mean"), mlp(5, 4, 3)

    def forward(self, x):
        return self.head(self.bag(x))


@network(x=(6, 4))
class sine_positions(nn.Module):
    def __init__(self):
        super().__init__()
        t, d = torch.arange(6.0)[:, None], torch.exp(torch.arange(0, 4, 2.0) * -0.7)
        table = torch.zeros(6, 4)
        table[:, 0::2], table[:, 1::2] = torch.sin(t * d), torch.cos(t * d)
        self.register_buffer("table", table)
        self.mix, self.head = nn.Linear(4, 4), nn.Linear(8, 3)

    def forward(self, x):
        t = x.shape[1]
        x = torch.tanh(self.mix(x + self.table[:t]))
        r = torch.exp(torch.arange(0, 4, 2, dtype=x.dtype) * -0.5)
        a = torch.arange(t, dtype=x.dtype).unsqueeze(1) * r
        p = torch.stack([a.sin(), a.cos()], dim=2).view(t, 4)
        return self.head(torch.cat([(x * p).sum(1), x[:, ::2].amax(1)], -1))


# Functions.


@network(loss="mse", x=(2,))
class siren(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("rates", torch.randn(2, 3))
        self.a, self.b, self.c = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 2)

    def forward(self, x):
        p = 2 * math.pi * x @ self.rates
        x = torch.cat([p.sin(), p.cos()], -1)
        x = torch.sin(3.0 * self.a(x))
        return self.c(torch.atan(torch.cos(self.b(x)) + torch.tan(0.1 * x)))


@network(loss="mse", x=(4,))
class rational(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 5), nn.Linear(5, 2)
        self.p = nn.Parameter(torch.tensor([0.1, 1.0, 0.5, 0.3]))
        self.q = nn.Parameter(torch.tensor([0.4, 0.7]))

    def act(self, x):
        powers = torch.stack([x**i for i in range(4)], -1)
        p = (powers * self.p).sum(-1)
        q = 1 + torch.abs(self.q[0] * x) + self.q[1] ** 2 * x.pow(2)
        return p / q

    def forward(self, x):
        x = self.act(self.a(x))
        return self.act(self.b(x)) + torch.reciprocal(1 + x.square()).sum(1, keepdim=True)


@network(x=(5,))
class activations(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(5, 5) for _ in range(8)])
        self.prelu, self.each = nn.PReLU(), nn.PReLU(5)
        self.glu, self.head = nn.Linear(5, 10), nn.Linear(5, 3)

    def forward(self, x):
        acts = [
            F.mish, self.prelu, self.each, F.softplus, F.hardswish, F.elu,
            lambda x: F.celu(x, 1.3), lambda x: F.leaky_relu(x, 0.2),
        ]
        for layer, act in zip(self.layers, acts):
            x = x + act(layer(x))
        x = F.glu(self.glu(x), dim=-1)
        x = F.selu(x) + F.softsign(x) + F.hardtanh(x, -0.7, 0.9) + F.tanhshrink(x) + F.softshrink(x, 0.1)
        x = x + F.logsigmoid(x) + F.gelu(x, approximate="tanh") + F.hardsigmoid(x)
        x = x + F.softmin(x, -1) + F.softplus(x, beta=2.0) + F.hardshrink(x, 0.2)
        return F.log_softmax(self.head(x), dim=-1)


@network(loss="mse", x=(4, 5))
class functions(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(5, 5), nn.Linear(5, 3)

    def forward(self, x):
        y = self.a(x)
        u, v = torch.split(y, [2, 2], dim=1)
        z = torch.where(u > 0, u * v, torch.exp(u) - 1).clamp(-1.5, 1.5)
        s = torch.stack([y.std(1), y.var(1, unbiased=False), y.norm(dim=1), y.logsumexp(1)], 1)
        m = torch.maximum(y, y.flip(1)) - torch.minimum(y, torch.roll(y, 1, 1))
        t = torch.erf(y) + torch.log1p(y.abs()) + torch.exp(0.1 * y) + torch.floor(y) * y
        t = t + torch.sinh(0.1 * y) + torch.cosh(0.1 * y) + torch.asinh(y) + torch.sign(y) * y
        t = t + torch.asin(0.5 * torch.tanh(y)) + torch.atan2(y, 2 + y.square()) + (y % 0.5) + y.log2().nan_to_num(0.0)
        w = y.prod(1, keepdim=True) + y.amin(1, keepdim=True) + y.sort(1)[0][:, 2:3]
        return self.b(s + m + t + w + torch.cat([z, z], 1)).tril()


@network(loss="bce_with_logits", x=(4,), k=(3, (2,)))
class choices(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.values, self.head = nn.Linear(3, 4), nn.Linear(4, 6), nn.Linear(8, 2)

    def forward(self, x, k):
        h = torch.tanh(self.embed(F.one_hot(k, 3).to(x.dtype))).mean(1)
        v = self.values(x)
        g = torch.gather(v, 1, k)
        top = v.topk(2, dim=1).values
        return self.head(torch.cat([h * x, g, top], 1)) + v[:, v.shape[1] // 2 :].sum(1, keepdim=True)


@network(loss="mse", x=(6,), y=(6,))
class shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.tower, self.scale = mlp(6, 5, 4), nn.Parameter(torch.ones(()))

    def forward(self, x, y):
        a, b = self.tower(x), self.tower(y)
        d = torch.abs(a - b) * self.scale
        return torch.stack((d.sum(1), (a * b).sum(-1)), dim=1)


@network(x=(5,), frozen=("body.0.weight", "body.0.bias"))
class frozen(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = mlp(5, 6, 4), nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.body(x))


@network(x=(5,))
class two_outputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head, self.value = mlp(5, 6, 4), nn.Linear(4, 3), nn.Linear(4, 1)

    def forward(self, x):
        h = self.body(x)
        return self.head(h), {"value": self.value(h), "features": (h, x)}


@network(x=(2, 3, 4))
class rearranged(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(24, 12), nn.Linear(12, 3)
        self.cls = nn.Parameter(torch.randn(1, 1, 3))

    def forward(self, x):
        x = x.view(x.size(0), -1)
        x = torch.tanh(self.a(x)).reshape(x.shape[0], 4, 3)
        x = torch.cat([self.cls.expand(x.shape[0], -1, -1), x], dim=1)
        x = x[:, 1:] + x[:, :1]
        x = torch.cat([part.squeeze(1) for part in x.split(1, dim=1)], dim=-1)
        x = torch.movedim(x.unflatten(1, (2, 2, 3)), 1, 3).contiguous().view(-1, 12)
        return self.b(x)


@network(loss="mse", x=(3, 8, 8))
class windows(nn.Module):
    """Shifted windows as Swin has them, and patches as `unfold` cuts them."""

    def __init__(self):
        super().__init__()
        self.embed, self.mix = nn.Linear(12, 4), nn.Linear(4, 4)
        self.table = nn.Parameter(0.1 * torch.randn(9, 1))
        c = torch.stack(torch.meshgrid(torch.arange(2), torch.arange(2), indexing="ij")).flatten(1)
        d = (c[:, :, None] - c[:, None, :]).permute(1, 2, 0) + 1
        self.register_buffer("offsets", d[..., 0] * 3 + d[..., 1])
        self.merge = nn.Linear(16, 2)

    def forward(self, x):
        n = x.shape[0]
        x = self.embed(F.unfold(x, 2, stride=2).transpose(1, 2)).view(n, 4, 4, 4)
        x = torch.roll(x, shifts=(-1, -1), dims=(1, 2))
        w = x.view(n, 2, 2, 2, 2, 4).permute(0, 1, 3, 2, 4, 5).reshape(-1, 4, 4)
        s = w @ w.transpose(1, 2) + self.table[self.offsets.view(-1)].view(4, 4)
        w = self.mix(s.softmax(-1) @ w)
        x = w.view(n, 2, 2, 2, 2, 4).permute(0, 1, 3, 2, 4, 5).reshape(n, 4, 4, 4)
        x = torch.cat([x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]], -1)
        return self.merge(x).flatten(1, 2)
