"""The table in the terminal."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from tests.metrics.flickering import brighter, look, still
from vidcascade.metrics.suite import evaluate
from vidcascade.report.flicker_table import GROUPS, number, print_results


def printed(result, width=80):
    out = io.StringIO()
    print_results(Console(file=out, width=width), [result])
    return out.getvalue()


@pytest.fixture(scope="module")
def scan():
    steps = 3 * np.random.default_rng(0).normal(size=16)
    return look(brighter(still(16), steps), published=True)


def test_fits_into_a_terminal_and_names_its_groups(scan):
    text = printed(evaluate(scan, "a/clip [x].mp4", ([], 8)))
    lines = text.splitlines()
    assert lines[0] == "a/clip [x].mp4"
    for group in ("flicker", "flashes", "published", "context"):
        assert GROUPS[group] in lines[3:] or any(line.strip() == GROUPS[group] for line in lines)
    # Nothing is cut off or wrapped inside of the table.
    assert "…" not in text
    assert max(map(len, lines)) <= 80
    table = lines[2 : lines.index("", 2)]
    assert any(line.startswith("seams") for line in table)
    assert all(line.rstrip().endswith("%") for line in table if line[:1].islower() and "↓" in line)


def test_a_reason_that_many_share_is_said_once():
    text = printed(evaluate(look(still(2)), "two.mp4"), width=200)
    assert text.count("needs three frames") == 2  # below the table, and in the verdict
    (line,) = [s for s in text.splitlines() if s.endswith(": needs three frames")]
    assert line.startswith("Flicker, whole picture, regions")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0, "0"),
        (0.00034, "3.4e-04"),
        (0.5, "0.500"),
        (12.345, "12.35"),
        (4321, "4321"),
    ],
)
def test_numbers(value, text):
    assert number(value) == text
