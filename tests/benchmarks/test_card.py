"""The model card and what it is written from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import cards
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


def test_the_card_s_tables_keep_their_notes() -> None:
    card = load_script("write_card")
    results = card.ROOT / "benchmarks" / "results"
    text = card.render(card.WEIGHTS, results)
    for name, number in (("adherence", 0), ("stages", 4), ("gap", 2), ("distillation", 0)):
        table = json.loads((results / f"{name}.json").read_text(encoding="utf-8"))["tables"][number]
        last = "| " + " | ".join(table["rows"][-1]) + " |"
        notes = "\n\n".join(f"*{n[:1].upper()}{n[1:]}.*" for n in table["notes"])
        assert f"{last}\n\n{notes}\n\n" in text


def test_the_readme_says_what_was_measured() -> None:
    card = load_script("write_card")
    readme = cards.README.read_text(encoding="utf-8")
    results = card.ROOT / "benchmarks" / "results"
    summary = card.summary(card.WEIGHTS, results)
    assert cards.with_summary(readme, summary) == readme
    measured = json.loads((results / "adherence.json").read_text(encoding="utf-8"))
    right = [j["right"]["everything"] for j in measured["data"]["held-out"]["generated"]]
    row = next(line for line in summary.splitlines() if line.startswith("| `generate` "))
    assert row.split("|")[-2].strip() == f"{sum(right) / len(right):.0%}".replace("%", " %")
    other = cards.with_summary(readme, "Nothing.")
    assert "Nothing." in other
    assert row not in other
    assert cards.with_summary(other, summary) == readme
    for broken in ("", cards.BEGIN, cards.END + cards.BEGIN):
        with pytest.raises(UsageError, match="no place for what was measured"):
            cards.with_summary(broken, summary)


def test_only_the_bundled_weights_change_the_readme(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readme, own, other = (tmp_path / name for name in ("README.md", "own", "other"))
    readme.write_text(f"# It\n{cards.BEGIN}\nold\n{cards.END}\n", encoding="utf-8")
    monkeypatch.setattr(cards, "README", readme)
    for folder, said in ((other, "old"), (own, "own: 7 s")):
        folder.mkdir()
        given = ["--weights", str(folder), "--results", str(tmp_path)]
        written = cards.write_card(
            "", own, lambda w, r: "card", given, lambda w, r: f"{w.name}: 7 s"
        )
        assert written == 0
        assert (folder / "README.md").read_text(encoding="utf-8") == "card"
        assert said in readme.read_text(encoding="utf-8")


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
