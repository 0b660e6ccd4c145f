"""Finetuning: a finished cascade learns new subjects and keeps the old ones.

One stage, usually the base, goes on from its weights on new clips among the cascade's own old ones
(prior preservation, Ruiz et al. 2023, "DreamBooth"), of which it is to say what it said before
(learning without forgetting, Li & Hoiem 2017); the other stages stay as they are, since their work
is local and knows no subjects. The stage's student, a low-rank change, is put on the new weights.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from vidcascade.cascade.assembling import assemble_cascade
from vidcascade.cascade.reading import READER, load_reader
from vidcascade.cascade.recipe import StudentSpec
from vidcascade.cascade.spec import CascadeSpec
from vidcascade.cascade.students import STUDENT_FILE, merge_student, save_student
from vidcascade.cascade.weights import MARKS, resolve_weights, verify_checksums
from vidcascade.data.folder import METADATA
from vidcascade.errors import UsageError, VidCascadeError
from vidcascade.nn.denoiser import SpaceTimeDenoiser
from vidcascade.nn.low_rank import add_low_rank, allow_compiling, fingerprint, merge_low_rank
from vidcascade.training.averages import averaged_changes
from vidcascade.training.dataset import Example
from vidcascade.training.draws import Draws
from vidcascade.training.logs import Progress
from vidcascade.training.mixing import with_words
from vidcascade.training.objective import stage_loss
from vidcascade.training.processes import process_state
from vidcascade.training.sources import MixedSource
from vidcascade.training.trainer import ENDLESS, RunSettings, SheetMaker, StageRun
from vidcascade.video.atomic import check_own_folder, check_parent

# A quarter of the rates that the bundled weights were trained with, and a shorter average, which
# must not be made of the old weights at the end of a short run.
RATES = {"muon_lr": 0.002, "adam_lr": 4e-4, "warmup": 30, "ema": 0.99, "steps": ENDLESS}
# A low-rank change starts at nothing, and all of it is one optimiser's.
LOW_RANK_RATES = RATES | {"muon_lr": 0.0, "adam_lr": 1e-3}
_DTYPES = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}


def prepare(
    weights: str | Path, stage: str, rank: int | None = None, **recipe: object
) -> tuple[Path, CascadeSpec]:
    """The folder of a cascade's weights, and its spec with a recipe for finetuning one stage.

    Args:
        weights: folder, bundled name or hub id.
        stage: the stage's name.
        rank: of the change that is learnt; None is all of the weights.
        recipe: training settings that differ from :data:`RATES` (:data:`LOW_RANK_RATES`) and the
            spec; None changes nothing.

    Raises:
        UsageError: no such weights, stage or setting.
    """
    folder = resolve_weights(weights)
    spec = CascadeSpec.load(folder / "spec.yaml")
    rates = RATES if rank is None else LOW_RANK_RATES
    chosen = rates | {k: v for k, v in recipe.items() if v is not None}
    return folder, spec.with_recipe(stage, **{"lpips": 0.0} | chosen)


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
    rank: int | None = None,
) -> Path:
    """Train one stage on from ``weights`` and write the cascade, with its students, to ``out``.

    Args:
        weights: folder of the cascade, as :func:`prepare` gives it.
        spec: of the cascade, with the recipe.
        stage: to train.
        source: of clips, as :func:`~vidcascade.training.mixing.mix` gives it.
        settings: of the run; ``init`` is the stage's folder in ``weights``, or None for the same.
            ``keep`` is the share of these weights in the result.
        out: folder of the new cascade.
        report: gets the training's lines.
        sheet: draws samples, as in :func:`~vidcascade.training.trainer.train_stage`.
        overwrite: replace ``out``.
        rank: learn a change of each matrix of this rank (LoRA, Hu et al. 2022), and add it to the
            weights in the end; None trains all of the weights.

    Returns:
        ``out``.

    Raises:
        UsageError: ``out`` exists and is not to be replaced, the run's folder holds a run on other
            weights, clips or settings, or a rank or share that cannot be.
        VidCascadeError: as :func:`~vidcascade.training.trainer.train_stage`.
    """
    check_parent(out)
    check_own_folder(out, overwrite, MARKS)
    run = replace(settings, init=weights / stage)
    if rank is not None and rank < 1:
        raise UsageError(f"The rank must be at least 1, not {rank}.")
    # Before the training: one that does not fit is left out, and told.
    read = load_reader(weights, spec.text.encoder) is not None
    state = process_state()  # accelerate launch may have started several processes
    if state.is_main_process:
        _claim(settings.out, _identity(weights, spec, stage, source, settings, rank))
    state.wait_for_everyone()
    trained = _Tuning(spec, stage, run, source, rank).complete(report, sheet)
    if state.is_main_process:
        networks = {s.name: trained if s.name == stage else weights / s.name for s in spec.stages}
        kept = with_words(CascadeSpec.load(weights / "spec.yaml"), source.new)
        dtype = _stored_dtype(weights / stage)
        students = {s.name: networks[s.name] / STUDENT_FILE for s in kept.stages if s.student}
        assemble_cascade(
            kept, networks, out, dtype, overwrite, _card(weights, source, settings),
            {name: file for name, file in students.items() if file.is_file()},
            weights / READER if read else None,
        )  # fmt: skip
    state.wait_for_everyone()
    return out


class _Tuning(StageRun):
    """A run that goes on from a stage's weights, and gives back weights of the same kind."""

    def __init__(
        self, spec: CascadeSpec, stage: str, settings: RunSettings, source: MixedSource,
        rank: int | None,
    ) -> None:  # fmt: skip
        self.rank_of_change, self.share = rank, source.share
        if settings.compile:
            allow_compiling()  # of the network as it was, too
        super().__init__(spec, stage, settings, source)

    def build(self) -> nn.Module:
        """See :meth:`StageRun.build`."""
        network = self.initial()
        self.student = self._student(network)
        # Without old clips there is nothing that it would be asked.
        self.before = None
        if self.share < 1.0:
            self.before = copy.deepcopy(network).requires_grad_(False).to(self.accelerator.device)
        if self.rank_of_change is not None:
            try:
                add_low_rank(network, self.rank_of_change)
            except ValueError as error:
                raise UsageError(f"--rank {self.rank_of_change}: {error}.") from None
        return network

    def denoisers(self) -> list[SpaceTimeDenoiser]:
        """See :meth:`StageRun.denoisers`."""
        return [*super().denoisers(), *([] if self.before is None else [self.before])]

    def loss(self, batch: Example, draws: Draws) -> tuple[Tensor, Tensor]:
        """Of old clips, not the truth but what the network predicted of them is to be learnt.

        The truth of a few clips, drawn at random, moves what is known; this does not.
        """
        return stage_loss(self.rule, self.model, batch, self.text, draws, self.before)

    def write(self, path: Path) -> None:
        """The network and, if there was one, the student: the same change, of the new weights.

        What makes a network need few steps is much the same change for all that are not far from
        it (Luo et al. 2023, LCM-LoRA).
        """
        new = self.averaged()
        new.save_pretrained(path)
        if self.student is not None:
            save_student(path / STUDENT_FILE, self.student, fingerprint(new))

    def _student(self, network: SpaceTimeDenoiser) -> dict[str, Tensor] | None:
        """The change of ``network`` that is its student, if it has one that fits.

        Raises:
            VidCascadeError: a student that is damaged, or of other weights.
        """
        assert self.settings.init is not None
        file = self.settings.init / STUDENT_FILE
        if not file.is_file():
            return None
        # On a copy: it only has to fit, however many steps it takes.
        about = self.rule.spec.student or StudentSpec()
        return merge_student(copy.deepcopy(network), file, about)

    def learnt(self) -> SpaceTimeDenoiser:
        """See :meth:`StageRun.learnt`."""
        if self.rank_of_change is None:
            return super().learnt()
        new = self.initial()
        merge_low_rank(new, averaged_changes(self.network, self.ema, self.trained))
        return new


