"""How runs end: in time, done, or with a diagnosis that leaves the last checkpoint alone."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.training.conftest import BrokenSource, tiny
from vidcascade.cascade.registry import make_stage
from vidcascade.cascade.spec import CascadeSpec
from vidcascade.cascade.weights import load_network
from vidcascade.diffusion.flow_matching import SIGMA_FLOOR, training_sigmas
from vidcascade.errors import UsageError, VidCascadeError
from vidcascade.nn.denoiser import SpaceTimeDenoiser
from vidcascade.training import sheets, trainer
from vidcascade.training.dataset import Example, collate
from vidcascade.training.draws import Draws
from vidcascade.training.health import WINDOW_EXAMPLES, Divergence, Starvation, TrainingWarning
from vidcascade.training.loading import _Share
from vidcascade.training.logs import Meter, Progress, RunLog, by_noise
from vidcascade.training.sheets import SheetWriter
from vidcascade.training.trainer import RunSettings, StageRun, train_stage


@pytest.mark.filterwarnings("ignore::vidcascade.training.health.TrainingWarning")
def test_a_run_stops_in_time_with_a_checkpoint(tmp_path: Path) -> None:
    lines: list[Progress] = []
    settings = RunSettings(tmp_path, max_minutes=0.01, log_every=1, save_every=0, workers=0)
    train_stage(tiny("refiner", steps=100_000), "refiner", settings, lines.append)
    assert 0 < lines[-1].step < 100_000
    assert lines[0].minutes_left <= 0.01
    assert (tmp_path / "checkpoint" / "state.pt").is_file()
    assert (tmp_path / "network" / "config.json").is_file()
    again: list[Progress] = []
    train_stage(tiny("refiner", steps=100_000), "refiner", settings, again.append)
    assert again[0].step == lines[-1].step + 1
    assert again[0].minutes > lines[-1].minutes  # time goes on where it stopped


class Clock:
    """Time that goes on by a tenth of a minute whenever somebody looks at it."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 6.0
        return self.now


@pytest.mark.filterwarnings("ignore::vidcascade.training.health.TrainingWarning")
@pytest.mark.parametrize("log_every", [0, 1, 3])
def test_a_budget_is_of_all_calls_and_ends_decayed(
    log_every: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "time", Clock())
    factors: list[float] = []
    scheduled = trainer.scheduled_rate

    def rate(*given: Any, **named: Any) -> float:
        factors.append(scheduled(*given, **named))
        return factors[-1]

    monkeypatch.setattr(trainer, "scheduled_rate", rate)

    def run(**limits: float) -> int:
        before = len(factors)
        settings = RunSettings(tmp_path, log_every=log_every, save_every=0, workers=0, **limits)  # type: ignore[arg-type]
        train_stage(tiny("refiner", steps=100_000), "refiner", settings)
        return len(factors) - before

    first = run(max_minutes=5, budget_minutes=15)
    assert first > 3
    assert factors[2] == 1.0  # after a warmup of two steps
    rest = run(budget_minutes=15)
    assert rest > first
    assert factors[-1] < 0.35
    assert factors[-rest] == 1.0
    kept = (tmp_path / "checkpoint" / "state.pt").read_bytes()
    assert run(budget_minutes=15) == 0
    assert (tmp_path / "checkpoint" / "state.pt").read_bytes() == kept


def test_compiling_needs_a_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    settings = RunSettings(tmp_path / "run", compile=True, workers=0)
    with pytest.raises(UsageError, match="install g"):
        train_stage(tiny("refiner", steps=1), "refiner", settings)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler")
def test_a_compiled_network_learns_the_same(tmp_path: Path) -> None:
    losses = []
    for compile in (False, True):
        lines: list[Progress] = []
        out = tmp_path / str(compile)
        settings = RunSettings(out, log_every=1, save_every=0, workers=0, compile=compile)
        train_stage(tiny("base", steps=4), "base", settings, lines.append)
        losses.append([line.loss for line in lines])
    np.testing.assert_allclose(*losses, rtol=0.02)


