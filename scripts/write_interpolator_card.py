"""Write the interpolation weights' model card from what was stored.

    python scripts/write_interpolator_card.py

The prose is ``scripts/interpolator_card.md.j2``; every number comes from
``benchmarks/results/interpolation.json`` or from the weights' own folder. A result that was
measured with other weights is refused.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.cards import template, write_card  # noqa: E402
from benchmarks.report import markdown_table  # noqa: E402
from vidcascade.cascade.weights import file_hashes  # noqa: E402
from vidcascade.errors import UsageError  # noqa: E402

WEIGHTS = ROOT / "assets" / "weights" / "interpolator"


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, render, write; the exit status."""
    return write_card(__doc__, WEIGHTS, render, arguments)


def render(weights: Path, results: Path) -> str:
    """The card as Markdown.

    Raises:
        UsageError: results that are missing or were measured with other weights.
    """
    result = _load(results / "interpolation.json", "python -m benchmarks.interpolation")
    if result["settings"]["weight_hashes"] != file_hashes(weights):
        raise UsageError("interpolation.json was measured with other weights: measure again.")
    training = _load(weights / "training.json", "scripts/train_interpolator.py export")
    return template(ROOT / "scripts" / "interpolator_card.md.j2").render(
        result=result, training=training, markdown_table=markdown_table
    )


def _load(path: Path, maker: str) -> dict[str, Any]:
    if not path.is_file():
        raise UsageError(f"There is no {path}: run {maker} first.")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


if __name__ == "__main__":
    raise SystemExit(main())
