"""Exports small networks from PyTorch, with the curvature that must come out of the files.

    pip install torch onnx onnxscript safetensors numpy
    python tests/python/export_networks.py FOLDER [--only NAME,...] [--exporters E,...]

Exporters: dynamo (optimize=False, free batch axis), optimized (its default), script (TorchScript's,
opset 17), script_folded (with its default constant folding), fixed (dynamo for one sample).
NAME.onnx gets NAME.safetensors with inputs, targets and expected numbers, computed densely in f64
for the weights of the file: Jacobians per sample by reverse mode, Hessians of losses by
torch.func. NAME.state.safetensors is PyTorch's state dictionary where the file's names differ.
"""

import argparse
import copy
import json
import pathlib
import sys
import warnings

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch.nn.attention import SDPBackend, sdpa_kernel

from networks import NETWORKS

TOP, DIRECTIONS = 5, 2
EXPORTERS = ("dynamo", "optimized", "script", "script_folded", "fixed")


def sample_axis(case, name):
    return case.axes.get(name, 0)


def make_inputs(case, samples):
    inputs = {}
    for name, spec in case.inputs.items():
        whole = isinstance(spec[-1], tuple)
        shape, axis = list(spec[-1] if whole else spec), sample_axis(case, name)
        if axis is not None:
            shape.insert(axis, samples)
        inputs[name] = torch.randint(0, spec[0], shape) if whole else torch.randn(shape)
    return inputs


def prediction(result):
    while not torch.is_tensor(result):
        result = next(iter(result.values() if isinstance(result, dict) else result))
    return result


def make_target(loss, output):
    if loss == "cross_entropy":
        return torch.randint(0, output.shape[1], (output.shape[0], *output.shape[2:]))
    if loss == "bce_with_logits":
        return torch.randint(0, 2, output.shape).double()
    return torch.randn(output.shape, dtype=torch.float64)


def summed_loss(loss, output, target):
    if loss == "cross_entropy":
        return F.cross_entropy(output, target, reduction="sum")
    if loss == "bce_with_logits":
        return F.binary_cross_entropy_with_logits(output, target, reduction="sum")
    return F.mse_loss(output, target, reduction="sum")


