"""What steadies the cascade? Run with ``python -m benchmarks.cascade_flicker``.

One setting at a time is moved away from the spec's: noise augmentation, smoothing, shared noise and
steps (:mod:`.flicker.sweep`). The bridge and the refiner run on two kinds of input: the truth at
the base's size (which has an answer to compare with) and the base's own samples (which is what they
meet in use). Flicker is shown beside sharpness, because a blurred clip is steady for the wrong
reason. See ``benchmarks/README.md``.

The base's samples are kept in ``--cache``, one file per clip, and the bridge's results in memory:
what a setting does not touch is not computed again.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks.common import RESULTS, Table, in_one_sentence, save_result, spread
from benchmarks.flicker.sweep import SAMPLED, TRUE, Setting, Values, settings
from benchmarks.flicker.sweep_plot import draw
from benchmarks.flicker.sweep_verdict import Verdict, change, judge, on_noise
from benchmarks.intervals import LEAST_CLIPS
from benchmarks.stages import check, to_pixels
from benchmarks.truths import FIRST
from vidcascade.cascade.frames import CascadeOutput
from vidcascade.cascade.pipeline import VidCascadePipeline
from vidcascade.cascade.running import TextStates, key_of, run_stage
from vidcascade.cascade.spec import CascadeSpec
from vidcascade.cascade.stage import resize
from vidcascade.data.config import WorldConfig
from vidcascade.data.scene import Description
from vidcascade.data.stickers import StickerWorld
from vidcascade.errors import UsageError
from vidcascade.metrics.composite import CAUSES
from vidcascade.metrics.fidelity import gradient_sharpness, psnr
from vidcascade.metrics.statistics import bootstrap_mean
from vidcascade.metrics.streaming import ScanSettings, TimedFrame, scan
from vidcascade.metrics.suite import evaluate
from vidcascade.nn.precision import working_dtype
from vidcascade.training.dataset import to_video

SHOWN = {
    "flicker": ("flicker", 3),
    "sharpness": ("sharpness, levels/px", 3),
    "psnr": ("PSNR, dB", 2),
}
# Subjects that turn back within a few frames (bounce, shake, swing, orbit), or whose outlines do
# (spin), have no constant speed: their true clips read as flicker themselves, and would drown what
# is asked about.
STEADY_MOTIONS = ("up", "down", "left", "right", "grow", "shrink", "tumble", "still")
_TRIES = 400


@dataclass(frozen=True)
class Case:
    """One clip: its inputs at the base's size (1, T, 3, h, w) by kind, and the truth."""

    number: int
    caption: str
    inputs: Mapping[str, Tensor]
    truth: NDArray[np.uint8]


