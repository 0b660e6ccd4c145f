"""Write the bundled weights' model card from what the benchmarks have stored.

    python scripts/write_card.py

The prose is ``scripts/model_card.md.j2``; every number of its tables comes from
``benchmarks/results`` or the weights themselves, and only what trainings showed on the way is told
in words. A result that was measured with other weights is refused. The project's README
gets a short table of them (``scripts/readme_summary.md.j2``).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors import safe_open

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.cards import template, write_card  # noqa: E402
from benchmarks.report import markdown_notes, markdown_table  # noqa: E402
from vidcascade.cascade.reading import READER  # noqa: E402
from vidcascade.cascade.spec import CascadeSpec  # noqa: E402
from vidcascade.cascade.students import STUDENT_FILE, load_student, parted  # noqa: E402
from vidcascade.cascade.weights import verify_checksums  # noqa: E402
from vidcascade.errors import UsageError  # noqa: E402

# Results that do not depend on every stage: the base's clips, and stages on true inputs.
_CONCERNS: dict[str, str | tuple[str, ...]] = {
    "adherence": ("base/", "reader/"),
    "adherence_teacher": "base/diffusion",
    "captioned": "base/",
    "variety": "base/",
    "distillation": "base/",
    "stages": ("bridge/", "refiner/"),
    "stages_real": ("bridge/", "refiner/"),
}
# The others are of all networks, on prompts that need no reading.
_NETWORKS = ("base/", "bridge/", "refiner/")
WEIGHTS = ROOT / "assets" / "weights" / "stickers"


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, render, write; the exit status."""
    return write_card(__doc__, WEIGHTS, render, arguments, summary)


def summary(weights: Path, results: Path) -> str:
    """What the README says of them.

    Raises:
        UsageError: as :func:`render`.
    """
    hashes = verify_checksums(weights)
    names = ("adherence", "adherence_teacher", "generate")
    found = {name: _load(results, name, hashes) for name in names}
    for name, result in found.items():
        if not result["settings"].get("weight_hashes"):
            raise UsageError(
                f"{results / name}.json does not say with which weights: run it again."
            )
    spec = CascadeSpec.load(weights / "spec.yaml")
    return template(ROOT / "scripts" / "readme_summary.md.j2").render(**found, spec=spec)


def render(weights: Path, results: Path) -> str:
    """The card as Markdown.

    Raises:
        UsageError: results that are missing or were measured with other weights.
    """
    hashes = verify_checksums(weights)

    def table(name: str, number: int, columns: Sequence[int] | None = None) -> str:
        """Table ``number`` of a stored result, or some of its columns, with its notes below."""
        found = _load(results, name, hashes)["tables"][number]
        if columns is not None:
            pick = [found["columns"][k] for k in columns]
            rows = [[row[k] for k in columns] for row in found["rows"]]
            found = {**found, "columns": pick, "rows": rows}
        return "\n".join((markdown_table(found), *markdown_notes(found)))

    def result(name: str) -> dict[str, Any]:
        return _load(results, name, hashes)

    def numbered(name: str, title: str) -> int | None:
        """Which table of a stored result has a title that begins so, if one has."""
        titles = [found["title"] for found in result(name)["tables"]]
        return next((k for k, found in enumerate(titles) if found.startswith(title)), None)

    def optional(name: str) -> dict[str, Any] | None:
        """A stored result that not every cascade has."""
        return result(name) if (results / f"{name}.json").is_file() else None

    spec = CascadeSpec.load(weights / "spec.yaml")
    parameters, own_last = {}, False
    for stage in spec.stages:
        folder = weights / stage.name
        parameters[stage.name] = _parameters(folder / "diffusion_pytorch_model.safetensors")
        if stage.student is not None:
            parameters[f"{stage.name} student"] = _parameters(folder / STUDENT_FILE)
            own_last = bool(parted(load_student(folder / STUDENT_FILE)[0])[1])
    reader = weights / READER / "diffusion_pytorch_model.safetensors"
    if reader.is_file():
        parameters["reader"] = _parameters(reader)
    return template(ROOT / "scripts" / "model_card.md.j2").render(
        table=table,
        result=result,
        numbered=numbered,
        optional=optional,
        spec=spec,
        parameters=parameters,
        own_last=own_last,
    )


def _load(results: Path, name: str, hashes: dict[str, str]) -> dict[str, Any]:
    path = results / f"{name}.json"
    if not path.is_file():
        module = name.removesuffix("_teacher")
        command = f"python -m benchmarks.{module}{' --teacher' if module != name else ''}"
        raise UsageError(f"There is no {path}: run {command} first.")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    measured = found["settings"].get("weight_hashes", {})
    for part, digest in measured.items():
        if not part.startswith(_CONCERNS.get(name, _NETWORKS)):
            continue
        if hashes.get(part) != digest:
            raise UsageError(
                f"{path} was measured with other weights ({part} differs): measure again."
            )
    return found


def _parameters(file: Path) -> str:
    count = 0
    with safe_open(file, "np") as handle:
        for key in handle.keys():  # noqa: SIM118 - it is no mapping
            size = 1
            for side in handle.get_slice(key).get_shape():
                size *= side
            count += size
    return f"{count / 1e6:.1f} M"


if __name__ == "__main__":
    raise SystemExit(main())
