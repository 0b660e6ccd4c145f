"""What ``train_bundled.py`` does: the trainings' time and settings, and what is measured."""

from __future__ import annotations

# Minutes of each training on two CPU cores with AMX; a GPU needs a fraction.
BUDGETS = {
    "space": 45.0, "base": 150.0, "bridge": 40.0, "refiner": 25.0,
    "bridge-own": 30.0, "refiner-own": 25.0, "distil": 45.0,
}  # fmt: skip
# On a GPU shorter trainings end before compiling pays: on an H100 it took more than two of them.
COMPILE_FROM = 10.0
# Appearance, and which of two subjects is on which side, is learnt on single frames, twenty times
# cheaper than clips: at much noise the sides, at little the detail (model card, 13).
SPACE = {
    "muon_lr": "0.01", "adam_lr": "1.0e-3", "warmup": "50", "shift": "3.0", "sigma_std": "1.6",
}  # fmt: skip
# Motions that a base learns last, and how many times as often they are drawn.
EMPHASIS = {"spin": 4, "shake": 1.5, "still": 1.5}
# Bridge and refiner go on from what they learnt on the truth, on whole clips that the stages before
# them, the base's student first, made over (vidcascade.training.regenerate), with some true ones
# among them: batch and recipe.
OWN = {
    "bridge": (4, {"frames": "null", "crop": "64", "muon_lr": "0.006", "adam_lr": "1.0e-3"}),
    "refiner": (2, {"frames": "null", "crop": "96", "muon_lr": "0.004", "adam_lr": "5.0e-4"}),
}
OWN_SHARE = "0.7"
# What is added where LPIPS weights are named.
OWN_BY_EYE = {"lpips": "0.004", "subject_weight": "2.0"}
# Half of what the truth taught is kept: nearly all of the gain on the stages' work, for less of a
# loss on the truth (benchmarks.gap).
OWN_KEEP = "0.5"
# Shares of the time for distillation. Each goes on from what the one before it has taught; the
# third needs LPIPS weights.
DISTILLING = {"consistency": 0.35, "matching": 0.3, "perceptual": 0.35}
# At lower rates, with some of the former kept: after matching a quarter, which has no grid in flat
# areas, and after perceptual three tenths of what the last step was, for the same reason.
GOING_ON = {
    "matching": ("--set", "adam_lr=5.0e-4", "--keep", "0.25"),
    "perceptual": ("--set", "adam_lr=7.0e-4", "--keep", "0.3"),
}
EVALUATIONS: dict[str, tuple[str, ...]] = {
    "adherence": ("--clips", "48", "--seen", "16", "--wording", "8", "--binding", "9"),
    "distillation": ("--clips", "48"),
    "stages": ("--clips", "8"),
    "gap": ("--clips", "8"),
    "generate": (),
    "likeness": ("--teachers",),
    "variety": ("--teachers",),
}
# Those that look at pictures as AlexNet does; all but the last do without if they must.
WITH_LPIPS = ("distillation", "stages", "gap", "likeness")
