"""Measures one task of the Python peer (ViViT and BackPACK on PyTorch) and prints one line of JSON.

The command line and the line are those of `cargo xtask bench`, the networks those of `crates/nn/src/networks.rs`, and a repetition is what
`Problem::solve` in `benches/src/problem.rs` does: forward pass, backward pass, results; all parameters are one group.
"""

import argparse
import json
import platform
import resource
import statistics
import sys
import time
import warnings
from importlib.metadata import version

import torch
from torch import nn


def symeig(matrix, eigenvectors=False, upper=True):
    """What PyTorch's own message says to use in place of `Tensor.symeig`, which ViViT calls and PyTorch 2 has removed."""
    uplo = "U" if upper else "L"
    if eigenvectors:
        return torch.linalg.eigh(matrix, UPLO=uplo)
    return torch.linalg.eigvalsh(matrix, UPLO=uplo), torch.empty(0)


torch.symeig = torch.Tensor.symeig = symeig

from backpack import backpack, extend
from backpack.custom_module.branching import Parallel
from backpack.custom_module.pad import Pad
from vivit import (
    DirectionalDampedNewtonComputation,
    DirectionalDerivativesComputation,
    EighComputation,
    EigvalshComputation,
)

SEEDS = (0, 1, 2)  # of the model, the batch and the Monte-Carlo draws
DAMPING = 1.0


def demo():
    return [nn.Linear(7, 5), nn.ReLU(), nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 3)], (7,), 3


def mlp():
    layers = [nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 10)]
    return layers, (1, 28, 28), 10


def net2c2d():
    layers = [
        *(nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2, 2)),
        *(nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2, 2)),
        *(nn.Flatten(), nn.Linear(3136, 1024), nn.ReLU(), nn.Linear(1024, 10)),
    ]
    return layers, (1, 28, 28), 10


def net3c3d():
    def pool():
        return nn.ZeroPad2d((0, 1, 0, 1)), nn.MaxPool2d(3, 2)

    layers = [
        *(nn.Conv2d(3, 64, 5), nn.ReLU(), *pool()),
        *(nn.Conv2d(64, 96, 3), nn.ReLU(), *pool()),
        *(nn.Conv2d(96, 128, 3, padding=1), nn.ReLU(), *pool()),
        *(nn.Flatten(), nn.Linear(1152, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 10)),
    ]
    return layers, (3, 32, 32), 10


def allcnnc():
    convolutions = [
        nn.Conv2d(3, 96, 3, padding=1),
        nn.Conv2d(96, 96, 3, padding=1),
        nn.Conv2d(96, 96, 3, padding=1, stride=2),
        nn.Conv2d(96, 192, 3, padding=1),
        nn.Conv2d(192, 192, 3, padding=1),
        nn.Conv2d(192, 192, 3, padding=1, stride=2),
        nn.Conv2d(192, 192, 3),
        nn.Conv2d(192, 192, 1),
        nn.Conv2d(192, 100, 1),
    ]
    layers = [layer for convolution in convolutions for layer in (convolution, nn.ReLU())]
    return [*layers, nn.AvgPool2d(6, 6), nn.Flatten()], (3, 32, 32), 100


