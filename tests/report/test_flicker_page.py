"""The HTML report: self-contained, escaped, and readable in a real browser."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from tests.metrics.flickering import brighter, measured, pan, still
from vidcascade.metrics.compare import compare
from vidcascade.report.flicker_page import flicker_page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
NAME = '<script>alert("x")</script> & $k$ [é].mp4'


@pytest.fixture(scope="module")
def page():
    base = still(12)
    steps = 4 * np.random.default_rng(0).normal(size=12)
    results = [
        measured(brighter(base, steps), name=NAME),
        measured(brighter(base, 0.5 * steps), name="calm.mp4"),
    ]
    return flicker_page(results, comparisons=[compare(*results)])


class _Checker(HTMLParser):
    """Collects what a browser would fetch or run, and whether tags are closed."""

    def __init__(self):
        super().__init__()
        self.outside, self.tags, self.open = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for key, value in attrs:
            fetched = key in ("src", "href", "srcset", "xlink:href", "data", "action")
            if fetched and value and not value.startswith(("data:", "#")):
                self.outside.append((tag, value))
            assert not key.startswith("on"), f"{tag} has a handler"
        if tag not in ("meta", "img", "br", "link", "path", "use", "stop", "rect", "circle"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in self.open:
            while self.open and self.open.pop() != tag:
                pass


def test_page_is_self_contained_and_escaped(page):
    checker = _Checker()
    checker.feed(page)
    assert checker.outside == []
    assert "script" not in checker.tags
    assert "link" not in checker.tags
    assert "iframe" not in checker.tags
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
    assert not re.search(r"url\((?!#)", page)


def test_page_says_what_matters(page):
    for text in (
        "When it flickers",
        "Temporal spectrum",
        "Where it flickers",
        "The worst frames",
        "All measures",
        "What the measures are",
        "Settings",
        "flickers less than",
        "more than chance",
        "95 % interval",
    ):
        assert text in page
    assert page.count('<section class="clip">') == 2
    # One name for one thing, also in the table of differences.
    assert "<td>whole picture</td>" in page
    assert "global luminance</td>" not in page
    assert page.count("data:image/jpeg;base64,") >= 2 * (1 + 4)
    assert not re.search(r"\b(nan|None|inf)\b", re.sub(r"<svg.*?</svg>", "", page, flags=re.S))


def test_clips_without_a_value_have_a_page_too():
    black = measured(np.zeros((4, 40, 60, 3), np.uint8), name="black.mp4")
    two = measured(still(2), name="two.mp4")
    noise = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    page = flicker_page([black, two, measured(noise, name="noise.mp4")])
    assert "frozen" in page
    assert "needs three frames" in page
    assert "no value" in page


@pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed")
def test_a_browser_shows_it(page, tmp_path):
    source, shot = tmp_path / "report.html", tmp_path / "report.png"
    source.write_text(page, encoding="utf-8")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1000,3000"]
    command += ["--virtual-time-budget=2000", f"--screenshot={shot}", source.as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=180)
    picture = np.asarray(Image.open(shot).convert("RGB")).astype(int)
    assert picture.shape == (3000, 1000, 3)
    # Laid out in a column on a tinted page, filled from the top, with plots and pictures in it.
    assert (picture[:, 3] == picture[5, 3]).all()
    rows = (np.abs(picture - picture[5, 3]).sum(axis=2) > 60).any(axis=1)
    assert rows[:2000].mean() > 0.4
    colourful = picture.max(axis=2) - picture.min(axis=2) > 60
    assert colourful.mean() > 0.01
    # Nothing sticks out of the page to the right.
    assert (np.abs(picture[:, -8:] - picture[5, 3]).sum(axis=2) < 30).all()


def test_many_frames_are_thinned_in_the_plot():
    from vidcascade.report.flicker_plots import causes_plot

    clip = measured(pan(6), name="clip")
    assert len(causes_plot(clip)) < 80_000