def expected(case, module, inputs, target, directions):
    """All numbers, of a module and inputs in f64."""
    params = {n: p for n, p in module.named_parameters() if p.requires_grad}
    names, values = list(params), list(params.values())
    sizes, samples = [p.numel() for p in values], len(target)

    def part(name, n):
        axis = sample_axis(case, name)
        return inputs[name] if axis is None else inputs[name].narrow(axis, n, 1)

    outputs, jacobians = [], []
    for n in range(samples):
        output = prediction(module(*(part(name, n) for name in inputs)))[0]
        rows = []
        for entry in output.flatten():
            grads = torch.autograd.grad(entry, values, retain_graph=True, allow_unused=True)
            filled = (torch.zeros_like(p) if g is None else g for p, g in zip(values, grads))
            rows.append(torch.cat([g.flatten() for g in filled]))
        outputs.append(output.detach())
        jacobians.append(torch.stack(rows))
    f = torch.stack(outputs)
    whole = prediction(module(*inputs.values())).detach()
    assert torch.allclose(f, whole, atol=1e-10), f"samples are mixed: {(f - whole).abs().max()}"
    terms = target.numel()

    def loss_of(flat, n):
        return summed_loss(case.loss, flat.view(1, *f.shape[1:]), target[n : n + 1]) / terms

    grads, hessians, roots = [], [], []
    for n in range(samples):
        flat = f[n].flatten()
        grads.append(torch.func.grad(loss_of)(flat, n))
        hessian = torch.func.hessian(loss_of)(flat, n)
        w, q = torch.linalg.eigh(hessian)
        hessians.append(hessian)
        roots.append(q * w.clamp(min=0).sqrt())
    out = {"expected/output": f, "expected/loss": sum(loss_of(f[n].flatten(), n) for n in range(samples)).view(1)}

    def put(key, vector, batch=()):
        for name, p, v in zip(names, values, vector.split(sizes, -1)):
            out[f"{key}/{name}"] = v.reshape((*batch, *p.shape))

    g = torch.stack([j.T @ d for j, d in zip(jacobians, grads)])
    put("expected/grad", g.sum(0))
    for name, v in zip(names, g.split(sizes, -1)):
        out[f"expected/batch_l2/{name}"] = (v**2).sum(-1)
    put("expected/diag_ggn", sum(((j.T @ s) ** 2).sum(1) for j, s in zip(jacobians, roots)))
    v = torch.cat([j.T @ s for j, s in zip(jacobians, roots)], 1)
    spectrum, vectors = torch.linalg.eigh(v.T @ v)
    top = min(TOP, int((spectrum > 1e-6 * spectrum[-1]).sum()))
    leading = spectrum[-top:]
    e = v @ vectors[:, -top:] / leading.sqrt()

    def along(directions):
        gammas, lambdas = [], []
        for j, d, h in zip(jacobians, grads, hessians):
            moved = j @ directions
            gammas.append(samples * d @ moved)
            lambdas.append(samples * (moved * (h @ moved)).sum(0))
        return torch.stack(gammas), torch.stack(lambdas)

    out["expected/spectrum"], out["expected/eigenvalues"] = spectrum, leading
    out["expected/gammas"], out["expected/lambdas"] = along(e)
    out["expected/direction_gammas"], out["expected/direction_lambdas"] = along(directions.T)
    put("directions", directions, (DIRECTIONS,))
    if case.loss == "cross_entropy" and f.dim() == 3:
        classes, places = f.shape[1:]
        gammas, lambdas = [], []
        for j, d, h in zip(jacobians, grads, hessians):
            moved = j @ directions.T
            by_place = lambda x: (samples * x).view(classes, places, -1).sum(0)
            gammas.append(by_place(d[:, None] * moved))
            lambdas.append(by_place(moved * (h @ moved)))
        out["expected/position_gammas"] = torch.stack(gammas)
        out["expected/position_lambdas"] = torch.stack(lambdas)
    hessian = hessian_product(case, module, inputs, target, values, directions[0].split(sizes))
    if hessian is not None:
        put("expected/hvp", torch.cat(hessian))
    return out, top


def hessian_product(case, module, inputs, target, values, direction):
    """The loss's Hessian times a direction; `None` unless differences of gradients agree."""

    def gradient(create):
        output = prediction(module(*inputs.values()))
        loss = summed_loss(case.loss, output, target) / target.numel()
        found = torch.autograd.grad(loss, values, create_graph=create, allow_unused=True)
        return [torch.zeros_like(p) if g is None else g for p, g in zip(values, found)]

    direction = [d.view_as(p) for d, p in zip(direction, values)]
    try:
        inner = sum((g * d).sum() for g, d in zip(gradient(True), direction))
        found = torch.autograd.grad(inner, values, allow_unused=True)
    except (RuntimeError, NotImplementedError):
        return None
    found = [(torch.zeros_like(p) if h is None else h).flatten() for p, h in zip(values, found)]
    step, sides = 1e-5, []
    for sign in (1, -1):
        with torch.no_grad():
            [p.add_(sign * step * d) for p, d in zip(values, direction)]
        sides.append([g.detach().flatten() for g in gradient(False)])
        with torch.no_grad():
            [p.sub_(sign * step * d) for p, d in zip(values, direction)]
    slope = torch.cat([(a - b) / (2 * step) for a, b in zip(*sides)])
    whole = torch.cat(found)
    return found if (slope - whole).abs().max() <= 1e-5 * whole.abs().max() else None


def export(case, module, inputs, exporter, path):
    names, args = list(inputs), tuple(inputs.values())
    axes = {n: {sample_axis(case, n): "batch"} for n in names if sample_axis(case, n) is not None}
    if exporter.startswith("script"):
        folded = exporter == "script_folded"
        mode = torch.onnx.TrainingMode.EVAL if folded else torch.onnx.TrainingMode.PRESERVE
        torch.onnx.export(
            module, args, path, dynamo=False, opset_version=17, input_names=names,
            dynamic_axes=axes, do_constant_folding=folded, training=mode,
        )
        return
    if exporter == "fixed":
        axis = {n: sample_axis(case, n) for n in names}
        args = tuple(a if axis[n] is None else a.narrow(axis[n], 0, 1) for n, a in inputs.items())
        shapes = None
    else:
        shapes = tuple({sample_axis(case, n): "batch"} if n in axes else {} for n in names)
    torch.onnx.export(
        module, args, path, dynamo=True, optimize=exporter == "optimized", input_names=names,
        dynamic_shapes=shapes, external_data=False, verbose=False,
    )


