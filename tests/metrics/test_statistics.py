"""Bootstrap intervals."""

from __future__ import annotations

import numpy as np
import pytest

from vidcascade.errors import UsageError
from vidcascade.metrics.statistics import bootstrap_mean


def test_matches_the_normal_interval():
    values = np.random.default_rng(1).normal(5, 2, size=400)
    mean, low, high = bootstrap_mean(values)
    half = 1.96 * values.std(ddof=1) / 20
    assert mean == pytest.approx(values.mean())
    assert low == pytest.approx(mean - half, abs=0.03)
    assert high == pytest.approx(mean + half, abs=0.03)


def test_repeatable_and_ordered():
    values = [1.0, 4.0, 2.0, 8.0]
    assert bootstrap_mean(values, seed=3) == bootstrap_mean(values, seed=3)
    wide, narrow = bootstrap_mean(values, 0.99), bootstrap_mean(values, 0.5)
    assert wide.low < narrow.low < narrow.mean < narrow.high < wide.high


def test_covers_the_true_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    intervals = [bootstrap_mean(rng.normal(size=50), 0.9, resamples=400) for _ in range(200)]
    share = np.mean([i.low <= 0 <= i.high for i in intervals])
    assert 0.83 < share < 0.95


def test_blocks_widen_intervals_of_correlated_frames():
    rng = np.random.default_rng(0)
    values = np.repeat(rng.normal(size=40), 10)
    alone, blocks = bootstrap_mean(values), bootstrap_mean(values, block=20)
    assert blocks.high - blocks.low > 2 * (alone.high - alone.low)


def test_one_value_says_nothing_about_its_spread():
    assert bootstrap_mean([3.0]) == (3.0, -np.inf, np.inf)


@pytest.mark.parametrize("values", [[], [1.0, np.nan], [[1.0], [2.0]]])
def test_refuses_unusable_values(values):
    with pytest.raises(UsageError, match="finite numbers"):
        bootstrap_mean(values)


@pytest.mark.parametrize("options", [{"confidence": 1.0}, {"resamples": 0}, {"block": 3}])
def test_refuses_options_out_of_range(options):
    with pytest.raises(UsageError):
        bootstrap_mean([1.0, 2.0], **options)
