"""``vidcascade flicker``: does a clip flicker, where, and how badly."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidcascade.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console

    from vidcascade.metrics.source import Source
    from vidcascade.metrics.suite import ClipResult, Measured

_FAILED_CHECK = 3


def flicker(
    clips: Annotated[
        list[Path], typer.Argument(help="Videos, GIFs, WebPs or folders of PNG frames.")
    ],
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write everything there (- for the terminal).")
    ] = None,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="Write the table there (- for the terminal).")
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Write one self-contained HTML page there.")
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Say which of the clips flickers less.")
    ] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Compare clips even where their numbers do not compare."),
    ] = False,
    reference: Annotated[
        Path | None, typer.Option("--reference", help="The clip as it should have been.")
    ] = None,
    align: Annotated[
        bool,
        typer.Option("--align", help="Compare clips of different size or length."),
    ] = False,
    window_borders: Annotated[
        str | None,
        typer.Option(
            "--window-borders",
            help="First frames of a windowed model's windows: 16,32,48 or every:16.",
        ),
    ] = None,
    fail_above: Annotated[
        list[str] | None,
        typer.Option("--fail-above", help="measure=value: exit with 3 if it is higher."),
    ] = None,
    lpips: Annotated[
        Path | None, typer.Option("--lpips", help="LPIPS weights (safetensors), for tLP.")
    ] = None,
    exact: Annotated[
        bool,
        typer.Option("--exact", help="Published errors of every pair, however large the picture."),
    ] = False,
    published: Annotated[
        bool,
        typer.Option("--published/--no-published", help="With the published measures (slower)."),
    ] = True,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace output files that exist.")
    ] = False,
) -> None:
    """Measure flicker: how much, where, why, and whether it is safe."""
    from rich.console import Console

    from vidcascade.metrics.compare import Comparison
    from vidcascade.metrics.compare import compare as compare_clips
    from vidcascade.metrics.measure import measure_clip, measure_reference
    from vidcascade.metrics.seams import borders_from
    from vidcascade.metrics.source import open_source
    from vidcascade.metrics.streaming import ScanSettings
    from vidcascade.report.flicker_files import as_csv, as_dict, as_json
    from vidcascade.report.flicker_table import print_results

    outputs = [path for path in (json_file, csv_file, report) if path is not None]
    _check_outputs(outputs, overwrite)
    limits = [_limit(text) for text in fail_above or []]
    if lpips is not None and reference is None:
        raise UsageError("--lpips is for tLP, which needs the clip as it should be: --reference.")
    if compare and len(clips) < 2:
        raise UsageError("--compare needs two clips or more.")
    borders = borders_from(window_borders) if window_borders else None
    sources = [open_source(path) for path in clips]
    wanted = open_source(reference) if reference else None
    distance = _lpips(lpips) if lpips else None
    console = Console(stderr=True)
    settings = ScanSettings(published=published, exact=exact)

    results: list[ClipResult] = []
    references: list[dict[str, Measured]] = []
    for source in sources:
        with _Progress(console, source) as step:
            results.append(measure_clip(source, borders, settings, step))
        if wanted is not None:
            references.append(measure_reference(source, wanted, distance, align))
    measured = len(results)
    comparisons: list[Comparison] = []
    if compare:
        comparisons = [compare_clips(results[0], other, force, align) for other in results[1:]]
    if wanted is not None:
        # The reference has a flicker of its own, which the clips are not to blame for.
        with _Progress(console, wanted) as step:
            results.append(measure_clip(wanted, borders, settings, step))
        references.append({})
        comparisons += [compare_clips(results[-1], r, force, align) for r in results[:measured]]

    quiet = any(str(path) == "-" for path in outputs)
    shown = console if quiet else Console()
    print_results(shown, results, references)
    for pair in comparisons:
        shown.print(pair.verdict, markup=False, highlight=False)
    document = as_dict(results, references, comparisons)
    _write(json_file, lambda: as_json(document), overwrite)
    _write(csv_file, lambda: as_csv(results, references), overwrite)
    if report is not None:
        from vidcascade.report.flicker_page import flicker_page

        _write(report, lambda: flicker_page(results, references, comparisons), overwrite)
    failures = _exceeded(results[:measured], references, limits)
    for failure in failures:
        console.print(failure, markup=False, highlight=False)
    if failures:
        raise typer.Exit(_FAILED_CHECK)


def _check_outputs(outputs: Sequence[Path], overwrite: bool) -> None:
    """Refuse before the work, not after it."""
    from vidcascade.video.atomic import check_parent

    files = [path for path in outputs if str(path) != "-"]
    if len({os.path.abspath(path) for path in files}) < len(files):  # noqa: PTH100
        raise UsageError("Two outputs have the same name; give each its own file.")
    if len(outputs) - len(files) > 1:
        raise UsageError("Only one output can go to the terminal.")
    for path in files:
        check_parent(path)
        if path.is_dir():
            raise UsageError(f"{path} is a folder; name a file.")
        if os.path.lexists(path) and not overwrite:
            raise UsageError(f"{path} exists already; choose another name or add --overwrite.")


def _write(path: Path | None, make: Callable[[], str], overwrite: bool) -> None:
    from vidcascade.video.atomic import atomic_path

    if path is None:
        return
    if str(path) == "-":
        typer.echo(make(), nl=False)
        return
    with atomic_path(path, overwrite) as temporary:
        temporary.write_text(make(), encoding="utf-8")


def _limit(text: str) -> tuple[str, float]:
    from vidcascade.metrics.catalogue import CATALOGUE

    name, _, value = text.partition("=")
    known = [entry.name for entry in CATALOGUE]
    if name.strip() not in known:
        raise UsageError(
            f"--fail-above {text!r}: {name.strip()!r} is no measure; use one of {', '.join(known)}."
        )
    try:
        limit = float(value)
    except ValueError:
        limit = float("nan")
    if limit != limit:
        raise UsageError(f"--fail-above {text!r} needs a number: give measure=value.")
    return name.strip(), limit


def _exceeded(
    results: Sequence[ClipResult],
    references: Sequence[dict[str, Measured]],
    limits: Sequence[tuple[str, float]],
) -> list[str]:
    found = []
    for index, result in enumerate(results):
        measures = dict(result.measures) | (references[index] if references else {})
        for name, limit in limits:
            measured = measures.get(name)
            if measured is None or measured.value is None:
                # A check that could not be made has not been passed.
                why = measured.note if measured is not None and measured.note else "not measured"
                found.append(f"FAIL {result.name}: {name} has no value ({why})")
            elif measured.value > limit:
                found.append(f"FAIL {result.name}: {name} is {measured.value:.4g}, above {limit:g}")
    return found


def _lpips(weights: Path) -> Callable[..., float]:
    import torch

    from vidcascade.nn.lpips import LPIPS

    model = LPIPS(weights)

    def distance(a: object, b: object) -> float:
        pair = [torch.as_tensor(x).permute(2, 0, 1)[None].float() / 127.5 - 1 for x in (a, b)]
        with torch.inference_mode():
            return float(model(*pair)[0])

    return distance


class _Progress:
    """A bar on the error stream while a clip is measured, where somebody watches."""

    def __init__(self, console: Console, source: Source) -> None:
        from rich.progress import Progress

        total = source.expected or None
        self._bar = Progress(console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task(source.path.name, total=total)

    def __enter__(self) -> Callable[[int], None]:
        self._bar.start()
        return lambda done: self._bar.update(self._task, completed=done)

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
