"""What steadies the cascade? Run with ``python -m benchmarks.cascade_flicker``.

One setting at a time is moved away from the spec's: noise augmentation, steps, smoothing and shared
noise. The bridge and the refiner run on two kinds of input: the truth at the base's size (which has
an answer to compare with) and the base's own samples (which is what they meet in use). Flicker is
shown beside sharpness, because a blurred clip is steady for the wrong reason. See
``benchmarks/README.md``.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.common import RESULTS, Table, save_result, spread
from benchmarks.stages import FIRST, to_pixels
from vidcascade.cascade.pipeline import VidCascadePipeline
from vidcascade.cascade.running import key_of, run_stage
from vidcascade.cascade.spec import StageSpec
from vidcascade.cascade.stage import resize
from vidcascade.data.stickers import StickerWorld
from vidcascade.errors import UsageError, VidCascadeError
from vidcascade.metrics.fidelity import gradient_sharpness, psnr
from vidcascade.metrics.flicker import warping_error
from vidcascade.metrics.statistics import bootstrap_mean
from vidcascade.metrics.streaming import ScanSettings, TimedFrame, scan
from vidcascade.metrics.suite import evaluate
from vidcascade.nn.precision import working_dtype
from vidcascade.training.dataset import to_video

TRUE, SAMPLED = "true inputs", "the base's samples"
# A setting may cost this share of sharpness, and this much PSNR on true inputs, and no more.
SHARPNESS_COST = 0.03
PSNR_COST = 0.3

MEASURES = ("flicker", "warping", "sharpness", "psnr")


@dataclass(frozen=True)
class Setting:
    """One way to run bridge and refiner: changes to their parts of the spec, by stage."""

    group: str
    name: str
    changes: Mapping[str, Mapping[str, Any]]

    def of(self, stage: StageSpec) -> StageSpec:
        """The stage with the changes in it."""
        data = stage.model_dump() | dict(self.changes.get(stage.kind, {}))
        return StageSpec.model_validate(data)


def settings(bridge: StageSpec, refiner: StageSpec) -> list[Setting]:
    """The spec's own settings first, then one change at a time."""
    smoothing = refiner.smoothing

    def smooth(strength: float, shared: float) -> dict[str, Any]:
        changed = {"strength": strength, "noise_correlation": shared}
        return {"refiner": {"smoothing": changed}}

    found = [Setting("as in the spec", "as in the spec", {})]
    for sigma in (0.0, 0.05, 0.1, 0.2, 0.3):
        change = {"noise_augmentation": sigma}
        found.append(
            Setting("bridge noise augmentation", f"bridge σ {sigma:g}", {"bridge": change})
        )
    for sigma in (0.0, 0.1, 0.2):
        change = {"noise_augmentation": sigma}
        found.append(
            Setting("refiner noise augmentation", f"refiner σ {sigma:g}", {"refiner": change})
        )
    for strength in (0.0, 0.5, 1.0):
        shared = smoothing.noise_correlation
        found.append(Setting("smoothing", f"smoothing {strength:g}", smooth(strength, shared)))
    for shared in (0.0, 0.5, 0.9):
        name = f"shared noise {shared:g}"
        found.append(Setting("shared noise", name, smooth(smoothing.strength, shared)))
    for kind in ("bridge", "refiner"):
        for steps in (1, 2, 4):
            change = {kind: {"steps": steps}}
            found.append(Setting(f"{kind} steps", f"{kind} steps {steps}", change))
    return found


