"""What each choice of the base's recipe is worth: ``python -m benchmarks.training.ablation``.

Every row is one change of one baseline, trained for the same processor time, measured on the same
held-out clips (:mod:`benchmarks.training.held_out`) and asked for the same held-out prompts
(:mod:`benchmarks.training.asking`). Rows are stored as they are finished;
the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shlex
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import cv2
import torch

from benchmarks.adherence import add_lessons
from benchmarks.common import RESULTS, Table, in_one_sentence, percent, save_result
from benchmarks.training.asking import Questions, shares
from benchmarks.training.budget import Trained, train
from benchmarks.training.held_out import BANDS, HeldOut, Score, score
from benchmarks.training.variants import BASELINE, NAMED, RESEEDED, VARIANTS, Variant
from vidcascade.cascade.spec import CascadeSpec
from vidcascade.data.stickers import StickerWorld
from vidcascade.errors import UsageError
from vidcascade.metrics.adherence.teaching import Lessons
from vidcascade.nn.text import build_text_encoder
from vidcascade.training.objective import TextCache
from vidcascade.training.sheets import SheetWriter

SPEC = Path(__file__).with_name("ablation.yaml")
LEARNT = 0.25  # share of clips below which motion is no more than chance
Row = dict[str, Any]


@in_one_sentence
def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, train, measure, print and store; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spec", default=str(SPEC), help="spec file of the baseline")
    parser.add_argument("--row", action="append", metavar="NAME", help="these rows [all]")
    parser.add_argument("--minutes", type=float, default=4.0, help="processor time of each row")
    parser.add_argument("--clips", type=int, default=48, help="held-out clips")
    parser.add_argument("--prompts", type=int, default=24,
                        help="held-out prompts to ask each row for; 0 asks none")  # fmt: skip
    add_lessons(parser)
    parser.add_argument("--run", type=Path, default=Path("runs/ablation"),
                        help="folder that keeps the recogniser between runs")  # fmt: skip
    parser.add_argument("--again", action="store_true", help="also rows that are stored already")
    parser.add_argument("--sheets", type=Path, help="folder for samples of each row")
    parser.add_argument("--list", action="store_true", help="name the rows and stop")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the results")
    args = parser.parse_args(arguments)
    if args.list:
        for v in VARIANTS:
            print(f"{v.name:18}{v.says}")
        return 0
    cv2.setNumThreads(1)
    chosen = _chosen(args.row)
    run(CascadeSpec.load(args.spec), chosen, args)
    return 0


def _chosen(names: Sequence[str] | None) -> list[Variant]:
    """In the order in which they were asked for."""
    for name in names or ():
        if name not in NAMED:
            raise UsageError(f"There is no row {name!r}: choose from {', '.join(NAMED)}.")
    return [NAMED[name] for name in names] if names else list(VARIANTS)


def run(spec: CascadeSpec, chosen: Sequence[Variant], args: argparse.Namespace) -> None:
    """Train and measure the rows that are not stored yet, and write the table after each."""
    if args.clips < 2:
        raise UsageError(f"The held-out loss needs at least 2 clips, not {args.clips}.")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        torch.set_num_threads(1)  # several would count several times on the clock
    lessons: Lessons | None = None
    if args.prompts > 0:
        lessons = Lessons.for_world(StickerWorld(spec.world), args.scenes, args.lessons)
        args.scenes, args.lessons = lessons.scenes, lessons.steps
    rows = _stored(args.results)
    _check_others(rows, spec, chosen, args, device)
    text: TextCache | None = None
    clips: HeldOut | None = None
    questions: Questions | None = None
    for variant in chosen:
        settings = _settings(spec, variant, args, device)
        found = rows.get(variant.name)
        if found is not None and found["settings"] == settings and not args.again:
            print(f"{variant.name}: stored")
            continue
        if text is None or clips is None:
            text = TextCache(build_text_encoder(spec.text.encoder, spec.text.max_tokens).to(device))
            clips = HeldOut.draw(spec, args.clips)
            if lessons is not None:
                questions = Questions.draw(spec, args.prompts, args.run, lessons)
        row = one_row(spec, variant, text, clips, questions, args, device)
        rows[variant.name] = row | {"settings": settings}
        # Those of other settings are to be measured again (--again), or are no rows any more.
        rows = {
            name: row for name, row in rows.items()
            if name in NAMED and row["settings"] == _settings(spec, NAMED[name], args, device)
        }  # fmt: skip
        _save(rows, spec, args)
        print(f"{variant.name}: {_summary(rows[variant.name])}", flush=True)
    if rows:
        for table in make_tables(rows, args.minutes, _options(args)):
            table.show()


def one_row(
    spec: CascadeSpec, variant: Variant, text: TextCache, clips: HeldOut,
    questions: Questions | None, args: argparse.Namespace, device: torch.device,
) -> Row:  # fmt: skip
    """Train one variant, measure it and ask it."""
    changed = variant.spec(spec)
    stage = changed.stages[0]
    trained = train(changed, stage, variant, text, 60 * args.minutes * variant.budget, device)
    rule = variant.rule(stage)
    scores = {
        decay: score(rule, network, clips, text, spec.dtype)
        for decay, network in trained.networks.items()
    }
    asked = None
    if questions is not None:
        network = trained.networks[stage.training.ema]
        asked = shares(questions.ask(rule, network, text, spec.dtype))
    if args.sheets is not None:
        folder = args.sheets / variant.name
        folder.mkdir(parents=True, exist_ok=True)
        sheet = SheetWriter(changed, stage.name, folder)
        sheet.rule = rule
        sheet(trained.networks[stage.training.ema], trained.steps)
    return _row(variant, trained, scores, stage.training.ema) | {"adherence": asked}


def _row(variant: Variant, trained: Trained, scores: Mapping[float, Score], ema: float) -> Row:
    return {
        "says": variant.says,
        "parameters": trained.parameters,
        "flops": trained.flops,
        "steps": trained.steps,
        "clips": trained.clips,
        "seconds": trained.seconds,
        "clips_per_second": trained.clips / max(trained.seconds, 1e-6),
        "training_loss": _finite(trained.loss),
        **_plain(scores[ema]),
        "averages": {f"{d:g}": _plain(s) for d, s in scores.items()},
    }


def _plain(found: Score) -> Row:
    return {
        "bands": [_finite(b) for b in found.bands],
        "mean": _finite(found.mean),
        "subject": _finite(found.subject),
        "text": _finite(found.text),
    }


def _finite(value: float) -> float | None:
    """JSON has no NaN: None says that a run diverged."""
    return value if math.isfinite(value) else None


def _settings(
    spec: CascadeSpec, variant: Variant, args: argparse.Namespace, device: torch.device
) -> Row:
    """What a stored row must have been run with to stand for this one."""
    # Settings that are added to the spec one day, and left alone, change no row.
    changed = variant.spec(spec).model_dump(mode="json", exclude_defaults=True)
    return {
        "spec": sha256(json.dumps(changed, sort_keys=True).encode()).hexdigest(),
        "minutes": args.minutes,
        "clips": args.clips,
        "prompts": args.prompts,
        "lessons": [args.scenes, args.lessons] if args.prompts > 0 else None,
        "device": device.type if device.type == "cpu" else torch.cuda.get_device_name(device),
        **variant.settings(),
    }


def _stored(folder: Path) -> dict[str, Row]:
    path = folder / "ablation.json"
    if not path.is_file():
        return {}
    rows: dict[str, Row] = json.loads(path.read_text(encoding="utf-8"))["data"]["rows"]
    return rows


def _check_others(
    rows: Mapping[str, Row], spec: CascadeSpec, chosen: Sequence[Variant],
    args: argparse.Namespace, device: torch.device,
) -> None:  # fmt: skip
    """Refuse to put rows of one setting beside, or in place of, stored rows of another.

    Raises:
        UsageError: there are such rows, and they are not to be measured again.
    """
    again = {variant.name for variant in chosen} if args.again else set()
    others = [
        name for name, row in rows.items()
        if name in NAMED and name not in again
        and row["settings"] != _settings(spec, NAMED[name], args, device)
    ]  # fmt: skip
    if others:
        raise UsageError(
            f"{args.results / 'ablation.json'} has rows of other settings ({', '.join(others)}): "
            "give their options, measure all of them --again, or store elsewhere with --results."
        )


def _options(args: argparse.Namespace) -> str:
    """The options that a row depends on, as they are typed."""
    text = f" --minutes {args.minutes:g} --clips {args.clips} --prompts {args.prompts}"
    if args.prompts > 0:
        text += f" --lessons {args.lessons} --scenes {args.scenes}"
    return text if args.spec == str(SPEC) else f"{text} --spec {shlex.quote(args.spec)}"


def _save(rows: dict[str, Row], spec: CascadeSpec, args: argparse.Namespace) -> None:
    save_result(
        "ablation",
        "Ablation of the base's recipe",
        f"python -m benchmarks.training.ablation{_options(args)}",
        {
            "spec": spec.name,
            "minutes": args.minutes,
            "held_out_clips": args.clips,
            "held_out_prompts": args.prompts,
            "threads": torch.get_num_threads(),
            "load_average": [round(v, 2) for v in os.getloadavg()]
            if hasattr(os, "getloadavg") else None,
        },
        make_tables(rows, args.minutes, _options(args)),
        {"rows": rows},
        args.results,
    )  # fmt: skip


def make_tables(rows: Mapping[str, Row], minutes: float, given: str) -> list[Table]:
    """The rows' costs and losses, the baseline's averages, and what repeats each row.

    ``given`` is the options that all rows were measured with.
    """
    order = [v.name for v in VARIANTS if v.name in rows]
    base = rows.get(BASELINE.name)
    losses = Table(
        f"Held-out loss after {minutes:g} minutes of processor time",
        ("row", "params, M", "GFLOP/clip", "steps", "clips/s", *BANDS, "mean", "vs baseline",
         "subject", "text"),
        [[name, *_cells(rows[name], base)] for name in order],
        (
            "velocity-space mean squared error on held-out combinations, at the same noise for "
            "every row, whatever it was trained on; vs baseline: geometric mean of the bands' "
            "ratios, so that every band counts alike; subject: over the subject's pixels alone; "
            "text: how much more is lost at the noisiest band with another clip's caption",
            "GFLOP: matrix products and convolutions of a training step, forward and backward; "
            "clips/s of processor time (a GPU: of wall time), drawing them left out",
            *_chance(rows),
        ),
    )  # fmt: skip
    tables = [losses]
    asked = [name for name in order if rows[name].get("adherence")]
    if asked:
        tables.append(_adherence(rows, asked))
    several = [name for name in order if len(rows[name]["averages"]) > 1]
    if several:
        tables.append(
            Table(
                "Averages of the weights over one run",
                ("row, decay", *BANDS, "mean", "vs the recipe's", "subject", "text"),
                [[f"{name}, {decay}", *_scores(rows[name]["averages"][decay], rows[name])]
                 for name in several for decay in sorted(rows[name]["averages"], key=float)],
                ("decays are warmed up, to 1 - (steps + 1)^-0.75 at most: at few steps the long "
                 "ones are all the same",),
            )
        )  # fmt: skip
    tables.append(
        Table(
            "The rows",
            ("row", "differs from the baseline by", "command"),
            [[name, rows[name]["says"],
              f"`python -m benchmarks.training.ablation --row {name} --again{given}`"]
             for name in order],
        )
    )  # fmt: skip
    return tables


def _adherence(rows: Mapping[str, Row], asked: Sequence[str]) -> Table:
    aspects = list(rows[asked[0]]["adherence"])
    notes = [
        "of clips sampled with guidance in the spec's number of steps, from the same noise for "
        "every row; judged as in the adherence benchmark, by a recogniser of this small world"
    ]
    if all(rows[name]["adherence"]["motion"] < LEARNT for name in asked):
        notes.append("in this time no row learns motion: that column tells rows apart after longer")
    return Table(
        "Held-out adherence after the same time",
        ("row", *aspects),
        [[name, *(percent(rows[name]["adherence"][a]) for a in aspects)] for name in asked],
        notes,
    )


def _chance(rows: Mapping[str, Row]) -> list[str]:
    """What another seed changes of the baseline, band by band, as a note."""
    base, other = (rows.get(variant.name) for variant in (BASELINE, RESEEDED))
    if base is None or other is None:
        return []
    changes = [
        f"{band} {100 * (b / a - 1):+.0f} %"
        for band, a, b in zip(BANDS, base["bands"], other["bands"], strict=True)
        if a is not None and b is not None
    ]
    return [f"chance: another seed changes the baseline by {', '.join(changes)}; what differs no "
            "more than that is no difference, and one pair of seeds is few"]  # fmt: skip


def _cells(row: Row, base: Row | None) -> list[str]:
    return [
        f"{row['parameters'] / 1e6:.2f}",
        f"{row['flops'] / 1e9:.2f}",
        f"{row['steps']:,}",
        f"{row['clips_per_second']:.1f}",
        *_scores(row, base),
    ]


def _scores(row: Row, base: Row | None) -> list[str]:
    change = _ratio(row["bands"], base["bands"]) if base else None
    return [
        *(_number(b) for b in row["bands"]),
        _number(row["mean"]),
        "–" if change is None else f"{100 * (change - 1):+.1f} %",
        _number(row["subject"]),
        "–" if row["text"] is None else f"{100 * row['text']:+.1f} %",
    ]


def _number(value: float | None) -> str:
    return "diverged" if value is None else f"{value:.4f}"


def _ratio(bands: Sequence[float | None], others: Sequence[float | None]) -> float | None:
    """Geometric mean of the ratios; None where one is unknown."""
    logs = [math.log(b / o) for b, o in zip(bands, others, strict=True) if b and o]
    return math.exp(sum(logs) / len(logs)) if len(logs) == len(bands) else None


def _summary(row: Row) -> str:
    bands = ", ".join(_number(b) for b in row["bands"])
    return f"{row['steps']} steps, {row['clips_per_second']:.1f} clips/s, bands {bands}"


if __name__ == "__main__":
    raise SystemExit(main())
