"""Packs ONNX's own node tests (data of the package `onnx`) into one safetensors file.

usage: python pack_onnx_nodes.py OUT.safetensors [OPERATION...]   (pip install onnx safetensors)

Each test NAME becomes NAME/model (the bytes of its file), NAME/input/I/NAME and NAME/output/I; of
tests with several data sets the first. Tests of other domains, of arrays with texts, complex or
short numbers, or larger than 64 KiB are left out.
"""

import os
import sys

import numpy as np
import onnx
from onnx.backend.test.case.node import collect_testcases
from safetensors.numpy import save_file

out, wanted = sys.argv[1], set(sys.argv[2:])
arrays, counts, left = {}, {}, {}
# Random results, and one whose stored result is rounded to four digits.
skipped = ("training_dropout", "averagepool_2d_ceil_last_window_starts_on_pad", "bernoulli")
good = {np.dtype(t) for t in ("float32", "float64", "int32", "int64", "uint8", "int8", "bool")}
largest = 1 << 16


def dense(values):
    values = list(values.values()) if isinstance(values, dict) else values
    if not all(isinstance(v, (np.ndarray, np.generic)) for v in values):
        raise ValueError("lists")
    values = [np.array(v, order="C") for v in values]
    if any(v.dtype not in good for v in values) or sum(v.nbytes for v in values) > largest:
        raise ValueError("type or size")
    return values


for case in collect_testcases(None):
    name, model = case.name.removeprefix("test_"), case.model
    ops = {(n.domain, n.op_type) for n in model.graph.node}
    opsets = [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")]
    if any(d not in ("", "ai.onnx") for d, _ in ops) or not opsets or max(opsets) < 13:
        continue
    if name.endswith("_expanded") or name.startswith(skipped) or (wanted and not all(op in wanted for _, op in ops)):
        continue
    try:
        inputs, outputs = (dense(values) for values in case.data_sets[0])
    except ValueError as error:
        left[name] = str(error)
        continue
    arrays[f"{name}/model"] = np.frombuffer(model.SerializeToString(), np.uint8)
    for kind, values in ("input", inputs), ("output", outputs):
        for at, value in enumerate(values):
            arrays[f"{name}/{kind}/{at}"] = value
    for _, op in ops:
        counts[op] = counts.get(op, 0) + 1
save_file(arrays, out, {"onnx": onnx.__version__})
print(len([k for k in arrays if k.endswith("/model")]), "tests", os.path.getsize(out) // 1024, "KiB;", len(left), "left out")
print(sorted(counts.items()))