@dataclass(frozen=True)
class Source:
    """Inputs of one kind: (1, T, 3, h, w) at the base's size, and the truth where there is one."""

    name: str
    videos: list[Tensor]
    truths: list[NDArray[np.uint8]]
    comparable: bool


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, measure, print, draw and store; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", default="stickers", help="pipeline folder or bundled name")
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the results")
    args = parser.parse_args(arguments)
    try:
        run(VidCascadePipeline.from_pretrained(args.weights), args)
    except VidCascadeError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def run(pipeline: VidCascadePipeline, args: argparse.Namespace) -> None:
    """The whole benchmark on a loaded pipeline of base, bridge and refiner."""
    spec = pipeline.spec
    if [stage.kind for stage in spec.stages] != ["base", "bridge", "refiner"]:
        raise UsageError("This benchmark runs cascades of one base, one bridge, one refiner.")
    if args.clips < 2:
        raise UsageError(f"Intervals need at least 2 clips, not {args.clips}.")
    pipeline.set_progress_bar_config(disable=True)
    began = time.monotonic()
    sources = _sources(pipeline, args.clips)
    chosen = settings(*spec.stages[1:])
    truth = [_judge(clip, None, spec.fps_after("refiner")) for clip in sources[0].truths]
    values: dict[str, dict[str, dict[str, list[float]]]] = {}
    for source in sources:
        values[source.name] = {}
        # Every group holds the spec's own setting once more: it is run once.
        known: dict[str, dict[str, list[float]]] = {}
        for number, setting in enumerate(chosen):
            same = "".join(setting.of(stage).model_dump_json() for stage in spec.stages[1:])
            if same not in known:
                known[same] = _measure(pipeline, setting, source)
            values[source.name][setting.name] = known[same]
            print(
                f"\r{source.name}: {number + 1} of {len(chosen)} settings  ",
                end="", file=sys.stderr, flush=True,
            )  # fmt: skip
        print(file=sys.stderr)
    truths = {m: [t[m] for t in truth] for m in MEASURES if m in truth[0]}
    verdicts = [_verdict(group, chosen, values) for group in dict.fromkeys(s.group for s in chosen)]
    tables = [_table(source.name, chosen, values[source.name], truths) for source in sources]
    tables.append(
        Table("What the defaults should be", ("setting", "verdict"), [v for v in verdicts if v])
    )
    for table in tables:
        table.show()
    args.results.mkdir(parents=True, exist_ok=True)
    draw(chosen, values, truths, args.results / "cascade_flicker.png")
    save_result(
        "cascade_flicker",
        "What steadies the cascade",
        f"python -m benchmarks.cascade_flicker --clips {args.clips}",
        {
            "weights": Path(args.weights).name,
            "weight_hashes": pipeline.weight_hashes,
            "clips": args.clips,
            "seconds": round(time.monotonic() - began, 1),
        },
        tables,
        _plain({"truth": truths, "values": values}),
        args.results,
    )


def _sources(pipeline: VidCascadePipeline, count: int) -> list[Source]:
    spec = pipeline.spec
    base, _, refiner = spec.stages
    world = StickerWorld(spec.world)
    split = "held_out" if world.config.held_out > 0 else "all"
    rate = spec.fps_after(refiner.name)
    times = [k / rate for k in range(refiner.frames)]
    each = refiner.frames // base.frames
    videos, truths, prompts = [], [], []
    for number in range(count):
        described = world.describe(FIRST + number, split)  # type: ignore[arg-type]
        scene = world.scene(described, FIRST + number, base.frames / spec.fps)
        clip = world.render(scene, refiner.size, times)
        truths.append(clip)
        videos.append(resize(to_video(clip)[:, ::each], base.size, "area"))
        prompts.append(described.caption)
    made = pipeline(prompts, generator=0, stop_after=base.name, output_type="pt")
    sampled = made.stages[base.name].video  # type: ignore[union-attr]
    return [
        Source(TRUE, videos, truths, True),
        Source(SAMPLED, list(sampled.split(1)), truths, False),
    ]


def _measure(
    pipeline: VidCascadePipeline, setting: Setting, source: Source
) -> dict[str, list[float]]:
    """All clips of a source under one setting."""
    spec = pipeline.spec
    _, bridge, refiner = spec.stages
    device = pipeline._execution_device
    dtype = working_dtype(spec.dtype, device)
    columns: dict[str, list[float]] = {}
    for number, (video, truth) in enumerate(zip(source.videos, source.truths, strict=True)):
        keys = [key_of(torch.Generator().manual_seed(number))]
        for stage in (bridge, refiner):
            network = getattr(pipeline, stage.name)
            video = run_stage(setting.of(stage), network, keys, video, None, device, dtype)
        found = _judge(
            to_pixels(video), truth if source.comparable else None, spec.fps_after("refiner")
        )
        for name, value in found.items():
            columns.setdefault(name, []).append(value)
    return columns


def _judge(
    frames: NDArray[np.uint8], truth: NDArray[np.uint8] | None, fps: float
) -> dict[str, float]:
    timed = (TimedFrame(frame, k / fps) for k, frame in enumerate(frames))
    measured = evaluate(scan(timed, fps, ScanSettings(published=False)), "clip").measures
    flicker = measured["flicker"].value
    found = {
        # No number where too little of the picture could be followed.
        "flicker": float("nan") if flicker is None else flicker,
        "warping": 1000 * warping_error(frames),
        "sharpness": float(gradient_sharpness(frames).mean()),
    }
    if truth is not None:
        flat = (1, -1, *frames.shape[2:])
        found["psnr"] = float(psnr(frames.reshape(flat), truth.reshape(flat))[0])
    return found


