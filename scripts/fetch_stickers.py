"""Fetch the stickers that the sticker world draws: ``python scripts/fetch_stickers.py``."""

from __future__ import annotations

import argparse
from pathlib import Path

from vidcascade.data.fetch import fetch_stickers
from vidcascade.errors import in_one_sentence


@in_one_sentence
def main() -> int:
    """Parse the arguments, fetch, print the folder; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--into", type=Path, help="folder (default: the user's cache)")
    parser.add_argument("--force", action="store_true", help="fetch again")
    args = parser.parse_args()
    print(fetch_stickers(args.into, force=args.force))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
