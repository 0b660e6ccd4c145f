"""Train the interpolation network: gather triplets once, then train, and go on where it stopped.

    python scripts/train_interpolator.py gather --clips CLIPS --photographs PHOTOS --into DATA
    python scripts/train_interpolator.py train --data DATA --out RUN --max-minutes 60
    python scripts/train_interpolator.py export --run RUN --into assets/weights/interpolator

All can be repeated: what is gathered already is kept, and a run continues from its checkpoint.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vidcascade.data.photographs import SceneSettings, photograph_triplets
from vidcascade.data.triplets import MiningSettings, Triplet, mine_triplets, save_triplets
from vidcascade.errors import VidCascadeError, in_one_sentence

if TYPE_CHECKING:
    import torch

# Sides of patches: large ones for what clips look like, small ones for the cascade's own bridge.
SIZES = {256: (256, 600), 128: (128, 220)}
CROPS = {256: 192, 128: 128}
SHARE_OF_SMALL = 0.35
PICTURES = (".jpg", ".jpeg", ".png")


@in_one_sentence
def main() -> int:
    """Parse the arguments and do it; the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    gather = commands.add_parser("gather", help="cut triplets from clips and photographs")
    gather.add_argument("--clips", type=Path, nargs="*", default=[], help="files or folders")
    gather.add_argument("--photographs", type=Path, nargs="*", default=[], help="files or folders")
    gather.add_argument("--hold-out", nargs="*", default=[], help="names of files not to use")
    gather.add_argument("--per-clip", type=int, default=240, help="triplets of each clip")
    gather.add_argument("--scenes", type=int, default=1500, help="triplets of photographs")
    gather.add_argument("--into", type=Path, required=True, help="folder for the triplets")
    gather.add_argument("--seed", type=int, default=0)
    train = commands.add_parser("train", help="train on gathered triplets")
    train.add_argument("--data", type=Path, required=True, help="folder that gather made")
    train.add_argument("--out", type=Path, required=True, help="folder of the run")
    train.add_argument("--init", type=Path, help="folder of weights to start from")
    train.add_argument("--steps", type=int, default=12_000)
    train.add_argument("--batch", type=int, default=8, help="examples of 192 x 192 in a step")
    train.add_argument("--muon-lr", type=float, default=4e-3)
    train.add_argument("--adam-lr", type=float, default=8e-4)
    train.add_argument("--seed", type=int, default=0)
    train.add_argument(
        "--max-minutes", type=float,
        help="of the whole run: the learning rates fall to zero by then, however far it has come",
    )  # fmt: skip
    train.add_argument("--together", type=int, default=8, help="examples in memory at a time")
    train.add_argument("--save-every", type=int, default=250)
    train.add_argument("--log-every", type=int, default=50)
    train.add_argument("--compile", action="store_true", help="compile the blocks first")
    export = commands.add_parser("export", help="write a run's averaged weights in bfloat16")
    export.add_argument("--run", type=Path, required=True, help="folder of the run")
    export.add_argument("--into", type=Path, required=True, help="folder of the weights")
    args = parser.parse_args()
    return {"gather": _gather, "train": _train, "export": _export}[args.command](args)


def _gather(args: argparse.Namespace) -> int:
    clips = [f for f in _files(args.clips) if f.name not in args.hold_out]
    pictures = [
        f
        for f in _files(args.photographs)
        if f.suffix.lower() in PICTURES and f.name not in args.hold_out
    ]
    args.into.mkdir(parents=True, exist_ok=True)
    for size, sides in SIZES.items():
        share = 1.0 if size == max(SIZES) else SHARE_OF_SMALL
        per_clip, scenes = round(args.per_clip * share), round(args.scenes * share)
        rng = np.random.default_rng((args.seed, size))
        settings = MiningSettings(size=size, short_sides=sides)
        folder = args.into / f"clips{size}"
        if clips and not folder.is_dir():
            found = _from_clips(clips, per_clip, settings, rng)
            store = save_triplets(folder, found, 2 * per_clip * len(clips), size)
            print(f"{folder}: {len(store)} triplets")
        folder = args.into / f"photographs{size}"
        if pictures and not folder.is_dir():
            scale = size / max(SIZES)
            scene = SceneSettings(
                size=size, speeds=(scale, 40 * scale), piece_speeds=(2 * scale, 48 * scale)
            )
            drawn = photograph_triplets(pictures, scenes, scene, rng)
            print(f"{folder}: {len(save_triplets(folder, drawn, scenes, size))} triplets")
    return 0


def _from_clips(
    clips: list[Path], count: int, settings: MiningSettings, rng: np.random.Generator
) -> Iterator[Triplet]:
    for clip in clips:
        try:
            yield from mine_triplets(clip, count, settings, rng)
        except VidCascadeError as error:
            print(f"warning: {error}", file=sys.stderr)


def _files(places: list[Path]) -> list[Path]:
    found = []
    for place in places:
        found += sorted(f for f in place.iterdir() if f.is_file()) if place.is_dir() else [place]
    return found


def _train(args: argparse.Namespace) -> int:
    from vidcascade.training.interpolator import InterpolatorSettings, train_interpolator
    from vidcascade.training.interpolator_data import FlowStore

    stores = []
    for size, crop in CROPS.items():
        for folder in sorted(args.data.glob(f"*{size}")):
            # Real clips are what it is for; scenes make up for the motion that they lack.
            weight = 0.5 if folder.name.startswith("photographs") else 1.8
            weight *= 1.0 if size == max(SIZES) else 0.33
            stores.append(FlowStore(folder, weight, crop))
            print(f"{folder}: {len(stores[-1])} triplets")
    if not stores:
        raise VidCascadeError(f"{args.data} holds no triplets: run gather first.")
    settings = InterpolatorSettings(
        out=args.out, steps=args.steps, batch=args.batch, muon_lr=args.muon_lr,
        adam_lr=args.adam_lr, seed=args.seed, max_minutes=args.max_minutes,
        save_every=args.save_every, log_every=args.log_every, init=args.init,
        compile=args.compile, together=args.together,
    )  # fmt: skip

    def report(line: dict[str, float]) -> None:
        print("  ".join(f"{name} {value:.4g}" for name, value in line.items()), flush=True)

    print(train_interpolator(settings, stores, report))
    return 0


def _export(args: argparse.Namespace) -> int:
    import torch

    from vidcascade.interpolation.model import load_interpolator
    from vidcascade.interpolation.warp_network import WarpNetwork

    trained = load_interpolator(args.run / "network")
    # Made anew: the loaded one's configuration remembers where it lay on this machine.
    network = WarpNetwork(**{k: v for k, v in trained.config.items() if not k.startswith("_")})
    network.load_state_dict(trained.state_dict())
    torch.nn.Module.to(network, dtype=torch.bfloat16)
    args.into.mkdir(parents=True, exist_ok=True)  # a card that lies there stays
    network.save_pretrained(args.into)
    (args.into / "training.json").write_text(_told(args.run, network), encoding="utf-8")
    print(args.into)
    return 0


def _told(run: Path, network: torch.nn.Module) -> str:
    """How the weights came about, for their card: JSON."""
    settings = json.loads((run / "settings.json").read_text(encoding="utf-8"))
    last = json.loads((run / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    told = {
        "parameters": sum(p.numel() for p in network.parameters()),
        "steps": last["step"],
        "minutes": round(last["minutes"]),
        "settings": {k: settings[k] for k in ("batch", "muon_lr", "adam_lr", "ema", "seed")},
    }
    return json.dumps(told, indent=1) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