def test_a_loss_that_is_no_number_stops_the_run(tmp_path: Path) -> None:
    settings = RunSettings(tmp_path, log_every=1, save_every=1, workers=0)
    train_stage(tiny("refiner", steps=1), "refiner", settings)
    kept = {p: p.read_bytes() for p in (tmp_path / "checkpoint").iterdir()}
    wild = tiny("refiner", steps=9, warmup=0, adam_lr=1e30, muon_lr=1e30)
    rarely = RunSettings(tmp_path, log_every=1, save_every=5, workers=0)
    with pytest.raises(VidCascadeError, match="lower muon_lr and adam_lr") as caught:
        train_stage(wild, "refiner", rarely)
    assert caught.value.exit_code == 1
    assert str(tmp_path) in str(caught.value)
    assert {p: p.read_bytes() for p in (tmp_path / "checkpoint").iterdir()} == kept


def test_a_collapsed_sheet_stops_the_run_before_it_is_saved(tmp_path: Path) -> None:
    def collapsed(network: SpaceTimeDenoiser, step: int) -> None:
        if step == 2:
            raise VidCascadeError("collapsed")

    settings = RunSettings(tmp_path, sheet_every=1, save_every=1, log_every=0, workers=0)
    with pytest.raises(VidCascadeError, match="collapsed"):
        train_stage(tiny("refiner", steps=5), "refiner", settings, sheet=collapsed)
    state = torch.load(tmp_path / "checkpoint" / "state.pt", weights_only=True)
    assert state["step"] == 1


def test_unknown_stages_and_wrong_weights_are_refused(tmp_path: Path) -> None:
    settings = RunSettings(tmp_path, init=tmp_path, workers=0)
    with pytest.raises(UsageError, match="no stage 'middle'"):
        train_stage(tiny("base"), "middle", settings)
    with pytest.raises(VidCascadeError, match="incomplete or damaged"):
        train_stage(tiny("refiner"), "refiner", settings)


def test_a_network_grows_blocks_and_begins_as_what_it_was(tmp_path: Path) -> None:
    small = tiny("base", steps=3)
    folder = train_stage(small, "base", RunSettings(tmp_path / "a", workers=0, sheet_every=0))
    stage = small.stage("base")
    network = stage.network.model_copy(update={"depths": (2, 3), "text_order": True})
    grown = small.model_copy(
        update={"stages": (stage.model_copy(update={"network": network}), *small.stages[1:])}
    )
    given: dict[str, Any] = {"workers": 0, "sheet_every": 0}
    old = load_network(folder, make_stage(stage), 384)
    sample, text = torch.randn(1, 4, 3, 32, 32), torch.randn(1, 5, 384)
    words: dict[str, Any] = {"text": text, "text_mask": torch.ones(1, 5, dtype=torch.bool)}

    def returned(net: SpaceTimeDenoiser) -> torch.Tensor:
        with torch.no_grad():
            out: torch.Tensor = net(sample, torch.tensor([0.5]), **words)
        return out

    run = StageRun(grown, "base", RunSettings(tmp_path / "b", init=folder, **given), None)
    begun = returned(run.denoisers()[0].eval())
    assert torch.allclose(begun, returned(old), atol=1e-6)
    for alone in ({"depths": (2, 2)}, {"text_order": True}):
        changed = stage.network.model_copy(update=alone)
        wanted = make_stage(stage.model_copy(update={"network": changed}))
        load_network(folder, wanted, 384, smaller=True)
        with pytest.raises(VidCascadeError, match="do not match the spec"):
            load_network(folder, wanted, 384)
    result = train_stage(grown, "base", RunSettings(tmp_path / "c", init=folder, **given))
    new = load_network(result, make_stage(grown.stage("base")), 384)
    assert not torch.equal(returned(new), begun)
    assert new.up_blocks[0][1].conv.conv_out.weight.abs().max() > 0  # a new block has learnt
    # Nothing is kept of what was not there, and what is larger does not shrink.
    with pytest.raises(UsageError, match="lack parts"):
        train_stage(grown, "base", RunSettings(tmp_path / "d", init=folder, keep=0.5, **given))
    with pytest.raises(VidCascadeError, match="do not match the spec"):
        train_stage(small, "base", RunSettings(tmp_path / "e", init=result, **given))