def _plain(value: Any) -> Any:
    """NaN has no place in JSON: None says that there was no number."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _mean(values: Sequence[float]) -> float:
    """Mean of the numbers there are; infinite (the worst) where there are none."""
    known = [v for v in values if np.isfinite(v)]
    return float(np.mean(known)) if known else float("inf")


def _verdict(
    group: str,
    chosen: Sequence[Setting],
    values: Mapping[str, Mapping[str, Mapping[str, list[float]]]],
) -> list[str]:
    """The steadiest setting of a group on the base's samples that does not cost too much."""
    members = [s for s in chosen if s.group == group]
    if len(members) < 2:
        return []
    plain = members[0]

    def mean(source: str, setting: Setting, measure: str) -> float:
        return _mean(values[source][setting.name][measure])

    sharp = mean(SAMPLED, plain, "sharpness")
    exact = mean(TRUE, plain, "psnr")
    allowed = [
        s for s in members
        if mean(SAMPLED, s, "sharpness") >= (1 - SHARPNESS_COST) * sharp
        and mean(TRUE, s, "psnr") >= exact - PSNR_COST
    ]  # fmt: skip
    best = min(allowed, key=lambda s: mean(SAMPLED, s, "flicker"))
    if best is plain:
        return [group, f"{plain.name}: nothing else is steadier at its sharpness and PSNR"]
    pairs = np.subtract(
        values[SAMPLED][best.name]["flicker"], values[SAMPLED][plain.name]["flicker"]
    )
    pairs = pairs[np.isfinite(pairs)]
    if len(pairs) < 2:
        return [group, f"{best.name}: too few clips could be followed to say more"]
    change, low, high = bootstrap_mean(pairs)
    sure = "" if high < 0 else "; not more than chance"
    return [
        group,
        f"{best.name}: flicker {change:+.3f} ({low:+.3f} to {high:+.3f}) against {plain.name} on "
        f"the base's samples{sure}",
    ]


def _table(
    title: str,
    chosen: Sequence[Setting],
    values: Mapping[str, Mapping[str, list[float]]],
    truths: Mapping[str, list[float]],
) -> Table:
    names = {
        "flicker": "flicker",
        "warping": "warping error × 1000",
        "sharpness": "sharpness, levels/px",
        "psnr": "PSNR, dB",
    }
    shown = [m for m in MEASURES if m in values[chosen[0].name]]
    rows = []
    for name, columns in [(s.name, values[s.name]) for s in chosen] + [("truth", truths)]:
        cells = []
        for m in shown:
            numbers = [v for v in columns.get(m, []) if np.isfinite(v)]
            digits = 2 if m == "psnr" else 3
            cells.append("–" if len(numbers) < 2 else spread(*bootstrap_mean(numbers), digits))
        rows.append([name, *cells])
    count = len(values[chosen[0].name]["flicker"])
    return Table(
        f"Bridge and refiner on {title}",
        ("", *(names[m] for m in shown)),
        rows,
        (f"{count} held-out clips; intervals: bootstrap over clips, 95 %",),
    )


def draw(
    chosen: Sequence[Setting],
    values: Mapping[str, Mapping[str, Mapping[str, list[float]]]],
    truths: Mapping[str, list[float]],
    path: Path,
) -> None:
    """Flicker over sharpness, one line for each group of settings, one panel for each input."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.2 * len(values), 4.6))
    axes = figure.subplots(1, len(values), squeeze=False)[0]
    groups = [g for g in dict.fromkeys(s.group for s in chosen) if g != "as in the spec"]
    for panel, (source, found) in zip(axes, values.items(), strict=True):
        for group in groups:
            members = [s for s in chosen if s.group == group]
            x = [_mean(found[s.name]["sharpness"]) for s in members]
            y = [_mean(found[s.name]["flicker"]) for s in members]
            panel.plot(x, y, marker="o", markersize=4, linewidth=1, label=group)
            for setting, a, b in zip(members, x, y, strict=True):
                if not np.isfinite(b):
                    continue
                panel.annotate(setting.name.split()[-1], (a, b), fontsize=6,
                               xytext=(3, 3), textcoords="offset points")  # fmt: skip
        panel.plot(_mean(truths["sharpness"]), _mean(truths["flicker"]), "k*", label="truth")
        panel.set_title(source, fontsize=10)
        panel.set_xlabel("sharpness, levels per pixel (right is sharper)")
        panel.set_ylabel("flicker (down is steadier)")
        panel.set_ylim(bottom=0)
    axes[-1].legend(fontsize=7)
    figure.savefig(path, dpi=130, bbox_inches="tight")


if __name__ == "__main__":
    cv2.setNumThreads(1)
    raise SystemExit(main())
