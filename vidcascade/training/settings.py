"""How a training is run, as opposed to what is trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vidcascade.errors import UsageError


@dataclass(frozen=True)
class RunSettings:
    """How to run, as opposed to what to train.

    Attributes:
        out: folder of the run: checkpoint, logs and sample sheets.
        max_minutes: stop (with a checkpoint) after this long; the next call goes on.
        budget_minutes: end the run, its learning rates decayed, when it has trained this long in
            all calls together. Rates then depend on the clock: a resumed run is not exact.
        sheet_every, save_every, log_every: in steps; 0 is never.
        workers: processes that draw examples.
        init: folder of weights to start from; of a distillation, a student's file. A network of
            fewer blocks, or one that is not told the places of words, grows what it lacks.
        keep: share of those weights in the result, in [0, 1): a mean of what was and what was
            learnt is often better than either (Wortsman et al. 2022). Where a student's last step
            is taught alone, it is of that step.
        seed: of examples and noise.
        lpips: file of LPIPS weights, for a recipe that gives them a weight.
        previous: folder of the stage before's network, whose re-generations become inputs; with
            those of stages before it in front, its own inputs are re-generated too.
        previous_share: probability that an example has such an input.
        compile: compile the network's blocks (torch.compile), which takes a minute at the start
            and a C++ compiler.
    """

    out: Path
    max_minutes: float | None = None
    sheet_every: int = 500
    save_every: int = 250
    log_every: int = 20
    workers: int = 1
    init: Path | None = None
    seed: int = 0
    previous: tuple[Path, ...] = ()
    previous_share: float = 0.5
    compile: bool = False
    budget_minutes: float | None = None
    keep: float = 0.0
    lpips: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            UsageError: a share to keep outside [0, 1), or of no weights.
        """
        if not 0.0 <= self.keep < 1.0:
            raise UsageError(
                f"The share of old weights to keep must be in [0, 1), not {self.keep:g}."
            )
        if self.keep > 0.0 and self.init is None:
            raise UsageError(
                "There are no old weights to keep a share of: name them with init (--init)."
            )
