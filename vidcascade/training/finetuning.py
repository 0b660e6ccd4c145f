"""Finetuning: a finished cascade learns new subjects and keeps the old ones.

One stage, usually the base, goes on from its weights on new clips among the cascade's own old ones
(prior preservation, Ruiz et al. 2023, "DreamBooth"); the other stages stay as they are, since their
work is local and knows no subjects.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from vidcascade.cascade.assembling import assemble_cascade
from vidcascade.cascade.spec import CascadeSpec
from vidcascade.cascade.weights import resolve_weights
from vidcascade.errors import UsageError
from vidcascade.training.logs import Progress
from vidcascade.training.sources import FolderSource, MixedSource, WorldSource
from vidcascade.training.trainer import RunSettings, SheetMaker, train_stage

MOST_CAPTIONS = 1000  # of new clips that the spec keeps, to know what the weights know
# A quarter of the rates that the bundled weights were trained with, and a shorter average, which
# must not be made of the old weights at the end of a short run.
RATES = {"muon_lr": 0.002, "adam_lr": 4e-4, "warmup": 30, "ema": 0.99}


def prepare(weights: str | Path, stage: str, **recipe: object) -> tuple[Path, CascadeSpec]:
    """The folder of a cascade's weights, and its spec with a recipe for finetuning one stage.

    Args:
        weights: folder, bundled name or hub id.
        stage: the stage's name.
        recipe: training settings that differ from :data:`RATES` and the spec; None changes nothing.

    Raises:
        UsageError: no such weights, stage or setting.
    """
    folder = resolve_weights(weights)
    spec = CascadeSpec.load(folder / "spec.yaml")
    chosen = RATES | {k: v for k, v in recipe.items() if v is not None}
    return folder, spec.with_recipe(stage, **chosen)


def mix(spec: CascadeSpec, stage: str, new: FolderSource, share: float) -> MixedSource:
    """New clips with probability ``share``, the drawn world's else.

    Raises:
        UsageError: a share outside (0, 1], or old clips of a cascade that has no world.
    """
    if not 0.0 < share <= 1.0:
        raise UsageError(f"The share of new clips must be in (0, 1], not {share:g}.")
    if share == 1.0:
        return MixedSource(new, new, share)
    return MixedSource(new, WorldSource(spec, spec.stage(stage)), share)


def finetune(
    weights: Path,
    spec: CascadeSpec,
    stage: str,
    source: MixedSource,
    settings: RunSettings,
    out: Path,
    report: Callable[[Progress], None] = lambda line: None,
    sheet: SheetMaker | None = None,
    overwrite: bool = False,
) -> Path:
    """Train one stage on from ``weights`` and write the whole cascade to ``out``.

    Args:
        weights: folder of the cascade, as :func:`prepare` gives it.
        spec: of the cascade, with the recipe.
        stage: to train.
        source: of clips, as :func:`mix` gives it.
        settings: of the run; it starts from the stage's own weights, whatever ``init`` says.
        out: folder of the new cascade.
        report: gets the training's lines.
        sheet: draws samples, as in :func:`~vidcascade.training.trainer.train_stage`.
        overwrite: replace ``out``.

    Returns:
        ``out``.

    Raises:
        UsageError: ``out`` exists and is not to be replaced.
        VidCascadeError: as :func:`~vidcascade.training.trainer.train_stage`.
    """
    if out.exists() and not overwrite:
        raise UsageError(f"{out} exists: choose another --out, or --force to replace it.")
    run = replace(settings, init=weights / stage)
    trained = train_stage(spec, stage, run, report, sheet, source)
    networks = {s.name: trained if s.name == stage else weights / s.name for s in spec.stages}
    kept = CascadeSpec.load(weights / "spec.yaml")
    if kept.world is not None:
        new = dict.fromkeys(entry.caption for entry in source.new.folder.entries)
        learnt = tuple(dict.fromkeys((*kept.world.learnt, *new)))[:MOST_CAPTIONS]
        world = kept.world.model_copy(update={"learnt": learnt})
        kept = kept.model_copy(update={"world": world})
    # Without the old card: its numbers are not the new weights'.
    assemble_cascade(kept, networks, out, overwrite=overwrite)
    return out