def test_a_cascade_without_a_world_needs_a_folder(tmp_path: Path) -> None:
    spec = CascadeSpec.load("tiny").model_copy(update={"world": None})
    with pytest.raises(UsageError, match="--data"):
        train_stage(spec, "refiner", RunSettings(tmp_path, workers=0))


def test_flat_samples_are_a_collapse_once_the_network_was_alive(tmp_path: Path) -> None:
    spec = tiny("base")
    writer = SheetWriter(spec, "base", tmp_path)
    network = make_stage(spec.stage("base")).build_network(384).eval()  # untrained: all grey
    picture = writer(network, 100)
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    assert (tmp_path / "samples-000100.png").is_file()
    with pytest.raises(VidCascadeError, match="one flat colour"):
        writer(network, sheets.YOUNG)
    with torch.no_grad():
        torch.nn.init.normal_(network.head.weight, std=0.3)
        writer(network, 200)
        network.head.weight.zero_()
    with pytest.raises(VidCascadeError, match="collapsed"):
        writer(network, 300)


def test_refiners_are_shown_with_input_and_truth(tmp_path: Path) -> None:
    spec = tiny("refiner", crop=32, frames=2)
    network = make_stage(spec.stage("refiner")).build_network(None).eval()
    picture = SheetWriter(spec, "refiner", tmp_path)(network, 1)
    assert picture.shape[0] > 6 * 64  # two clips of three rows, whole frames