def slimmed(file):
    """The file without traces of the source; what says how arrays came about stays."""
    kept = ("InputSpec.kind", "folded_from")
    graph = file.graph
    functions = [node for function in file.functions for node in function.node]
    for item in [file, graph, *graph.node, *functions, *graph.value_info, *graph.input, *graph.output, *graph.initializer]:
        entries = [entry for entry in item.metadata_props if entry.key.endswith(kept)]
        del item.metadata_props[:]
        item.metadata_props.extend(entries)
        item.ClearField("doc_string")
    return file


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--only", default=",".join(NETWORKS))
    parser.add_argument("--exporters", default=",".join(EXPORTERS))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    failed = []
    for name in options.only.split(","):
        try:
            write(options.folder, name, options.exporters.split(","))
        except Exception as error:
            failed.append(name)
            print(f"{name}: {type(error).__name__}: {error}", flush=True)
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


def write(folder, name, exporters):
    case = NETWORKS[name]
    torch.manual_seed(sum(map(ord, name)))
    module = case.module()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        for key, buffer in module.named_buffers():
            if key.endswith("running_mean"):
                buffer.normal_(0, 0.2)
            elif key.endswith("running_var"):
                buffer.uniform_(0.5, 1.5)
    for key in case.frozen:
        module.get_parameter(key).requires_grad_(False)
    module.eval()
    inputs = make_inputs(case, case.samples)
    exact = copy.deepcopy(module).double()
    wide = {n: x.double() if x.is_floating_point() else x for n, x in inputs.items()}
    with sdpa_kernel(SDPBackend.MATH):
        torch.backends.mha.set_fastpath_enabled(False)
        target = make_target(case.loss, prediction(exact(*wide.values())))
        params = {n: p for n, p in exact.named_parameters() if p.requires_grad}
        sizes = sum(p.numel() for p in params.values())
        directions = F.normalize(torch.randn(DIRECTIONS, sizes, dtype=torch.float64))
        numbers, top = expected(case, exact, wide, target, directions)
    arrays = {f"input/{n}": x for n, x in wide.items()} | {"target": target} | numbers
    for exporter in exporters:
        stem = name if exporter == "dynamo" else f"{name}_{exporter}"
        path = folder / f"{stem}.onnx"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                export(case, module, inputs, exporter, str(path))
        except Exception as error:  # An exporter's limits are its own.
            print(f"{stem}: not exported: {type(error).__name__}: {str(error).splitlines()[0]}")
            path.unlink(missing_ok=True)
            continue
        file = slimmed(onnx.load(path))
        onnx.save(file, path)
        initializers = [t.name for t in file.graph.initializer]
        description = {
            "name": stem, "loss": {"op": case.loss}, "inputs": list(inputs),
            "parameters": {n: list(p.shape) for n, p in params.items()},
            "frozen": list(case.frozen), "exporter": exporter, "opset": file.opset_import[0].version,
            "ops": sorted({node.op_type for node in file.graph.node}),
            "initializers": initializers, "torch": torch.__version__, "top": top,
        }
        kept = {k: v.detach().contiguous().clone() for k, v in arrays.items()}
        save_file(kept, folder / f"{stem}.safetensors", {"case": json.dumps(description)})
        if not set(params) <= set(initializers):
            state = {k: v.detach().contiguous().clone() for k, v in module.state_dict().items()}
            save_file(state, folder / f"{stem}.state.safetensors")
    print(name, "written", "" if "expected/hvp/" + next(iter(params)) in numbers else "without Hessian product", flush=True)


if __name__ == "__main__":
    main()
