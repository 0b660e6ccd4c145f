"""What a training step costs: ``python -m benchmarks.training.throughput``.

Counts the floating point operations of a step's matrix products and convolutions (forward and
backward, by torch's own counter), times real steps, and divides by the rate that one large matrix
product reaches on the same threads in the same process: model FLOPs utilisation (Chowdhery et al.
2022, appendix B). Beside it, how fast examples are drawn: a trainer that waits learns nothing.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.common import RESULTS, Table, in_one_sentence, save_result
from vidcascade.cascade.registry import make_stage
from vidcascade.cascade.spec import CascadeSpec
from vidcascade.nn.precision import working_dtype
from vidcascade.nn.text import build_text_encoder
from vidcascade.training.dataset import Example, WorldDataset
from vidcascade.training.draws import Draws
from vidcascade.training.logs import Progress
from vidcascade.training.objective import TextCache, stage_loss
from vidcascade.training.trainer import RunSettings, train_stage

PEAK_SIDE = 4096  # of the matrices whose product is the peak


@dataclass(frozen=True)
class Cost:
    """One stage's training step.

    Attributes:
        stage: its name.
        batch: examples in a step.
        flops: of one example, forward and backward.
        examples_per_second: of the trainer, everything included but the data.
        drawn_per_second: examples that one process draws.
        utilisation: share of the peak.
    """

    stage: str
    batch: int
    flops: float
    examples_per_second: float
    drawn_per_second: float
    utilisation: float


@in_one_sentence
def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, measure, print and store; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spec", default="stickers", help="spec file, or a bundled one's name")
    parser.add_argument("--stage", action="append", help="these stages; repeatable [all]")
    parser.add_argument("--minutes", type=float, default=1.5, help="of training, for each stage")
    parser.add_argument("--batch", type=int, help="examples in a step [the spec's]")
    parser.add_argument("--compile", action="store_true", help="compile the networks (needs g++)")
    parser.add_argument("--workers", type=int, default=1, help="processes that draw examples")
    parser.add_argument("--peak-side", type=int, default=PEAK_SIDE, help="of the large matrices")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the results")
    args = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    spec = CascadeSpec.load(args.spec)
    names = args.stage or [stage.name for stage in spec.stages]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    peak = peak_flops(working_dtype(spec.dtype, device), device, args.peak_side)
    costs = [
        measure(
            spec if args.batch is None else spec.with_recipe(name, batch=args.batch),
            name,
            peak,
            args.minutes,
            args.compile,
            args.workers,
        )
        for name in names
    ]
    threads = "" if device.type == "cuda" else f", {torch.get_num_threads()} thread(s)"
    table = Table(
        f"A step of training on {device.type}{threads}",
        ("stage", "batch", "GFLOP/example", "examples/s", "TFLOP/s", "of the peak", "drawn/s"),
        [
            [
                cost.stage,
                str(cost.batch),
                f"{cost.flops / 1e9:.3g}",
                f"{cost.examples_per_second:.1f}",
                f"{cost.flops * cost.examples_per_second / 1e12:.3f}",
                f"{cost.utilisation:.1%}",
                f"{cost.drawn_per_second:.1f}",
            ]
            for cost in costs
        ],
        (f"peak: {peak / 1e12:.2f} TFLOP/s, a product of two {args.peak_side}² matrices in "
         f"{str(working_dtype(spec.dtype, device)).removeprefix('torch.')}; drawn/s: examples that "
         "one process draws",),
    )  # fmt: skip
    table.show()
    save_result(
        "throughput",
        "Throughput of training",
        "python -m benchmarks.training.throughput"
        + "".join(
            f" --{name} {value}"
            for name, value in (("spec", args.spec), ("batch", args.batch))
            if value != parser.get_default(name)
        )
        + (" --compile" if args.compile else ""),
        {
            "spec": args.spec,
            "batch": args.batch,
            "compile": args.compile,
            "minutes": args.minutes,
            "workers": args.workers,
        },
        [table],
        {"peak": peak, "stages": [asdict(cost) for cost in costs]},
        args.results,
    )
    return 0


def peak_flops(dtype: torch.dtype, device: torch.device, side: int = PEAK_SIDE) -> float:
    """Floating point operations a second of one product of two square matrices, the best of 5."""
    a = torch.randn(side, side, device=device, dtype=dtype)
    b = torch.randn(side, side, device=device, dtype=dtype)
    best = float("inf")
    for _ in range(5):
        _wait(device)
        begun = time.perf_counter()
        a @ b
        _wait(device)
        best = min(best, time.perf_counter() - begun)
    return 2 * side**3 / best


def measure(
    spec: CascadeSpec, name: str, peak: float, minutes: float, compile: bool = False,
    workers: int = 1,
) -> Cost:  # fmt: skip
    """Count one example's operations, and train for a while with the trainer itself."""
    stage = spec.stage(name)
    batch = stage.training.batch
    count = 4 * min(batch, 16)
    dataset = WorldDataset(spec, stage, count)
    begun = time.perf_counter()
    examples = [dataset[k] for k in range(count)]
    drawn = stage.training.repeats * len(examples) / (time.perf_counter() - begun)
    flops = count_flops(spec, name, examples[0])
    lines: list[Progress] = []
    with tempfile.TemporaryDirectory() as folder:
        settings = RunSettings(
            Path(folder), max_minutes=minutes, sheet_every=0, save_every=0, log_every=5,
            compile=compile, workers=workers,
        )  # fmt: skip
        train_stage(spec, name, settings, lines.append)
    # The first lines compile and warm up; waiting for data is another column's affair.
    steady = lines[len(lines) // 2 :]
    rates = sorted(line.clips_per_second / max(1 - line.waiting, 1e-3) for line in steady)
    rate = rates[len(rates) // 2]
    return Cost(name, batch, flops, rate, drawn, flops * rate / peak)


def count_flops(spec: CascadeSpec, name: str, batch: Example) -> float:
    """Operations of the matrix products and convolutions of one step on ``batch``."""
    rule = make_stage(spec.stage(name))
    text, width = None, None
    if spec.stage(name).network.text:
        encoder = build_text_encoder(spec.text.encoder, spec.text.max_tokens)
        text, width = TextCache(encoder), encoder.width
        text(batch.captions)  # encoded beforehand, as they are after the first epoch
    network = rule.build_network(width)
    counter = FlopCounterMode(display=False)
    with counter:
        draws = Draws.of(0, range(len(batch.captions)))
        loss, _ = stage_loss(rule, network, batch, text, draws)
        loss.mean().backward()
    return float(counter.get_total_flops())


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    raise SystemExit(main())