def _identity(
    weights: Path, spec: CascadeSpec, stage: str, source: MixedSource, settings: RunSettings,
    rank: int | None,
) -> str:  # fmt: skip
    """What makes two runs the same one; how long they last does not."""
    folder = source.new.folder
    listed = hashlib.sha256((folder.folder / METADATA).read_bytes())
    for entry in folder.entries:
        listed.update(f"{entry.path.name} {entry.path.stat().st_size}\n".encode())
    return json.dumps({
        "weights": verify_checksums(weights),
        "clips": listed.hexdigest(),
        "share": source.share,
        "seed": settings.seed,
        "rank": rank,
        "recipe": spec.stage(stage).training.model_dump(mode="json"),
    })  # fmt: skip


def _claim(folder: Path, identity: str) -> None:
    mark = folder / "finetuning.json"
    try:
        held = mark.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        held = None
    if held is None and not (folder / "checkpoint").exists():
        folder.mkdir(parents=True, exist_ok=True)
        mark.write_text(identity, encoding="utf-8")
    elif held != identity:
        raise UsageError(
            f"{folder} holds a run on other weights, clips or settings: choose another --run, or "
            "remove it."
        )


def _stored_dtype(folder: Path) -> torch.dtype:
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            for key in tensors.keys():  # noqa: SIM118 - it is no mapping
                return _DTYPES.get(tensors.get_slice(key).get_dtype(), torch.bfloat16)
    raise VidCascadeError(f"There are no weights in {folder}: give a whole cascade.")


def _card(weights: Path, source: MixedSource, settings: RunSettings) -> str:
    hashes = "\n".join(f"- `{name}`: {value}" for name, value in verify_checksums(weights).items())
    minutes = settings.budget_minutes
    return (
        f"# Finetuned from {weights.name}\n\nOne stage was trained on, on "
        f"{len(source.new.folder.entries)} clips or pictures ({source.share:.0%} of the examples; "
        f"the rest were the cascade's own)"
        + ("" if minutes is None else f", for {minutes:g} minutes")
        + ". Nothing about the result has been measured, and the numbers of the cascade that it "
        "comes from are not its own.\n\nThe weights it was started from (SHA-256), whose licence "
        f"holds for these as well, beside that of the new clips:\n\n{hashes}\n"
    )
