"""Bootstrap intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from vidcascade.errors import UsageError
from vidcascade.metrics.statistics import bootstrap_mean, bootstrap_rms, paired_rms_difference


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


# As uneven as flicker gets: mostly nothing, and here and there a lot.
_SPARSE = arrays.arrays(
    np.float64,
    st.integers(4, 90),
    elements=st.sampled_from([0.0, 0.0, 0.0, 0.5, 1.0, 100.0]),
)


@settings(max_examples=60, deadline=None)
@given(_SPARSE, st.data())
def test_an_interval_holds_its_own_value(values, data):
    block = data.draw(st.integers(1, len(values) // 2))
    for found in (bootstrap_mean(values, block=block), bootstrap_rms(values, block=block)):
        assert found.low - 1e-9 <= found.mean <= found.high + 1e-9
    against = np.zeros_like(values)
    found = paired_rms_difference(against, values, block=block)
    assert found.low - 1e-9 <= found.mean <= found.high + 1e-9


@pytest.mark.parametrize("block", [1, 5, 12])
def test_every_frame_is_drawn_equally_often(block):
    # One frame in 42 flickers; an open series would hardly draw it at either end.
    ends = []
    for place in (0, 1, 20, 40, 41):
        values = np.zeros(42)
        values[place] = 100
        found = bootstrap_mean(values, block=block, resamples=20_000)
        assert found.mean == pytest.approx(100 / 42)
        assert found.low == pytest.approx(0, abs=1e-9)
        ends.append(found.high)
        against = paired_rms_difference(np.zeros(42), values, block=block, resamples=20_000)
        assert against.high == pytest.approx(np.sqrt(100 * found.high), rel=1e-6)
    np.testing.assert_allclose(ends, 3 * 100 / 42)


@settings(max_examples=30, deadline=None)
@given(st.integers(8, 60), st.integers(1, 4), st.integers(0, 1000))
def test_the_interval_is_centred_on_the_mean(count, block, seed):
    # A narrow interval of the middle is the median, which is the mean where nothing is skewed.
    ramp = np.linspace(-1, 1, count)
    values = np.concatenate((ramp, -ramp)) + 7
    middle = bootstrap_mean(values, 1e-6, block, resamples=4000, seed=seed)
    whole = bootstrap_mean(values, 0.95, block, resamples=4000, seed=seed)
    width = whole.high - whole.low
    assert middle.low == pytest.approx(7, abs=0.04 * width)
    assert (whole.high + whole.low) / 2 == pytest.approx(7, abs=0.06 * width)
    # And so is the paired one, of a series and of itself turned round.
    paired = paired_rms_difference(values, values[::-1], 0.95, block, 4000, seed)
    other = paired_rms_difference(values[::-1], values, 0.95, block, 4000, seed)
    assert paired.mean == pytest.approx(0)
    assert (paired.low, paired.high) == pytest.approx((-other.high, -other.low))


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
