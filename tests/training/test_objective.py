"""The loss can be learnt, drops text as often as asked, and shows refiners their first step."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.training.conftest import tiny
from vidcascade.cascade.refiner import RefinerStage
from vidcascade.cascade.registry import make_stage
from vidcascade.cascade.spec import CascadeSpec
from vidcascade.cascade.stage import Conditioning
from vidcascade.errors import UsageError
from vidcascade.nn.denoiser import SpaceTimeDenoiser
from vidcascade.nn.lpips import LPIPS
from vidcascade.nn.text import build_text_encoder
from vidcascade.training.dataset import Example, WorldDataset, collate
from vidcascade.training.draws import Draws
from vidcascade.training.objective import TextCache, stage_loss, untrained_loss
from vidcascade.training.optimisers import build_optimisers, scheduled_rate
from vidcascade.training.trainer import RunSettings, train_stage


class Heard:
    """A text cache that notes what it was asked."""

    def __init__(self) -> None:
        self.captions: list[str] = []

    def __call__(self, captions: list[str]) -> tuple[Tensor, Tensor]:
        self.captions += captions
        return torch.zeros(len(captions), 2, 8), torch.ones(len(captions), 2, dtype=torch.bool)


def batch_of(spec: CascadeSpec, stage: str, count: int) -> Example:
    dataset = WorldDataset(spec, spec.stage(stage), count)
    return collate([dataset[k] for k in range(count)])


@pytest.mark.parametrize("stage", ["base", "refiner"])
def test_a_few_examples_can_be_learnt(stage: str) -> None:
    spec = tiny(stage, warmup=5)
    torch.manual_seed(0)
    rule = make_stage(spec.stage(stage))
    network = rule.build_network(8)
    text = Heard() if spec.stage(stage).network.text else None
    batch = batch_of(spec, stage, 2)
    optimisers = build_optimisers(network, spec.stage(stage).training)

    def mean_loss() -> float:
        with torch.no_grad():
            seeds = [Draws.of(1000 + k, range(2)) for k in range(8)]
            found = [stage_loss(rule, network, batch, text, seed)[0].mean() for seed in seeds]
        return float(torch.stack(found).mean())

    before = mean_loss()
    for step in range(120):
        for optimiser in optimisers:
            for group in optimiser.param_groups:
                group["lr"] = group.setdefault("base_lr", group["lr"])
                group["lr"] = group["base_lr"] * scheduled_rate(step, 120, 5)
        stage_loss(rule, network, batch, text, Draws.of(step, range(2)))[0].mean().backward()
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad()
    assert mean_loss() < (0.35 if stage == "base" else 0.8) * before


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_text_is_dropped_as_often_as_asked(share: float) -> None:
    spec = tiny("base", text_dropout=share)
    rule = make_stage(spec.stage("base"))
    network = rule.build_network(8)
    one = batch_of(spec, "base", 1)
    batch = Example(
        one.target.expand(400, -1, -1, -1, -1)[..., :8, :8], None,
        one.positions.expand(400, -1), ["a ball"] * 400, None, torch.zeros(400),
    )  # fmt: skip
    heard, again = Heard(), Heard()
    with torch.no_grad():
        for text in (heard, again):
            stage_loss(rule, network, batch, text, Draws.of(1, range(400)))
    assert heard.captions == again.captions
    assert heard.captions.count("") / 400 == pytest.approx(share, abs=0.08)
    assert set(heard.captions) <= {"", "a ball"}


def test_examples_of_pure_noise_are_seen_at_sigma_one() -> None:
    spec = tiny("base", pure_noise=0.5)
    rule, batch = make_stage(spec.stage("base")), batch_of(spec, "base", 24)
    network = rule.build_network(8)
    with torch.no_grad():
        _, sigma = stage_loss(rule, network, batch, Heard(), Draws.of(1, range(24)))  # type: ignore[arg-type]
    assert batch.pure is not None
    assert batch.pure.any()
    assert torch.equal(sigma == 1.0, batch.pure)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_share_of_a_refiners_examples_are_its_first_step(
    share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The target is white and the input black, so that one can tell where the noise was put."""
    spec = tiny("refiner", first_step=share).stage("refiner")
    assert spec.smoothing.noise_correlation == 0.5
    count, shape = 200, (200, 4, 3, 16, 16)
    target, black = torch.full(shape, 0.9), torch.full(shape, -0.9)
    given = Conditioning(video=black, clean=black)
    batch = Example(target, None, torch.zeros(count, 4), [""] * count, given, torch.zeros(count))
    seen: dict[str, Tensor] = {}

    def predict(
        self: RefinerStage, network: object, sample: Tensor, sigma: Tensor, *_: object
    ) -> Tensor:
        seen.update(sample=sample, sigma=sigma)
        return target

    monkeypatch.setattr(RefinerStage, "predict", predict)
    loss, sigma = stage_loss(
        RefinerStage(spec), None, batch, None, Draws.of(0, range(count))  # type: ignore[arg-type]
    )  # fmt: skip
    assert torch.equal(loss, torch.zeros(count))  # the target is the target in both halves
    first = sigma == spec.start_sigma
    assert int(first.sum()) / count == pytest.approx(share, abs=0.12 if share % 1 else 0)
    assert (sigma[~first] < spec.start_sigma).all()
    level = sigma[:, None, None, None, None]
    under_input = (seen["sample"] - (1 - level) * black) / level
    under_target = (seen["sample"] - (1 - level) * target) / level
    noise = torch.where(first[:, None, None, None, None], under_input, under_target)
    assert noise.mean() == pytest.approx(0.0, abs=0.02)
    assert noise.std() == pytest.approx(1.0, abs=0.02)
    # The noise of sampling: frames share half of its variance.
    assert (noise[:, 0] * noise[:, 1]).mean() == pytest.approx(0.5, abs=0.02)


