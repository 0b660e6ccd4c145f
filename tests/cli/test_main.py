"""The command line as a person meets it."""

from __future__ import annotations

import subprocess
import sys


def run(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vidcascade", *args], capture_output=True, text=True, check=False
    )


def test_spec_is_printed_with_defaults() -> None:
    done = run("spec", "tiny")
    assert done.returncode == 0
    assert "noise_augmentation: 0.1" in done.stdout


def test_errors_are_one_sentence_and_tracebacks_need_debug() -> None:
    done = run("spec", "no-such-spec")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "tiny" in done.stderr
    assert "Traceback" in run("spec", "no-such-spec", "--debug").stderr


def test_importing_the_package_and_asking_for_help_load_no_torch() -> None:
    code = (
        "import sys, vidcascade, vidcascade.cli.main; "
        "sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
