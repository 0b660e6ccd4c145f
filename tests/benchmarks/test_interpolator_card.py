"""The interpolation weights' card and what it is written from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.benchmarks.loading import load_script
from vidcascade.errors import UsageError


def test_the_card_says_what_was_measured() -> None:
    card = load_script("write_interpolator_card")
    weights, results = card.WEIGHTS, card.ROOT / "benchmarks" / "results"
    assert card.render(weights, results) == (weights / "README.md").read_text(encoding="utf-8")


def test_the_card_refuses_results_of_other_weights(tmp_path: Path) -> None:
    card = load_script("write_interpolator_card")
    with pytest.raises(UsageError, match=r"no .*interpolation\.json"):
        card.render(card.WEIGHTS, tmp_path)
    stored = card.ROOT / "benchmarks" / "results" / "interpolation.json"
    result = json.loads(stored.read_text(encoding="utf-8"))
    result["settings"]["weight_hashes"] = {"diffusion_pytorch_model.safetensors": "0"}
    (tmp_path / "interpolation.json").write_text(json.dumps(result))
    with pytest.raises(UsageError, match="other weights"):
        card.render(card.WEIGHTS, tmp_path)
