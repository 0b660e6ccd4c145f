"""The ablation's rows train, are measured with one ruler and are not repeated for nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from benchmarks.training import ablation
from benchmarks.training.asking import Questions, shares
from benchmarks.training.budget import train
from benchmarks.training.held_out import BANDS, HeldOut, score
from benchmarks.training.variants import BASELINE, NAMED, VARIANTS, Variant, VelocityStage
from vidcascade.cascade.base import BaseStage
from vidcascade.cascade.running import TextStates, run_stage
from vidcascade.cascade.spec import CascadeSpec
from vidcascade.diffusion.flow_matching import add_noise
from vidcascade.metrics.adherence.teaching import Lessons
from vidcascade.nn.text import build_text_encoder
from vidcascade.training.objective import TextCache

pytestmark = pytest.mark.filterwarnings("ignore:no stickers in")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def spec() -> CascadeSpec:
    data = CascadeSpec.load("tiny").model_dump(mode="json")
    data["stages"] = data["stages"][:1]
    data["stages"][0]["network"] |= {
        "patch": 2, "channels": [16, 16, 32], "depths": [1, 1, 1],
        "spatial_attention": [False, False, True],
        "temporal": ["convolution", "attention", "joint"],
    }  # fmt: skip
    data["stages"][0]["training"] |= {
        "batch": 2, "warmup": 1, "subject_weight": 2.0, "shift": 16.0,
    }  # fmt: skip
    data["world"] |= {
        "solids": ["ball", "star"], "colours": ["red", "blue"], "motions": ["left", "right"],
        "backgrounds": ["sky", "grey"], "solid_share": 1.0, "two_subjects": 0.0, "camera": 0.0,
        "held_out": 0.2,
    }  # fmt: skip
    return CascadeSpec.from_dict(data)


@pytest.fixture(scope="module")
def text(spec: CascadeSpec) -> TextCache:
    return TextCache(build_text_encoder(spec.text.encoder, spec.text.max_tokens))


@pytest.fixture(scope="module")
def clips(spec: CascadeSpec) -> HeldOut:
    return HeldOut.draw(spec, 3)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: v.name)
def test_every_row_trains(
    variant: Variant, spec: CascadeSpec, text: TextCache, clips: HeldOut
) -> None:
    changed = variant.spec(spec)
    found = train(changed, changed.stages[0], variant, text, 1e-6 * variant.budget, CPU)
    assert found.steps == (variant.budget > 0)
    assert found.parameters > 1000
    assert found.flops > 1e6
    assert set(found.networks) == {changed.stages[0].training.ema, *variant.decays}
    for network in found.networks.values():
        measured = score(variant.rule(changed.stages[0]), network, clips, text, spec.dtype)
        assert measured.mean > 0
        assert measured.mean == measured.mean


def test_rows_differ_from_the_baseline_by_what_they_say(spec: CascadeSpec) -> None:
    base = BASELINE.spec(spec)
    assert base.stages == spec.stages
    settings = [(v.spec(spec).to_yaml(), tuple(v.settings().items())) for v in VARIANTS]
    assert len(set(settings)) == len(VARIANTS)
    assert NAMED["wide"].spec(spec).stages[0].network.channels == (32, 32, 64)


def test_the_ruler_measures_the_velocity_whatever_is_predicted(
    spec: CascadeSpec, text: TextCache, clips: HeldOut
) -> None:
    grey: Any = SimpleNamespace(device=CPU, predict=lambda z: torch.zeros_like(z))

    class Rule(BaseStage):
        def predict(
            self, network: Any, sample: Tensor, sigma: Tensor, *given: Any, **more: Any
        ) -> Tensor:
            return cast("Tensor", network.predict(sample))

    found = score(Rule(spec.stages[0]), grey, clips, text, "float32", 2)
    power = float(clips.target.square().mean())
    wanted = [power * sum(s**-2 for s in levels) / len(levels) for levels in BANDS.values()]
    assert found.bands == pytest.approx(wanted, rel=1e-4)
    assert found.text == pytest.approx(0.0, abs=1e-6)
    # The true velocity is no error at all, and half of it is a quarter of the greatest one.
    stage = VelocityStage(spec.stages[0])
    x, noise, sigma = clips.target[:1], torch.randn_like(clips.target[:1]), torch.tensor([0.4])
    point = add_noise(x, noise, sigma)
    perfect: Any = lambda *given: noise - x  # noqa: E731
    made = stage.predict(perfect, point, sigma)
    torch.testing.assert_close(made, x, atol=1e-5, rtol=1e-5)


def test_a_variant_is_asked_as_its_rule_says(
    spec: CascadeSpec, text: TextCache, tmp_path: Path
) -> None:
    questions = Questions.draw(spec, 3, tmp_path, Lessons(scenes=24, steps=2))
    stage = spec.stages[0]
    rule, other = BaseStage(stage), VelocityStage(stage)
    network = rule.build_network(text.encoder.width).eval()
    judged = questions.ask(rule, network, text, "float32")
    assert [j.caption for j in judged] == [p.text for p in questions.prompts]
    assert judged == questions.ask(rule, network, text, "float32")
    # The same network means other clips where its output is taken for the velocity.
    made = [
        run_stage(stage, network, [5], text=TextStates(*text(["a red ball"]), *text([""])), rule=r)
        for r in (rule, other)
    ]
    assert (made[0] - made[1]).abs().max() > 0.1
    right = [replace(j, right=j.right | {"subject": k == 0}) for k, j in enumerate(judged)]
    assert shares(right)["subject"] == pytest.approx(1 / 3)


def test_rows_are_stored_and_not_repeated(
    spec: CascadeSpec, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    file = tmp_path / "spec.yaml"
    file.write_text(spec.to_yaml(), encoding="utf-8")
    arguments = ["--spec", str(file), "--minutes", "0.01", "--clips", "2"]
    arguments += ["--results", str(tmp_path), "--run", str(tmp_path / "judge")]
    arguments += ["--prompts", "2", "--scenes", "24", "--lessons", "2"]
    assert ablation.main([*arguments, "--row", "baseline", "--row", "predict-v"]) == 0
    result = json.loads((tmp_path / "ablation.json").read_text())
    assert set(result["data"]["rows"]) == {"baseline", "predict-v"}
    base = result["data"]["rows"]["baseline"]
    assert base["steps"] >= 1
    assert base["seconds"] >= 0.6
    assert set(base["averages"]) == {"0", "0.9", "0.97", "0.99", "0.999"}
    losses, asked, averages, rows = result["tables"]
    assert [row[0] for row in losses["rows"]] == ["baseline", "predict-v"]
    assert losses["rows"][0][losses["columns"].index("vs baseline")] == "+0.0 %"
    assert asked["columns"] == ["row", "subject", "motion", "background", "everything"]
    assert [row[0] for row in asked["rows"]] == ["baseline", "predict-v"]
    assert all(0.0 <= share <= 1.0 for share in base["adherence"].values())
    assert len(averages["rows"]) == 5
    given = "--minutes 0.01 --clips 2 --prompts 2 --lessons 2 --scenes 24"
    given += f" --spec {file}"
    assert f"--row predict-v --again {given}`" in rows["rows"][1][2]
    assert result["command"] == f"python -m benchmarks.training.ablation {given}"
    assert len(losses["notes"]) == 2
    pair = {"baseline": base, "baseline-seed-1": base | {"bands": [2 * b for b in base["bands"]]}}
    moving = base | {"adherence": base["adherence"] | {"motion": 0.5}}
    still = base | {"adherence": base["adherence"] | {"motion": 0.0}}
    for row, said in ((moving, False), (still, True)):
        notes = ablation.make_tables({"baseline": row}, 1.0, "")[1].notes
        assert any("no row learns motion" in note for note in notes) == said
    assert "σ 0.2 +100 %" in ablation.make_tables(pair, 1.0, "")[0].notes[2]
    capsys.readouterr()
    # A finished row stands; another one joins it; what is no row any more is forgotten.
    result["data"]["rows"]["gone"] = base
    (tmp_path / "ablation.json").write_text(json.dumps(result), encoding="utf-8")
    assert ablation.main([*arguments, "--row", "baseline", "--row", "untrained"]) == 0
    assert "baseline: stored" in capsys.readouterr().out
    again = json.loads((tmp_path / "ablation.json").read_text())
    assert set(again["data"]["rows"]) == {"untrained", "baseline", "predict-v"}
    assert again["data"]["rows"]["baseline"] == base
    # Other settings take the place of all that is stored, or of nothing.
    stored = (tmp_path / "ablation.json").read_bytes()
    other = [*arguments, "--clips", "3", "--row", "baseline"]
    assert ablation.main(other) == 2
    assert "rows of other settings (baseline, predict-v, untrained)" in capsys.readouterr().err
    assert ablation.main([*other, "--again"]) == 2
    assert "rows of other settings (predict-v, untrained)" in capsys.readouterr().err
    assert (tmp_path / "ablation.json").read_bytes() == stored
    other += ["--row", "predict-v", "--row", "untrained", "--sheets", str(tmp_path / "sheets")]
    assert ablation.main([*other, "--again"]) == 0
    assert ": stored" not in capsys.readouterr().out
    assert list((tmp_path / "sheets" / "baseline").glob("*.png"))
    anew = json.loads((tmp_path / "ablation.json").read_text())["data"]["rows"]
    assert {row["settings"]["clips"] for row in anew.values()} == {3}
    assert len(anew) == 3
    assert ablation.main([*arguments, "--row", "none"]) == 2
    assert "choose from untrained, baseline" in capsys.readouterr().err