def resnet(blocks):
    """The CIFAR residual network with three stages of `blocks` blocks and shortcuts without parameters (option A)."""

    def conv(inputs, outputs, stride):
        return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)

    layers, inputs = [conv(3, 16, 1), nn.BatchNorm2d(16), nn.ReLU()], 16
    for stage, outputs in enumerate((16, 32, 64)):
        for block in range(blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            body = nn.Sequential(
                *(conv(inputs, outputs, stride), nn.BatchNorm2d(outputs), nn.ReLU()),
                *(conv(outputs, outputs, 1), nn.BatchNorm2d(outputs)),
            )
            # Every other pixel, and channels of zeros on both sides.
            side = (outputs - inputs) // 2
            halved = nn.Sequential(nn.AvgPool2d(1, 2), Pad((0, 0, 0, 0, side, side)))
            shortcut = halved if stride == 2 else nn.Identity()
            layers += [Parallel(shortcut, body), nn.ReLU()]
            inputs = outputs
    return [*layers, nn.AvgPool2d(8, 8), nn.Flatten(), nn.Linear(64, 10)], (3, 32, 32), 10


NETS = {
    "demo": demo,
    "mlp": mlp,
    "net2c2d": net2c2d,
    "net3c3d": net3c3d,
    "allcnnc": allcnnc,
    "resnet32": lambda: resnet(5),
    "resnet56": lambda: resnet(9),
}
TASKS = ("grad", "eigvalsh", "eigh", "dd", "newton")


class Problem:
    """A network in evaluation mode, a standard normal batch, and a mean loss: squared error for the demo, cross-entropy for the others."""

    def __init__(self, net, samples):
        torch.manual_seed(SEEDS[0])
        layers, shape, classes = NETS[net]()
        self.model = nn.Sequential(*layers).eval()
        torch.manual_seed(SEEDS[1])
        self.input = torch.randn(samples, *shape)
        if net == "demo":
            self.loss, self.target = nn.MSELoss(), torch.randn(samples, classes)
        else:
            self.loss, self.target = nn.CrossEntropyLoss(), torch.randint(classes, (samples,))
        torch.manual_seed(SEEDS[2])

    def params(self):
        return list(self.model.parameters())

    def backward(self):
        self.loss(self.model(self.input), self.target).backward()

    def solve(self, task, k, draws, sub):
        """Computes `task`, from the forward pass on."""
        self.model.zero_grad(set_to_none=True)
        if task == "grad":
            return self.backward()
        group = {"params": self.params()}
        if task != "eigvalsh":
            group["criterion"] = lambda evals: list(range(evals.numel() - k, evals.numel()))
        if task == "newton":
            group["damping"] = lambda evals, evecs, gammas, lambdas: torch.full_like(evals, DAMPING)
        if task in ("eigvalsh", "eigh"):
            kind = EigvalshComputation if task == "eigvalsh" else EighComputation
            computation = kind(subsampling=sub, mc_samples=draws)
            extensions = [computation.get_extension()]
        else:
            kind = DirectionalDerivativesComputation if task == "dd" else DirectionalDampedNewtonComputation
            computation = kind(subsampling_ggn=sub, mc_samples_ggn=draws)
            extensions = computation.get_extensions()
        with backpack(*extensions, extension_hook=computation.get_extension_hook([group])):
            self.backward()
        return computation.get_result(group)


def positive(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number, at least 1")
    return number


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("net", choices=NETS)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("samples", metavar="N", type=positive, help="number of samples")
    parser.add_argument("--k", type=positive, help="directions (10; demo: 4)")
    parser.add_argument("--mc", type=positive, help="Monte-Carlo GGN of this many draws (exact; one at most for dd and newton)")
    parser.add_argument("--sub", type=positive, help="GGN of the first samples (all)")
    parser.add_argument("--reps", type=positive, default=5, help="timed repetitions, after one that is not (5)")
    parser.add_argument("--threads", type=positive, help="threads (one per core)")
    parser.add_argument("--dtype", choices=("f32", "f64"), default="f32")
    parser.add_argument("--device", choices=("cpu",), default="cpu")
    return parser.parse_args()


def be_the_first_to_go():
    """Where memory runs out, this process is ended before any other (Linux)."""
    try:
        with open("/proc/self/oom_score_adj", "w") as score:
            score.write("1000")
    except OSError:
        pass


def peak_megabytes():
    """The largest resident memory of this process so far, in 10⁶ bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e6


def measure(args):
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    k = args.k if args.k is not None else (4 if args.net == "demo" else 10)
    sub = None if args.sub is None else list(range(args.sub))
    # BackPACK makes tensors of its own with this type, too.
    torch.set_default_dtype({"f32": torch.float32, "f64": torch.float64}[args.dtype])
    problem = Problem(args.net, args.samples)
    if args.task != "grad":
        # The gradient is PyTorch's own.
        extend(problem.model)
        extend(problem.loss)
    seconds = []
    for _ in range(args.reps + 1):
        start = time.perf_counter()
        problem.solve(args.task, k, args.mc or 0, sub)
        seconds.append(time.perf_counter() - start)
    seconds = seconds[1:]
    return {
        **{"net": args.net, "task": args.task, "N": args.samples, "k": k, "mc": args.mc, "sub": args.sub},
        "params": sum(param.numel() for param in problem.params()),
        **{"dtype": args.dtype, "device": f"cpu ({platform.machine()})", "threads": torch.get_num_threads()},
        **{"median_s": statistics.median(seconds), "min_s": min(seconds), "peak_mb": round(peak_megabytes(), 1)},
    }


def line(fields):
    return json.dumps(fields, separators=(",", ":"))


def main():
    if sys.argv[1:] == ["--versions"]:
        names = {"torch": "torch", "backpack": "backpack-for-pytorch", "vivit": "vivit-for-pytorch"}
        print(line({"python": platform.python_version(), **{name: version(of) for name, of in names.items()}}))
        return
    args = arguments()
    be_the_first_to_go()
    # Inputs need no gradient here.
    warnings.filterwarnings("ignore", "Full backward hook is firing")
    try:
        print(line(measure(args)))
    except (MemoryError, NotImplementedError, RuntimeError, AssertionError) as error:
        text = " ".join(str(error).split())
        sys.exit(f"{type(error).__name__}: {text}" if text else type(error).__name__)


if __name__ == "__main__":
    main()