@in_one_sentence
def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, measure, print, draw and store; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", default="stickers", help="pipeline folder or bundled name")
    parser.add_argument("--clips", type=int, default=8, help="number of clips, at least 2")
    parser.add_argument(
        "--all", action="store_true", help="also refiner noise augmentation and 4 refiner steps"
    )
    parser.add_argument(
        "--cache", type=Path, default=Path("runs/cascade_flicker"), help="the base's samples"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the results")
    args = parser.parse_args(arguments)
    run(VidCascadePipeline.from_pretrained(args.weights), args)
    return 0


def run(pipeline: VidCascadePipeline, args: argparse.Namespace) -> None:
    """The whole benchmark on a loaded pipeline of base, bridge and refiner."""
    spec = pipeline.spec
    check(spec, args.clips, least=2)
    pipeline.set_progress_bar_config(disable=True)
    began, worked = time.monotonic(), time.process_time()
    _, bridge, refiner = spec.stages
    chosen = settings(bridge, refiner, args.all)
    rate = spec.fps_after("refiner")
    values: dict[str, dict[str, dict[str, list[float]]]] = {TRUE: {}, SAMPLED: {}}
    truths: dict[str, list[float]] = {}
    for case in _cases(pipeline, args.clips, args.cache):
        _add(truths, _measure(case.truth, None, rate))
        for source in case.inputs:
            for name, found in _one(pipeline, chosen, case, source).items():
                _add(values[source].setdefault(name, {}), found)
        spent = time.process_time() - worked
        print(
            f"clip {case.number + 1} of {args.clips} ({spent:.0f} s of processor)",
            file=sys.stderr, flush=True,
        )  # fmt: skip
    tables = _tables(spec, chosen, values, truths)
    for table in tables:
        table.show()
    args.results.mkdir(parents=True, exist_ok=True)
    draw(chosen, values, truths, args.results / "cascade_flicker.png")
    save_result(
        "cascade_flicker",
        "What steadies the cascade",
        f"python -m benchmarks.cascade_flicker --clips {args.clips}{' --all' * args.all}",
        {
            "weights": Path(args.weights).name,
            "weight_hashes": pipeline.weight_hashes,
            "clips": args.clips,
            "seconds": round(time.monotonic() - began, 1),
            "processor_seconds": round(time.process_time() - worked, 1),
        },
        tables,
        _plain({"truth": truths, "values": values}),
        args.results,
    )


def _cases(pipeline: VidCascadePipeline, count: int, cache: Path) -> Iterator[Case]:
    spec = pipeline.spec
    base, _, refiner = spec.stages
    world = StickerWorld(spec.world)
    times = [k / spec.fps_after(refiner.name) for k in range(refiner.frames)]
    each = refiner.frames // base.frames
    for number, (seed, described) in enumerate(steady_clips(world, count)):
        scene = world.scene(described, seed, base.frames / spec.fps)
        clip = world.render(scene, refiner.size, times)
        true = resize(to_video(clip)[:, ::each], base.size, "area")
        sampled = _sample(pipeline, described.caption, number, cache)
        yield Case(number, described.caption, {TRUE: true, SAMPLED: sampled}, clip)


def steady_clips(world: StickerWorld, count: int) -> list[tuple[int, Description]]:
    """Seeds and descriptions of held-out clips of one subject that moves steadily, alone.

    Raises:
        UsageError: If the world has too few of them.
    """
    found = []
    for seed in range(FIRST, FIRST + _TRIES * count):
        described = world.describe(seed, world.testing_split)
        alone = len(described.subjects) == 1 and described.camera is None
        if alone and set(described.motions) <= set(STEADY_MOTIONS):
            found.append((seed, described))
        if len(found) == count:
            return found
    raise UsageError(
        f"The weights' world shows too few steady motions for {count} clips: it needs some of"
        f" {', '.join(STEADY_MOTIONS)}."
    )


def _sample(pipeline: VidCascadePipeline, caption: str, number: int, cache: Path) -> Tensor:
    """The base's sample of a caption, from the cache where it is there."""
    base = pipeline.spec.stages[0]
    # Everything that the sample depends on, so that new weights never meet old samples.
    identity = "\n".join((
        caption, str(number), base.model_dump_json(), pipeline.spec.dtype,
        *(f"{k} {v}" for k, v in sorted(pipeline.weight_hashes.items()) if base.name in k),
    ))  # fmt: skip
    path = cache / f"{hashlib.blake2b(identity.encode(), digest_size=16).hexdigest()}.safetensors"
    if path.is_file():
        return load_file(path)["video"]
    made = pipeline(caption, generator=number, stop_after=base.name, output_type="pt")
    assert isinstance(made, CascadeOutput)
    video = made.stages[base.name].video.contiguous()
    # Without hashes nothing says which weights a sample is of.
    if pipeline.weight_hashes:
        cache.mkdir(parents=True, exist_ok=True)
        save_file({"video": video}, path)
    return video


def _one(
    pipeline: VidCascadePipeline,
    chosen: Sequence[Setting],
    case: Case,
    source: str,
) -> dict[str, dict[str, float]]:
    """One clip under all settings: their measures by name."""
    spec, video = pipeline.spec, case.inputs[source]
    truth = case.truth if source == TRUE else None
    encode = pipeline.text_encoder.encode
    text = TextStates(*encode([case.caption]), *encode([""]))
    _, bridge, refiner = spec.stages
    device = pipeline._execution_device
    dtype = working_dtype(spec.dtype, device)
    keys = [key_of(torch.Generator().manual_seed(case.number))]
    # Every group holds the spec's own setting once, and most leave the bridge alone.
    bridged: dict[str, Tensor] = {}
    known: dict[str, dict[str, float]] = {}
    found = {}
    for setting in chosen:
        first, second = setting.of(bridge), setting.of(refiner)
        before = first.model_dump_json()
        both = before + second.model_dump_json()
        if both not in known:
            if before not in bridged:
                bridged[before] = run_stage(
                    first, getattr(pipeline, bridge.name), keys, video, text, device, dtype
                )
            out = run_stage(
                second, getattr(pipeline, refiner.name), keys, bridged[before], text, device, dtype
            )
            known[both] = _measure(to_pixels(out), truth, spec.fps_after(refiner.name))
        found[setting.name] = known[both]
    return found


def _measure(
    frames: NDArray[np.uint8], truth: NDArray[np.uint8] | None, fps: float
) -> dict[str, float]:
    timed = (TimedFrame(frame, k / fps) for k, frame in enumerate(frames))
    measured = evaluate(scan(timed, fps, ScanSettings(published=False)), "clip").measures
    found = {}
    for name in ("flicker", *CAUSES):
        value = measured[name].value
        # No number where too little of the picture could be followed.
        found[name] = float("nan") if value is None else value
    found["sharpness"] = float(gradient_sharpness(frames).mean())
    if truth is not None:
        flat = (1, -1, *frames.shape[2:])
        found["psnr"] = float(psnr(frames.reshape(flat), truth.reshape(flat))[0])
    return found


def _add(columns: dict[str, list[float]], found: Mapping[str, float]) -> None:
    for name, value in found.items():
        columns.setdefault(name, []).append(value)


def _tables(
    spec: CascadeSpec, chosen: Sequence[Setting], values: Values, truths: Mapping[str, list[float]]
) -> list[Table]:
    count = len(truths["flicker"])
    motions = (spec.world or WorldConfig()).names("motions")
    left_out = [motion for motion in motions if motion not in STEADY_MOTIONS]
    note = f"{count} held-out clips of subjects that move at a constant speed"
    if left_out:
        note += f" (left out: {', '.join(left_out)}, whose true clips read as flicker themselves)"
    tables = [_means(source, chosen, values[source], truths, note) for source in (TRUE, SAMPLED)]
    tables.append(_changes(chosen, values))
    groups = [
        [s for s in chosen if s.group == group] for group in dict.fromkeys(s.group for s in chosen)
    ]
    rows = []
    for members in groups:
        found = judge(members, values)
        rows.append([
            found.group.name, f"{found.default:g}", f"{found.best:g}", found.why,
            _follows(spec, found),
        ])  # fmt: skip
    tables.append(
        Table(
            "What the defaults should be",
            ("setting", "in the spec", "should be", "why", "configs follow"),
            rows,
            (
                "another value is recommended only where it lowers flicker on the base's samples by"
                " more than chance (paired bootstrap over clips, 95 % for the whole group) and"
                " loses neither sharpness there nor PSNR on true inputs by more than chance (95 %)",
            ),
        )
    )
    answer = on_noise(groups[0], values)
    tables.append(
        Table(
            "Does noise augmentation at the bridge's input lower flicker?",
            ("",),
            [[line] for line in answer],
        )
    )
    return tables


def _means(
    source: str,
    chosen: Sequence[Setting],
    values: Mapping[str, Mapping[str, list[float]]],
    truths: Mapping[str, list[float]],
    note: str,
) -> Table:
    measures = [m for m in SHOWN if m in values[chosen[0].name]]
    rows = []
    entries = [(_marked(s), values[s.name]) for s in chosen] + [("truth", truths)]
    for name, columns in entries:
        cells = []
        for m in measures:
            known = [v for v in columns.get(m, []) if np.isfinite(v)]
            digits = SHOWN[m][1]
            cells.append("–" if len(known) < 2 else spread(*bootstrap_mean(known), digits))
        rows.append([name, *cells])
    return Table(
        f"Bridge and refiner on {source}",
        ("", *(SHOWN[m][0] for m in measures)),
        rows,
        (f"{note}; * as in the spec; intervals: bootstrap over clips, 95 %",),
    )


def _changes(chosen: Sequence[Setting], values: Values) -> Table:
    """Every setting minus its group's default, clips paired."""
    columns = [(s, m) for s in (SAMPLED, TRUE) for m in SHOWN if (s, m) != (SAMPLED, "psnr")]
    rows = []
    for setting in chosen:
        if setting.default:
            continue
        (default,) = [s for s in chosen if s.default and s.group == setting.group]
        cells = []
        for source, measure in columns:
            found = change(values, source, measure, setting, default)
            if found is None:
                cells.append("–")
            elif not np.isfinite(found.low):
                cells.append(f"{found.mean:.{SHOWN[measure][1]}f}")
            else:
                sure = "" if found.low <= 0 <= found.high else " *"
                cells.append(spread(*found, SHOWN[measure][1]) + sure)
        rows.append([setting.name, *cells])
    short = {SAMPLED: "samples", TRUE: "true inputs"}
    return Table(
        "Changes against the spec",
        ("", *(f"{SHOWN[m][0]}, {short[s]}" for s, m in columns)),
        rows,
        (
            "paired bootstrap over clips, 95 % (expanded percentiles); * more than chance; no"
            f" interval for fewer than {LEAST_CLIPS} clips",
        ),
    )


def _marked(setting: Setting) -> str:
    return f"{setting.name} *" if setting.default else setting.name


def _follows(spec: CascadeSpec, verdict: Verdict) -> str:
    """Whether the config that the weights were made from says what the verdict says."""
    try:
        stages = CascadeSpec.load(spec.name).stages
    except UsageError:
        return "no such config"
    wanted = [stage for stage in stages if stage.kind == verdict.group.kind]
    if len(wanted) != 1:
        return "no such stage"
    own = verdict.group.of(wanted[0])
    return "yes" if own == verdict.best else f"no: {spec.name}.yaml has {own:g}"


def _plain(value: Any) -> Any:
    """NaN has no place in JSON: None says that there was no number."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


if __name__ == "__main__":
    cv2.setNumThreads(1)
    raise SystemExit(main())
