"""Putting trained stages together into one folder that a pipeline loads."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path

import torch

from vidcascade.cascade import weights
from vidcascade.cascade.pipeline import VidCascadePipeline
from vidcascade.cascade.reading import read_weights
from vidcascade.cascade.registry import make_stage
from vidcascade.cascade.spec import CascadeSpec
from vidcascade.cascade.students import (
    STUDENT_FILE,
    merge_student,
    save_student,
    without_students,
)
from vidcascade.errors import UsageError
from vidcascade.nn.low_rank import fingerprint
from vidcascade.nn.text import build_text_encoder
from vidcascade.video import atomic_path
from vidcascade.video.atomic import check_own_folder


def assemble_cascade(
    spec: CascadeSpec,
    networks: Mapping[str, Path],
    out: Path,
    dtype: torch.dtype = torch.bfloat16,
    overwrite: bool = False,
    card: str | None = None,
    students: Mapping[str, Path] | None = None,
    reader: Path | None = None,
) -> None:
    """Write a pipeline folder from one network folder for each stage.

    A stage without a network stays untrained, which is honest for bridges and refiners: they
    then interpolate along the flow and upsample by bicubic.

    Args:
        spec: the cascade.
        networks: folders by stage name, as ``vidcascade train`` writes them.
        out: the new folder.
        dtype: of the stored weights; bfloat16 halves them.
        overwrite: replace ``out``.
        card: text of the model card (README.md), kept from the old folder when None.
        students: files by stage name, as ``vidcascade distil`` writes them. A stage without one
            has no student in the new folder's spec.
        reader: folder of a reader of prompts, as ``scripts/train_reader.py`` writes it.

    Raises:
        UsageError: ``out`` exists and may not be replaced, or is no cascade's, a name that is no
            stage of the spec, a base without weights, a student of
            which the spec knows nothing, or no reader where one is named.
        VidCascadeError: weights that are damaged or do not match the spec, or a student of other
            weights.
    """
    check_own_folder(out, overwrite, weights.MARKS)
    for name in networks:
        spec.stage(name)
    students = students or {}
    if any(stage.distilled for stage in spec.stages):
        raise UsageError("The spec runs students (distilled): give the one they were made with.")
    if students and dtype is torch.float16:
        raise UsageError("A student knows its weights in bfloat16 or wider: choose another dtype.")
    for name in students:
        if spec.stage(name).student is None:
            raise UsageError(f"The spec has no student for {name}: describe it there.")
    spec = without_students(spec, students)
    base = spec.stages[0].name
    if base not in networks:
        raise UsageError(f"There are no weights for {base}: an untrained base makes noise only.")
    encoder = build_text_encoder(spec.text.encoder, spec.text.max_tokens)
    built = {}
    changes = {}
    for stage in spec.stages:
        rule = make_stage(stage)
        if stage.name in networks:
            network = weights.load_network(networks[stage.name], rule, encoder.width)
        else:
            network = rule.build_network(encoder.width)
        # diffusers notes where weights came from: a folder of somebody's own.
        network.register_to_config(_name_or_path=stage.name)
        built[stage.name] = network.to(dtype)
        if stage.name in students:
            # On a copy: it only has to fit.
            assert stage.student is not None
            changes[stage.name] = merge_student(
                copy.deepcopy(network), students[stage.name], stage.student
            )
    pipeline = VidCascadePipeline(encoder, spec, built)
    if reader is not None:
        if not reader.is_dir():
            raise UsageError(f"There is no reader in {reader}: name a folder that has one.")
        pipeline.reader = read_weights(reader, spec.text.encoder).to(torch.bfloat16)
    old = out / "README.md"
    if card is None and old.is_file():
        card = old.read_text(encoding="utf-8")
    with atomic_path(out, overwrite) as temporary:
        pipeline.save_pretrained(temporary)
        for name, state in changes.items():
            narrow = {key: tensor.to(dtype) for key, tensor in state.items()}
            save_student(temporary / name / STUDENT_FILE, narrow, fingerprint(built[name]))
        (temporary / weights.SPEC_FILE).write_text(spec.to_yaml(), encoding="utf-8")
        weights.write_checksums(temporary)
        if card is not None:
            (temporary / "README.md").write_text(card, encoding="utf-8")
