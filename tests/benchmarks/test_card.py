"""The model card and what it is written from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.training import history as training
from tests.benchmarks.loading import load_script
from vidcascade.errors import UsageError


def test_training_logs_are_summed_up(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    lines = ["step,minutes,loss,clips_per_second"]
    lines += [f"{20 * k},{0.5 * k},{1 / k:.3f},{10 + k % 3}" for k in range(1, 21)]
    (tmp_path / "log.csv").write_text("\n".join(lines) + "\n")
    run = training.read(f"base, time={tmp_path}:4")
    assert (run.title, run.steps, run.examples, run.minutes) == ("base, time", 400, 1600, 10.0)
    assert run.loss == pytest.approx((1 / 19 + 1 / 20) / 2, abs=1e-3)
    assert run.clips_per_second == 11
    assert training.main(["--run", f"a={tmp_path}:4", "--results", str(tmp_path)]) == 0
    assert json.loads((tmp_path / "training.json").read_text())["data"]["runs"][0]["steps"] == 400
    # Runs of another machine and another day can be put beside the stored ones.
    path = tmp_path / "training.json"
    old = json.loads(path.read_text())
    del old["data"]["runs"][0]["processor"]
    old["machine"]["processor"] = "Abacus"
    path.write_text(json.dumps(old))
    more = ["--run", f"b={tmp_path}:8", "--results", str(tmp_path), "--add"]
    assert training.main(more) == 0
    assert training.main(more) == 0
    found = json.loads(path.read_text())
    assert [(r["title"], r["batch"]) for r in found["data"]["runs"]] == [("a", 4), ("b", 8)]
    assert found["tables"][0]["rows"][0][-1] == "Abacus"
    for wrong in ("a", f"a={tmp_path}", f"a={tmp_path}/none:4"):
        assert training.main(["--run", wrong, "--results", str(tmp_path)]) == 2
    assert "write it like" in capsys.readouterr().err


def test_the_card_says_what_was_measured() -> None:
    card = load_script("write_card")
    weights, results = card.WEIGHTS, card.ROOT / "benchmarks" / "results"
    assert card.render(weights, results) == (weights / "README.md").read_text(encoding="utf-8")


def test_the_card_refuses_results_of_other_weights(tmp_path: Path) -> None:
    card = load_script("write_card")
    weights, results = card.WEIGHTS, card.ROOT / "benchmarks" / "results"
    for file in results.glob("*.json"):
        found = json.loads(file.read_text(encoding="utf-8"))
        hashes = (
            found.get("settings", {}).get("weight_hashes", {}) if isinstance(found, dict) else {}
        )
        if file.stem == "stages":
            found["settings"]["weight_hashes"] = dict.fromkeys(hashes, "0" * 64)
        (tmp_path / file.name).write_text(json.dumps(found), encoding="utf-8")
    with pytest.raises(UsageError, match="other weights"):
        card.render(weights, tmp_path)
    (tmp_path / "stages.json").unlink()
    with pytest.raises(UsageError, match=r"benchmarks\.stages first"):
        card.render(weights, tmp_path)
