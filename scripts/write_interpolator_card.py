"""Write the interpolation weights' model card from what was stored.

    python scripts/write_interpolator_card.py

The prose is ``scripts/interpolator_card.md.j2``; every number comes from
``benchmarks/results/interpolation.json`` or from the weights' own folder. A result that was
measured with other weights is refused.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.report import markdown_table  # noqa: E402
from vidcascade.cascade.weights import file_hashes  # noqa: E402
from vidcascade.errors import UsageError, VidCascadeError  # noqa: E402

WEIGHTS = ROOT / "assets" / "weights" / "interpolator"


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, render, write; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    args = parser.parse_args(arguments)
    try:
        text = render(args.weights, args.results)
    except VidCascadeError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    (args.weights / "README.md").write_text(text, encoding="utf-8")
    print(args.weights / "README.md")
    return 0


def render(weights: Path, results: Path) -> str:
    """The card as Markdown.

    Raises:
        UsageError: results that are missing or were measured with other weights.
    """
    result = _load(results / "interpolation.json", "python -m benchmarks.interpolation")
    if result["settings"]["weight_hashes"] != file_hashes(weights):
        raise UsageError("interpolation.json was measured with other weights: measure again.")
    training = _load(weights / "training.json", "scripts/train_interpolator.py export")
    environment = Environment(
        loader=FileSystemLoader(ROOT / "scripts"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown; nothing in it comes from outside the project
    )
    template = environment.get_template("interpolator_card.md.j2")
    return template.render(result=result, training=training, markdown_table=markdown_table)


def _load(path: Path, maker: str) -> dict[str, Any]:
    if not path.is_file():
        raise UsageError(f"There is no {path}: run {maker} first.")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


if __name__ == "__main__":
    raise SystemExit(main())
