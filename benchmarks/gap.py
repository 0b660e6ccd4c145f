"""Does later training help a stage in use? ``python -m benchmarks.gap --before FOLDER``.

In use a bridge is given what the base makes, and a refiner what both make, not the truth that they
were first trained on. Two cascades with the same base are compared, one from before the bridge and
the refiner were trained further, on the work of the stages before them, and one from after, on
three kinds of input: the truth, the truth made over by the stages before
(:mod:`vidcascade.training.regenerate`), which still has an answer, and samples from noise, which
have none. See ``benchmarks/README.md``.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.common import Table, in_one_sentence, save_result, save_sheet
from benchmarks.comparisons import LEARNT_BY_LPIPS, MEASURES, difference, mean_of
from benchmarks.intervals import interval_note
from benchmarks.stages import Judge, add_options, check, to_pixels
from benchmarks.truths import Truth, drawn_truths
from vidcascade.cascade.frames import CascadeOutput
from vidcascade.cascade.pipeline import VidCascadePipeline
from vidcascade.cascade.result import StageResult
from vidcascade.cascade.running import key_of
from vidcascade.cascade.stage import resize
from vidcascade.errors import UsageError
from vidcascade.nn.lpips import LPIPS
from vidcascade.training.dataset import to_video
from vidcascade.training.draws import Draws
from vidcascade.training.objective import TextCache
from vidcascade.training.regenerate import Regenerator

FIRST = 880_000_000
TRUTH, MADE_OVER, SAMPLES = "the truth", "made over", "samples"
BEFORE, AFTER = "before", "after"
SHEET_CLIPS = 4
CHANGED = (
    "what changed between before and after, if these are the bundled weights and what they were "
    "made from, is the cascade's own work, whole clips and LPIPS together: what one of them alone "
    "is worth is not told"
)

# One clip's numbers by measure, and those of many clips.
Found = dict[str, float]
Values = dict[str, list[float]]


@in_one_sentence
def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, measure, print and store; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", required=True, help="pipeline folder: trained on the truth")
    parser.add_argument(
        "--after", default="stickers", help="pipeline folder or bundled name: trained further"
    )
    add_options(parser)
    args = parser.parse_args(arguments)
    pipelines = {
        BEFORE: VidCascadePipeline.from_pretrained(args.before),
        AFTER: VidCascadePipeline.from_pretrained(args.after),
    }
    run(pipelines, args)
    return 0


def run(pipelines: Mapping[str, VidCascadePipeline], args: argparse.Namespace) -> None:
    """The whole benchmark on two cascades of base, bridge and refiner."""
    before, after = pipelines[BEFORE], pipelines[AFTER]
    stages = [(s.kind, s.frames, s.size) for s in after.spec.stages]
    check(after.spec, args.clips)
    name = after.spec.stages[0].name
    same = [
        {k: v for k, v in p.weight_hashes.items() if k.startswith(f"{name}/")}
        for p in pipelines.values()
    ]
    if same[0] != same[1] or stages != [(s.kind, s.frames, s.size) for s in before.spec.stages]:
        raise UsageError("The two cascades must have the same base and sizes.")
    for pipeline in pipelines.values():
        pipeline.set_progress_bar_config(disable=True)
    began = time.monotonic()
    lpips = LPIPS(args.lpips) if args.lpips.is_file() else None
    judge = Judge(lpips, args.lpips_every)
    comparing = Comparing(pipelines, judge)
    for number, truth in enumerate(drawn_truths(after.spec, args.clips, FIRST)):
        comparing.one_clip(truth)
        print(f"\rclip {number + 1} of {args.clips}  ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    tables = [make_table(title, values, args.clips) for title, values in comparing.values.items()]
    for table in tables:
        table.show()
    save_sheet(args.results / "gap.png", *comparing.sheet)
    save_result(
        "gap",
        "Bridge and refiner on true inputs and on the cascade's own",
        f"python -m benchmarks.gap --before {Path(args.before).name} --clips {args.clips}",
        {
            "weight_hashes": after.weight_hashes,
            "before": before.weight_hashes,
            "clips": args.clips,
            "lpips": lpips is not None,
            "lpips_every": args.lpips_every,
            "seconds": round(time.monotonic() - began, 1),
        },
        tables,
        {
            title: {
                given: {
                    when: {k: [v if math.isfinite(v) else None for v in n] for k, n in row.items()}
                    for when, row in rows.items()
                }
                for given, rows in values.items()
            }
            for title, values in comparing.values.items()
        },
        args.results,
    )
    print(f"{time.monotonic() - began:.0f} s")


class Comparing:
    """Runs both cascades on the same inputs.

    Attributes:
        values: ``values[table][input][before, after or truth][measure]``, a number for each clip.
        sheet: clips of samples at the last stage's size, and their labels.
    """

    def __init__(self, pipelines: Mapping[str, VidCascadePipeline], judge: Judge) -> None:
        self.pipelines, self.judge = pipelines, judge
        after = pipelines[AFTER]
        self.spec = after.spec
        self.base, self.bridge, self.refiner = self.spec.stages
        text = TextCache(after.text_encoder)
        student = self.base.student if self.base.distilled else None
        self.over = Regenerator(
            self.spec, self.bridge.name, getattr(after, self.base.name), 1.0, text,
            distilled=student is not None and student.steps > 1,
        )  # fmt: skip
        self.values: dict[str, dict[str, dict[str, Values]]] = {}
        self.sheet: tuple[list[NDArray[np.uint8]], list[str]] = ([], [])

    def one_clip(self, truth: Truth) -> None:
        """All inputs of one held-out clip."""
        caption, small, large, rate = truth.prompt, truth.small, truth.large, truth.rate
        each = 2**self.bridge.rounds
        low = resize(to_video(small)[:, ::each], self.base.size, "area")
        middle = resize(to_video(large), self.bridge.size, "area")
        key = key_of(torch.Generator().manual_seed(truth.seed))
        places = torch.arange(float(self.base.frames))[None]
        made = self.pipelines[AFTER](
            [caption], keys=[key], stop_after=self.base.name, output_type="pt"
        )
        assert isinstance(made, CascadeOutput)
        lows = {
            TRUTH: low,
            MADE_OVER: self.over.regenerate(
                low, [caption], places, Draws.of(truth.seed, [0])
            ),
            SAMPLES: made.stages[self.base.name].video,
        }  # fmt: skip
        last = self.refiner.name
        for given, video in lows.items():
            answer = None if given == SAMPLES else small
            told = (caption, key)
            bridged = {w: self._make(w, self.bridge.name, video, *told) for w in (BEFORE, AFTER)}
            self._add(f"The bridge, to {self._size(1)}", given, bridged, answer, small, rate)
            # The same bridge's work for both refiners; the truth is no bridge's.
            into = middle if given == TRUTH else bridged[AFTER]
            refined = {w: self._make(w, last, into, *told) for w in (BEFORE, AFTER)}
            answer = None if given == SAMPLES else large
            self._add(f"The refiner, to {self._size(2)}", given, refined, answer, large, rate)
            if given == TRUTH:
                refined[AFTER] = self._make(AFTER, last, bridged[AFTER], *told)
            whole = {
                BEFORE: self._make(BEFORE, last, bridged[BEFORE], *told), AFTER: refined[AFTER],
            }  # fmt: skip
            self._add(f"Both together, to {self._size(2)}", given, whole, answer, large, rate)
            if given == SAMPLES and len(self.sheet[0]) < 2 * SHEET_CLIPS:
                for when, clip in whole.items():
                    self.sheet[0].append(to_pixels(clip))
                    self.sheet[1].append(f"{caption} ({when})")

    def _size(self, index: int) -> str:
        stage = self.spec.stages[index]
        return f"{stage.frames} × {stage.size}²"

    def _make(self, when: str, stage: str, video: Tensor, caption: str, key: int) -> Tensor:
        names = [s.name for s in self.spec.stages]
        given = StageResult(names[names.index(stage) - 1], video, [caption], [""], [key])
        made = self.pipelines[when](start_from=given, stop_after=stage, output_type="pt")
        assert isinstance(made, CascadeOutput)
        return made.stages[stage].video

    def _add(
        self, table: str, given: str, videos: Mapping[str, Tensor],
        answer: NDArray[np.uint8] | None, truth: NDArray[np.uint8], rate: float,
    ) -> None:  # fmt: skip
        rows = self.values.setdefault(table, {}).setdefault(given, {})
        for when, video in videos.items():
            _append(rows.setdefault(when, {}), self.judge(to_pixels(video), rate, answer, 1))
        _append(rows.setdefault("truth", {}), self.judge(truth, rate, None, 1))


def _append(values: Values, found: Found) -> None:
    for name, value in found.items():
        values.setdefault(name, []).append(value)


def make_table(title: str, values: dict[str, dict[str, Values]], count: int) -> Table:
    """Before, after, their paired difference, and what the truth has of it, for each input."""
    shown = [m for m in MEASURES if any(m.key in rows[AFTER] for rows in values.values())]
    lines = []
    for given, rows in values.items():
        for when in (BEFORE, AFTER):
            lines.append(
                [f"{given}: {when}", *(mean_of(rows[when].get(m.key), m.digits) for m in shown)]
            )
        changes = []
        for m in shown:
            ours = rows[AFTER].get(m.key)
            changes.append("–" if ours is None else difference(m, ours, rows[BEFORE][m.key]))
        lines.append(["after − before", *changes])
    rows = next(iter(values.values()))
    lines.append(["truth", *(mean_of(rows["truth"].get(m.key), m.digits) for m in shown)])
    notes = [CHANGED]
    if any(m.key == "lpips" for m in shown):
        notes.append(LEARNT_BY_LPIPS)
    return Table(
        title,
        ("", *(m.name for m in shown)),
        lines,
        (
            f"{count} held-out clips; made over: noised and denoised again by the base (by its "
            "student, if that runs), then, for the refiner, by the bridge of after; samples: from "
            "noise, which have no true answer",
            f"{interval_note(lines)}; better, worse: the interval of the mean difference does not "
            "hold 0",
            *notes,
        ),
    )  # fmt: skip


if __name__ == "__main__":
    cv2.setNumThreads(1)
    raise SystemExit(main())
