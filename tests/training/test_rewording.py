"""A student learns to do for other words what it does for the captions' own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.training.test_perceptual import batch, few_steps, quick
from vidcascade.cascade.registry import make_stage
from vidcascade.cascade.students import merge_student
from vidcascade.cascade.weights import load_network
from vidcascade.errors import UsageError
from vidcascade.nn.text import build_text_encoder
from vidcascade.training import rewording
from vidcascade.training.distillation import distil_stage
from vidcascade.training.draws import Draws
from vidcascade.training.objective import TextCache
from vidcascade.training.rewording import Rewording


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base in which captions make a difference: nothing of it starts at zero."""
    torch.manual_seed(5)
    network = make_stage(few_steps().stage("base")).build_network(384)
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.normal_(std=0.1)
    folder = tmp_path_factory.mktemp("teacher") / "base"
    network.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory, teacher: Path) -> Path:
    """Its student, hardly taught."""
    out = tmp_path_factory.mktemp("student")
    return distil_stage(few_steps(training_steps=2), "base", "consistency", teacher, quick(out))


def taught(teacher: Path, student: Path, after: Path) -> Rewording:
    """``after``, beside the ``student`` that it began as."""
    rule = make_stage(few_steps().stage("base"))
    networks = []
    for file in (student, after):
        network = load_network(teacher, rule, 384)
        merge_student(network, file)
        networks.append(network.eval())
    teaching = Rewording(rule, networks[0], TextCache(build_text_encoder("minilm", 48)))
    teaching.begin()
    teaching.student, teaching.frozen[-1] = networks[1], networks[0]
    return teaching


def test_other_words_come_to_mean_what_the_captions_do(
    teacher: Path, student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of an untrained base words mean anything, so it is taught few captions.
    spec = few_steps(training_steps=50, adam_lr=2e-2, batch=4, ema=0.9, captions=2)
    run = replace(quick(tmp_path), init=student)
    after = distil_stage(spec, "base", "rewording", teacher, run)
    examples = batch(24, captions=2)
    found: dict[tuple[str, float], float] = {}
    for name, file in (("before", student), ("after", after)):
        teaching = taught(teacher, student, file)
        for plain in (0.0, 1.0):
            monkeypatch.setattr(rewording, "PLAIN", plain)
            with torch.no_grad():
                loss, sigma = teaching(examples, Draws.of(9, range(24)))
            assert {round(float(s), 4) for s in sigma} == {
                round(level, 4) for level in teaching.levels[:-1]
            }
            found[name, plain] = float(loss.mean())
    assert found["before", 1.0] == pytest.approx(0, abs=1e-9)
    assert found["after", 0.0] < 0.7 * found["before", 0.0]
    assert found["after", 1.0] < 0.5 * found["before", 0.0]


def test_it_goes_on_from_a_student(teacher: Path, student: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--init"):
        distil_stage(few_steps(), "base", "rewording", teacher, quick(tmp_path))
    run = replace(quick(tmp_path), init=student)
    distil_stage(few_steps(training_steps=1), "base", "rewording", teacher, run)
    about = json.loads((tmp_path / "distillation.json").read_text())
    assert about["method"] == "Rewording"
    assert len(about["from"]) == 64