def test_hunger_is_told_once_and_only_when_it_lasts() -> None:
    hunger = Starvation(workers=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for waiting in (0.9, 0.9, 0.1, 0.9, 0.9):
            hunger.see(waiting)
    with pytest.warns(TrainingWarning, match="raise --workers"):
        hunger.see(0.9)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(5):
            hunger.see(0.9)


def errors(divergence: Divergence, *values: float, start: int = 1000) -> None:
    """Show windows of examples whose errors are these shares of an untrained network's."""
    untrained = torch.full((WINDOW_EXAMPLES,), 2.0)
    for k, value in enumerate(values):
        divergence.see(start + k, value * untrained, untrained)


def test_a_climbing_error_is_a_divergence(tmp_path: Path) -> None:
    divergence = Divergence(10, tmp_path)
    errors(divergence, 0.9, 0.3, 0.1, 0.2, 0.1, 1.9, 0.1, 0.1)  # scatter is none
    errors(divergence, 0.9, 0.9, 0.9, 0.1, 0.1)  # nor is what still knows something
    with pytest.raises(VidCascadeError, match=r"from 10\.0% to 190\.0% .* diverged; lower muon_lr"):
        errors(divergence, 1.9, 1.9)


@pytest.mark.parametrize("shift", [1.0, 16.0])
def test_a_run_that_only_scatters_goes_on(shift: float, tmp_path: Path) -> None:
    """Thousands of windows of a network whose error depends on σ as real ones' does."""
    divergence = Divergence(0, tmp_path)
    generator = torch.Generator().manual_seed(0)
    for step in range(3000):
        sigma = training_sigmas(torch.randn(WINDOW_EXAMPLES, generator=generator), shift)
        untrained = 0.3 / sigma.clamp(min=SIGMA_FLOOR).square()
        spread = torch.randn(WINDOW_EXAMPLES, generator=generator).mul(0.5).exp()
        divergence.see(step + 1, 0.6 * sigma.square() * spread * untrained, untrained)


def test_what_climbs_in_the_warmup_is_not_judged(tmp_path: Path) -> None:
    divergence = Divergence(100, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        errors(divergence, *(0.1 * k for k in range(100)), start=0)
        errors(divergence, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)


def test_rates_that_are_too_high_are_told(tmp_path: Path) -> None:
    """A real network that is thrown about and never gets below where it began."""
    settings = RunSettings(tmp_path, log_every=1, save_every=0, workers=0)
    wild = tiny("base", steps=100, batch=8, warmup=1, muon_lr=0.01, adam_lr=1.0)
    with pytest.warns(TrainingWarning, match="learning rates are probably too high"):
        train_stage(wild, "base", settings)


def test_a_network_that_is_thrown_off_stops_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It learns while its rates are small, and they go on rising to where it cannot."""
    monkeypatch.setattr(trainer, "Divergence", lambda _, folder: Divergence(0, folder))
    wild = tiny("base", steps=400, batch=8, warmup=400, muon_lr=0.5, adam_lr=1.0)
    settings = RunSettings(tmp_path, log_every=0, save_every=0, workers=0)
    with pytest.raises(VidCascadeError, match="this run has diverged"):
        train_stage(wild, "base", settings)


def test_a_line_sums_up_and_leaves_pauses_out() -> None:
    meter = Meter(now=100.0)
    meter.waited, meter.paused = 1.0, 6.0
    meter.add(torch.tensor([1.0, 3.0]), torch.tensor([0.1, 0.9]))
    meter.add(torch.tensor([2.0, 2.0]), torch.tensor([0.3, 0.95]))
    line = meter.line(110.0, 2, minutes=1.0, left=0.5, grad_norm=0.1, rates=1.0)
    assert line.loss == 2.0
    assert line.by_noise[:2] == [1.0, 2.0]
    assert line.by_noise[3] == 2.5
    assert line.clips_per_second == pytest.approx(1.0)
    assert line.waiting == pytest.approx(0.25)
    assert meter.seconds_per_step(110.0) == pytest.approx(2.0)
    assert np.isnan(by_noise(torch.ones(1), torch.zeros(1))[1:]).all()


def test_the_log_forgets_what_the_checkpoint_does_not_hold(tmp_path: Path) -> None:
    line = Progress(1, 0.5, 1.0, [1.0, 1.0, 1.0, float("nan")], 0.1, 10.0, 0.0)
    log = RunLog(tmp_path, 0)
    for step in (1, 2, 3):
        line.step, line.minutes = step, step / 2
        log.write(line)
    log.picture(np.zeros((8, 8, 3), np.uint8), 3)
    log.close()
    with (tmp_path / "log.csv").open("a") as file:
        file.write("4,2.0,0.")  # cut off by a crash
    again = RunLog(tmp_path, 2)
    assert again.minutes == 1.0
    rows = (tmp_path / "log.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["step", "1", "2"]


def test_processes_share_each_batch_without_overlap() -> None:
    parts = [list(_Share(12, 4, rank, 2)) for rank in range(2)]
    assert parts == [[0, 1, 4, 5, 8, 9], [2, 3, 6, 7, 10, 11]]
    assert len(_Share(12, 4, 0, 2)) == 6


def test_processes_have_a_number_in_common_and_others_of_their_own(tmp_path: Path) -> None:
    seen: list[tuple[float, list[float]]] = []

    class Noting(StageRun):
        def loss(self, batch: Example, draws: Draws) -> tuple[torch.Tensor, torch.Tensor]:
            seen.append((draws.common, draws.uniform().tolist()))
            return super().loss(batch, draws)

    for rank in (0, 1):
        settings = RunSettings(tmp_path / str(rank), workers=0)
        run = Noting(tiny("refiner", batch=4), "refiner", settings, None)
        run.rank, run.step = rank, 3
        run._advance(collate([run.data[2 * rank], run.data[2 * rank + 1]]), 1.0)
    assert seen[0][0] == seen[1][0]
    assert len({*seen[0][1], *seen[1][1]}) == 4


@pytest.mark.slow
def test_an_error_in_a_worker_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(VidCascadeError, match=r"^The clips are gone: bring them back\.$"):
        train_stage(
            tiny("refiner"), "refiner", RunSettings(tmp_path, workers=1), source=BrokenSource()
        )
