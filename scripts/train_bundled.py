"""Train the bundled weights from an empty folder: ``python scripts/train_bundled.py --out runs``.

Fetches the stickers, trains the stages one after the other, puts them together, measures them and
writes the model card. With ``--spec`` it does so for any cascade, also for one of one or two stages
(``configs/baselines``): what needs a base, a bridge and a refiner is then left out. With
``--clips`` the base and its student also learn from a folder of captioned videos; with ``--lpips``
the student's last step, and the stages after it, are taught by eye.
Every training has a budget in minutes, at whose end its learning rates have decayed. Run the same
command again after an interruption, however it came: what is done is skipped, and a training goes
on from its last checkpoint.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(Path(__file__).resolve().parent))

import bundled_recipes as recipes  # noqa: E402

# Of the phases: a folder that was begun in another is not gone on with.
ORDER = 6
STUDENT = "student.safetensors"


@dataclass(frozen=True)
class Phase:
    """One thing to do: its name, and what does it."""

    name: str
    act: Callable[[], None]


class Plan:
    """All phases of a run, in order; which of them are done is kept as files in ``out/done``.

    Args:
        args: the command line.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        from vidcascade.cascade.spec import CascadeSpec

        self.args, self.out = args, args.out
        self.device = _device()
        self.spec = CascadeSpec.load(args.spec)
        self.stages = [stage.name for stage in self.spec.stages]
        if unknown := set(self.stages) - set(recipes.BUDGETS):
            raise SystemExit(f"{args.spec} has a stage {min(unknown)}, which has no budget here.")
        # Stages that go on, on the work of those before them, and the names of these trainings.
        self.owns = {stage: f"{stage}-own" for stage in self.stages[1:]}
        trained = ["space", *self.stages, *self.owns.values()]
        if self.spec.stages[0].student is not None:
            trained.append("distil")
        # The base and its student read prompts; the stages after them do not, and learn from the
        # world, whose clips can be drawn at any size.
        self.clips: tuple[str, ...] = ()
        if args.clips is not None:
            self.clips = ("--data", str(args.clips), "--data-share", str(args.clips_share))
        self.budgets: Mapping[str, float] = {
            n: getattr(args, f"{n.replace('-', '_')}_minutes") for n in trained
        }
        self.owns = {stage: name for stage, name in self.owns.items() if self.budgets[name] > 0}
        self.weights = self.out / "weights"
        # The cascade before its stages saw each other's work.
        self.apart = self.out / "weights-apart" if self.owns else self.weights
        self.results = self.out / "results"
        self.reader = self.out / "reader"

    def phases(self) -> list[Phase]:
        """What is to be done, in order."""
        base = "space" if self.budgets["space"] > 0 else None
        whole = self.stages == ["base", "bridge", "refiner"]
        measured = [name for name in recipes.EVALUATIONS if whole or name not in ("stages", "gap")]
        if whole and not self.owns:
            measured.remove("gap")
        if self.clips:
            measured.append("captioned")
        if "distil" not in self.budgets or self.budgets["distil"] <= 0:
            measured.remove("distillation")
        if self.args.lpips is None:
            measured.remove("likeness")  # which does not work without
        chosen = [
            Phase("fetch", lambda: self._python("scripts/fetch_stickers.py")),
            Phase(
                "space",
                lambda: self._train("space", "base", None, self._space_batch(), 1, recipes.SPACE),
            ),
            Phase("base", lambda: self._train("base", "base", base, recipe=self._emphasis())),
            *(Phase(name, partial(self._train, name, name)) for name in self.stages[1:]),
            *([Phase("reader", self._read)] if self.spec.world is not None else []),
            Phase("assemble", self._assemble),
            *([Phase("distil", self._distil)] if "distil" in self.budgets else []),
            *(Phase(name, partial(self._own, stage)) for stage, name in self.owns.items()),
            *([Phase("join", self._join)] if self.owns else []),
            *(Phase(f"measure-{name}", self._measure(name)) for name in measured),
            Phase("history", self._history),
            Phase("report", self._report),
            *([Phase("card", self._card)] if whole else []),
        ]
        return [p for p in chosen if p.name in self.args.only] if self.args.only else chosen

    def run(self) -> None:
        """Do what is not done yet.

        Raises:
            subprocess.CalledProcessError: a phase that failed; its own words are on the terminal.
        """
        done = self.out / "done"
        done.mkdir(parents=True, exist_ok=True)
        self._claim()
        if self._by_eye():
            looking = ("distil", *self.owns.values())
            if any(p.name in looking and not (done / p.name).exists() for p in self.phases()):
                self._eye()
        elif self.args.lpips is not None:
            print("LPIPS weights measure only: this run began without them", flush=True)
        for phase in self.phases():
            mark = done / phase.name
            if mark.exists() or self.budgets.get(phase.name, 1.0) <= 0:
                print(f"{phase.name}: {'done' if mark.exists() else 'left out'}", flush=True)
                continue
            print(f"{phase.name}: {time.strftime('%H:%M:%S')}", flush=True)
            phase.act()
            mark.touch()
            if phase.name.startswith("measure-"):
                for telling in ("report", "card"):
                    (done / telling).unlink(missing_ok=True)

    def _claim(self) -> None:
        """A folder belongs to one set of settings: what is done was done with them."""
        given = {"spec": self.args.spec, "minutes": dict(self.budgets), "order": ORDER}
        settings = json.dumps(given | ({"clips": self.clips} if self.clips else {}))
        file = self.out / "settings.json"
        if file.exists() and file.read_text(encoding="utf-8") != settings:
            raise SystemExit(
                f"{self.out} was begun with other settings (see settings.json in it): use the same "
                "ones, or another --out."
            )
        file.write_text(settings, encoding="utf-8")

    def _train(
        self,
        name: str,
        stage: str,
        init: str | None = None,
        batch: int | None = None,
        frames: int | None = None,
        recipe: Mapping[str, str] | None = None,
        previous: Sequence[Path] = (),
    ) -> None:
        minutes = str(self.budgets[name])
        command = ["train", stage, "--spec", self.args.spec, "--out", str(self.out / name)]
        command += ["--budget-minutes", minutes, *self._pace()]
        command += self._compiled(name, self.budgets[name])
        if batch is not None:
            command += ["--batch", str(batch)]
        if frames is not None:
            command += ["--frames", str(frames)]
        if init is not None:
            command += ["--init", str(self._network(init, stage))]
        for key, value in (recipe or {}).items():
            command += ["--set", f"{key}={value}"]
        if stage == self.stages[0]:
            command += self.clips
        for folder in previous:
            command += ["--previous", str(folder)]
        if previous:
            command += ["--previous-share", recipes.OWN_SHARE, "--keep", recipes.OWN_KEEP]
            command += self._eye() if self._by_eye() else []
        self._python("-m", "vidcascade", *command)

    def _pace(self) -> list[str]:
        """How often a training draws and saves; a GPU, whose steps are short, less often."""
        often = ["--sheet-every", "1000"]
        if self.device == "cuda":
            often = ["--sheet-every", "2000", "--save-every", "1000", "--log-every", "50"]
        return [*often, "--workers", str(self.args.workers)]

    def _compiled(self, name: str, minutes: float) -> list[str]:
        if not self.args.compile:
            return []
        if self.device == "cuda" and minutes < recipes.COMPILE_FROM:
            print(f"{name} is too short to be compiled", flush=True)
            return []
        return ["--compile"]

    def _space_batch(self) -> int:
        """Single frames in a step: a GPU takes many times as many as of the spec's clips."""
        return 128 if self.device == "cpu" else 4 * self.spec.stages[0].training.batch

    def _emphasis(self) -> dict[str, str]:
        """The base's setting, of motions that the spec's world has, unless the spec has its own."""
        if self.spec.world is None or self.spec.stages[0].training.emphasis:
            return {}
        known = set(self.spec.world.names("motions"))
        chosen = [
            f"{motion}: {times}" for motion, times in recipes.EMPHASIS.items() if motion in known
        ]
        return {"emphasis": f"{{{', '.join(chosen)}}}"} if chosen else {}

    def _own(self, stage: str) -> None:
        """Train a stage on, on what the finished stages before it make together."""
        kind = self.spec.stage(stage).kind
        batch, recipe = recipes.OWN[kind]
        base, *others = self.stages[: self.stages.index(stage)]
        # The assembled base's folder also has its student, which is what makes clips in the end.
        previous = [self.apart / base, *(self._finished(name) for name in others)]
        if self._methods() and not (self.apart / base / STUDENT).is_file():
            raise SystemExit(f"{self.apart} has no student yet: run the phase distil first.")
        name = self.owns[stage]
        if self._by_eye():
            recipe = recipe | recipes.OWN_BY_EYE
        self._train(name, stage, stage, batch, None, recipe, previous)

    def _finished(self, stage: str) -> Path:
        """The last network of a stage."""
        return self._network(self.owns.get(stage, stage), stage)

    def _network(self, name: str, stage: str) -> Path:
        return Path(self.out / name / stage / "network")

    def _read(self) -> None:
        """The reader of prompts, which learns on text alone."""
        given = ("--spec", self.args.spec, "--out", str(self.reader), "--force")
        self._python("scripts/train_reader.py", *given)

    def _assemble(self, student: Path | None = None) -> None:
        """The cascade as its stages learnt from the truth."""
        networks = {stage: self._network(stage, stage) for stage in self.stages}
        self._put_together(self.apart, networks, student)

    def _join(self) -> None:
        """The cascade of stages that saw each other's work, with the student that there is."""
        student = self.apart / self.stages[0] / STUDENT
        if self._methods() and not student.is_file():
            raise SystemExit(f"{self.apart} has no student yet: run the phase distil first.")
        networks = {stage: self._finished(stage) for stage in self.stages}
        self._put_together(self.weights, networks, student if student.is_file() else None)

    def _put_together(self, out: Path, networks: Mapping[str, Path], student: Path | None) -> None:
        command = ["assemble", str(out), "--spec", self._described(), "--force"]
        for stage, network in networks.items():
            command += ["--network", f"{stage}={network}"]
        if student is not None:
            command += ["--student", f"base={student}"]
        if self.reader.is_dir():
            command += ["--reader", str(self.reader)]
        self._python("-m", "vidcascade", *command)

    def _described(self) -> str:
        """The spec, whose world knows what words the clips' captions add."""
        if not self.clips:
            return str(self.args.spec)
        file = self.out / "spec.yaml"
        if file.exists():
            return str(file)
        from vidcascade.training.mixing import with_words
        from vidcascade.training.sources import FolderSource
        from vidcascade.video import atomic_path

        new = FolderSource.open(self.spec, self.stages[0], self.args.clips)
        with atomic_path(file) as temporary:
            temporary.write_text(with_words(self.spec, new).to_yaml(), encoding="utf-8")
        return str(file)

    def _distil(self) -> None:
        """The base's student, by one method after the other, and the cascade with it."""
        student = None
        for method, share in self._methods().items():
            out = self.out / method
            command = ["distil", "base", "--spec", self.args.spec, "--weights", str(self.apart)]
            minutes = self.budgets["distil"] * share
            command += ["--method", method, "--out", str(out), *self._pace(), *self.clips]
            command += ["--budget-minutes", str(minutes)]
            # Perceptual asks for other numbers of clips at every step, and each would be compiled.
            if method != "perceptual":
                command += self._compiled(method, minutes)
            if student is not None:
                command += ["--init", str(student), *recipes.GOING_ON[method]]
            if method == "perceptual":
                command += self._eye()
            self._python("-m", "vidcascade", *command)
            student = out / "base" / STUDENT
        self._assemble(student)

    def _methods(self) -> dict[str, float]:
        """Ways of distilling that this run goes, and their shares of the time."""
        student = self.spec.stages[0].student
        if student is None or self.budgets["distil"] <= 0:
            return {}
        shares = dict(recipes.DISTILLING)
        if not self._by_eye() or student.steps < 2:
            del shares["perceptual"]
        return {method: share / sum(shares.values()) for method, share in shares.items()}

    def _by_eye(self) -> bool:
        """Whether LPIPS weights teach in this run.

        It is settled once: those that are named later are only measured with.
        """
        file = self.out / "eye.json"
        if not file.exists():
            file.write_text(json.dumps(self.args.lpips is not None), encoding="utf-8")
        return bool(json.loads(file.read_text(encoding="utf-8")))

    def _eye(self) -> list[str]:
        if self.args.lpips is None:
            raise SystemExit(f"{self.out} was begun with --lpips: name the weights again.")
        return ["--lpips", str(self.args.lpips)]

    def _measure(self, name: str) -> Callable[[], None]:
        def act() -> None:
            self.results.mkdir(parents=True, exist_ok=True)
            given = ["--weights", str(self.weights), "--results", str(self.results)]
            if name == "gap":
                given[:2] = ["--before", str(self.apart), "--after", str(self.weights)]
            if name == "captioned":
                given.append(str(self.args.clips))
            if name in recipes.WITH_LPIPS and self.args.lpips is not None:
                given += ["--lpips", str(self.args.lpips)]
            self._python("-m", f"benchmarks.{name}", *given, *recipes.EVALUATIONS.get(name, ()))

        return act

    def _history(self) -> None:
        """What the trainings took, from their logs."""
        runs: dict[str, tuple[str, int | None]] = {"space": ("base", self._space_batch())}
        runs |= {name: (name, None) for name in self.stages}
        for stage, name in self.owns.items():
            runs[name] = (stage, recipes.OWN[self.spec.stage(stage).kind][0])
        command = ["-m", "benchmarks.training.history", "--results", str(self.results)]
        for name, (stage, batch) in runs.items():
            if self.budgets[name] > 0:
                size = batch or self.spec.stage(stage).training.batch
                command += ["--run", f"{name}={self.out / name / stage}:{size}"]
        student = self.spec.stages[0].student
        if student is not None:
            for method in self._methods():
                place = self.out / method / "base"
                command += ["--run", f"student, {method}={place}:{student.training.batch}"]
        self._python(*command)

    def _report(self) -> None:
        out = ("--out", str(self.out / "RESULTS.md"))
        self._python("-m", "benchmarks.report", "--results", str(self.results), *out)

    def _card(self) -> None:
        given = ("--weights", str(self.weights), "--results", str(self.results))
        self._python("scripts/write_card.py", *given)

    def _python(self, *arguments: str) -> None:
        # From the project's folder, so that benchmarks and scripts are found.
        subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, env=os.environ.copy())


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse and run; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/bundled"), help="folder of the run")
    parser.add_argument("--spec", default="stickers", help="spec file, or a bundled one's name")
    for name, minutes in recipes.BUDGETS.items():
        parser.add_argument(f"--{name}-minutes", type=float, default=minutes, metavar="M",
                            help=f"budget of {name}; 0 leaves it out [{minutes:g}]")  # fmt: skip
    parser.add_argument("--clips", type=Path, metavar="FOLDER",
                        help="captioned videos beside the drawn ones")  # fmt: skip
    parser.add_argument("--clips-share", type=float, default=0.15, help="their share [%(default)s]")
    parser.add_argument("--lpips", type=Path, metavar="FILE",
                        help="AlexNet LPIPS weights, to teach by and to measure with")  # fmt: skip
    parser.add_argument("--workers", type=int, default=1, help="processes that draw examples")
    parser.add_argument(
        "--compile", action="store_true", help="compile the networks (on a CPU needs g++)"
    )
    parser.add_argument("--only", action="append", metavar="PHASE", help="these phases; repeatable")
    args = parser.parse_args(arguments)
    args.out = args.out.absolute()
    if args.lpips is not None:
        args.lpips = args.lpips.absolute()
        if not args.lpips.is_file():
            parser.error(f"there is no file {args.lpips}: leave --lpips out, or name it")
    if args.clips is not None:
        args.clips = args.clips.absolute()
        if not (args.clips / "metadata.jsonl").is_file():
            parser.error(f"there is no metadata.jsonl in {args.clips}")
        if not 0.0 < args.clips_share < 1.0:
            parser.error("--clips-share must be between 0 and 1")
    if Path(args.spec).is_file():
        args.spec = str(Path(args.spec).absolute())
    from vidcascade.errors import VidCascadeError

    try:
        plan = Plan(args)
        every = Plan(_without_choice(args))
    except VidCascadeError as error:
        parser.error(str(error))
    unknown = set(args.only or ()) - {p.name for p in every.phases()}
    if "measure-likeness" in unknown and args.lpips is None:
        parser.error("measure-likeness looks at pictures as AlexNet does: give --lpips FILE")
    if unknown:
        parser.error(f"there is no phase {', '.join(sorted(unknown))}")
    if any(plan.budgets[name] <= 0 for name in plan.stages):
        parser.error(f"{', '.join(plan.stages)} all need time: only space can be left out")
    try:
        plan.run()
    except subprocess.CalledProcessError as error:
        print(f"Stopped: {' '.join(error.cmd[1:4])} … ended with {error.returncode}. Run the same "
              "command again to go on.", file=sys.stderr)  # fmt: skip
        return 1
    except KeyboardInterrupt:
        print("Stopped. Run the same command again to go on.", file=sys.stderr)
        return 130
    print(f"Weights: {plan.weights}")
    return 0


def _without_choice(args: argparse.Namespace) -> argparse.Namespace:
    return argparse.Namespace(**{**vars(args), "only": None})


if __name__ == "__main__":
    raise SystemExit(main())