def test_captions_are_encoded_once_and_alone() -> None:
    encoder = build_text_encoder("minilm", 48)
    cache, other = TextCache(encoder), TextCache(encoder)
    captions = ["a red ball", "a small blue cube that swings over a meadow", ""]
    states, mask = cache(captions)
    assert states.shape[:2] == mask.shape == (3, int(mask.sum(1).max()))
    other([captions[2]])
    again, _ = other(captions)
    assert torch.equal(states, again)  # whatever was asked before
    exact, _ = encoder.encode([captions[0]])
    torch.testing.assert_close(states[0, : exact.shape[1]], exact[0], atol=2e-3, rtol=2e-3)
    cache.encoder = None  # type: ignore[assignment]
    assert torch.equal(cache(captions)[0], states)


def test_captions_can_be_padded_to_few_lengths() -> None:
    encoder = build_text_encoder("minilm", 48)
    plain, padded = TextCache(encoder), TextCache(encoder, 8)
    captions = ["a red ball", "a small blue cube that swings over a meadow"]
    states, mask = plain(captions)
    more, there = padded(captions)
    assert more.shape[1] % 8 == 0
    assert there.sum() == mask.sum()
    assert torch.equal(more[:, : states.shape[1]], states)
    assert not more[:, states.shape[1] :].any()


