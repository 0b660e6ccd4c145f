"""Train the reader of prompts: ``python scripts/train_reader.py --out runs/reader``.

On text alone, in minutes: captions of the spec's world in other words (vidcascade.data.rewordings).
``vidcascade assemble --reader runs/reader`` puts it beside a cascade's stages.
"""

from __future__ import annotations

import argparse
from contextlib import suppress
from pathlib import Path

from vidcascade.errors import UsageError, in_one_sentence


@in_one_sentence
def main() -> int:
    """Parse, train, write; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spec", default="stickers", help="spec file, or a bundled one's name")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--lessons", type=int, default=12_000, help="prompts [%(default)s]")
    parser.add_argument("--steps", type=int, default=1_500, help="[%(default)s]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--force", action="store_true", help="replace the folder")
    args = parser.parse_args()
    import torch
    from diffusers.utils import logging

    from vidcascade.cascade.spec import CascadeSpec
    from vidcascade.data.stickers import StickerWorld
    from vidcascade.nn.text import build_text_encoder
    from vidcascade.training.reading import teach
    from vidcascade.video.atomic import atomic_path, check_own_folder, check_parent

    logging.set_verbosity_error()  # diffusers says much about a cast that is meant
    if min(args.lessons, args.steps) < 1:
        raise UsageError("A reader needs at least one lesson and one step.")
    spec = CascadeSpec.load(args.spec)
    if spec.world is None:
        raise UsageError(f"{args.spec} has no world whose captions could be told in other words.")
    check_own_folder(args.out, args.force, ("config.json",))
    with suppress(OSError):  # why it cannot be made is said by the check
        args.out.parent.mkdir(parents=True, exist_ok=True)
    check_parent(args.out)
    encoder = build_text_encoder(spec.text.encoder, spec.text.max_tokens)
    world = StickerWorld(spec.world)
    reader = teach(
        world, encoder, args.lessons, args.steps, seed=args.seed,
        report=lambda step, loss: print(f"step {step}  loss {loss:.3f}", flush=True),
        name=spec.text.encoder,
    )  # fmt: skip
    reader.register_to_config(_name_or_path="reader")
    with atomic_path(args.out, args.force) as temporary:
        reader.to(torch.bfloat16).save_pretrained(temporary)
    print(f"Reader: {args.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