def test_off_the_cpu_new_captions_are_encoded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = build_text_encoder("minilm", 48)
    alone, together = TextCache(encoder), TextCache(encoder)
    captions = ["a red ball", "a small blue cube that swings", "a red ball", "a cat"]
    expected, _ = alone(captions)
    calls: list[int] = []
    plain = encoder.encode

    def counting(prompts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        calls.append(len(prompts))
        return plain(prompts)

    monkeypatch.setattr(encoder, "encode", counting)
    monkeypatch.setattr(type(encoder), "device", torch.device("meta"), raising=False)
    monkeypatch.setattr(encoder, "_compute_device", lambda: torch.device("cpu"))
    states, _ = together(captions)
    torch.testing.assert_close(states, expected, atol=2e-3, rtol=2e-3)
    together(captions)
    assert calls == [3]


@pytest.mark.parametrize("stage", ["base", "bridge"])
def test_of_old_examples_what_the_network_said_is_learnt(stage: str) -> None:
    spec = tiny(stage)
    torch.manual_seed(0)
    rule = make_stage(spec.stage(stage))
    before, network = rule.build_network(8), rule.build_network(8)
    torch.nn.init.normal_(before.head.weight, std=0.05)
    network.load_state_dict(before.state_dict())
    text = Heard() if spec.stage(stage).network.text else None
    batch = batch_of(spec, stage, 4)
    assert batch.old is not None
    assert not batch.old.any()

    def losses(old: list[bool], teacher: SpaceTimeDenoiser | None) -> Tensor:
        batch.old = torch.tensor(old)
        with torch.no_grad():
            return stage_loss(rule, network, batch, text, Draws.of(3, range(4)), teacher)[0]

    true = losses([False] * 4, before)
    assert (true > 0).all()
    # Without a network of before, all is learnt anew.
    assert losses([True] * 4, None).equal(true)
    mixed = losses([True, False, True, False], before)
    assert mixed[[0, 2]].tolist() == pytest.approx([0, 0], abs=1e-9)
    assert mixed[[1, 3]].equal(true[[1, 3]])
    # A network that has moved on is called back.
    torch.nn.init.normal_(network.head.weight, std=0.05)
    assert (losses([True] * 4, before) > 0).all()


def test_how_it_looks_counts_as_much_as_the_recipe_says(eye: Path) -> None:
    losses = {}
    torch.manual_seed(0)
    for weight in (0.0, 0.5, 1.0):
        spec = tiny("refiner", lpips=weight)
        rule = make_stage(spec.stage("refiner"))
        if not losses:
            network = rule.build_network(8)
            batch = batch_of(spec, "refiner", 3)
        drawn = Draws.of(3, range(3))
        losses[weight], _ = stage_loss(rule, network, batch, None, drawn, lpips=LPIPS(eye))
    added = losses[1.0] - losses[0.0]
    assert (added > 0).all()
    torch.testing.assert_close(losses[0.5] - losses[0.0], 0.5 * added)
    added.mean().backward()
    assert any(p.grad is not None and p.grad.any() for p in network.parameters())


def test_lpips_weights_and_their_weight_go_together(eye: Path, tmp_path: Path) -> None:
    for weight, file in ((0.0, eye), (0.5, None)):
        settings = RunSettings(tmp_path, workers=0, lpips=file)
        with pytest.raises(UsageError, match="give both lpips"):
            train_stage(tiny("refiner", lpips=weight, steps=1), "refiner", settings)
    settings = RunSettings(tmp_path, sheet_every=0, save_every=0, workers=0, lpips=eye)
    made = train_stage(tiny("refiner", lpips=0.5, steps=2), "refiner", settings)
    blind = RunSettings(tmp_path / "blind", sheet_every=0, save_every=0, workers=0)
    plain = train_stage(tiny("refiner", steps=2), "refiner", blind)
    files = [place / "diffusion_pytorch_model.safetensors" for place in (made, plain)]
    assert files[0].read_bytes() != files[1].read_bytes()


def test_an_untrained_network_is_judged_as_the_trained_one_is(eye: Path) -> None:
    """Else a refiner's looks would be taken for divergence."""
    rule = make_stage(tiny("refiner", lpips=1.0).stage("refiner"))
    torch.manual_seed(0)
    network = rule.build_network(8)  # whose heads start at zero
    batch = batch_of(tiny("refiner"), "refiner", 3)
    lpips = LPIPS(eye)
    with torch.no_grad():
        loss, sigma = stage_loss(rule, network, batch, None, Draws.of(3, range(3)), lpips=lpips)
    blind = untrained_loss(rule, batch, sigma, Draws.of(4, range(3)))
    found = untrained_loss(rule, batch, sigma, Draws.of(4, range(3)), lpips)
    assert (found > blind).all()
    # Squares are drawn anew, so it is about the same.
    torch.testing.assert_close(found.mean(), loss.mean(), rtol=0.3, atol=0)
