"""Settings of one run."""

from __future__ import annotations

import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidcascade.cascade.settings import Settings, with_settings
from vidcascade.cascade.spec import CascadeSpec, SpecWarning
from vidcascade.errors import UsageError

TINY = CascadeSpec.load("tiny")


def test_nothing_asked_changes_nothing() -> None:
    assert with_settings(TINY, Settings()) == TINY


def test_noise_that_a_stage_was_not_trained_on_is_warned_of() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        low, high = TINY.stage("bridge").training.augmentation
        with_settings(TINY, Settings(noise_augmentation={"bridge": (low + high) / 2}))
        plain = TINY.model_dump()
        plain["stages"][1]["noise_augmentation"] = 0.9
        with pytest.raises(SpecWarning):
            CascadeSpec.from_dict(plain)
    with pytest.warns(SpecWarning, match="does not hold noise_augmentation 0.9"):
        wide = with_settings(TINY, Settings(noise_augmentation={"bridge": 0.9}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # said already
        with_settings(wide, Settings(steps=3))


@pytest.mark.filterwarnings("ignore::vidcascade.cascade.spec.SpecWarning")
@given(st.floats(0, 0.99), st.integers(1, 50))
def test_a_number_goes_where_the_setting_exists(sigma: float, steps: int) -> None:
    spec = with_settings(TINY, Settings(steps=steps, noise_augmentation=sigma))
    assert [s.steps for s in spec.stages] == [steps] * 3
    assert [s.noise_augmentation for s in spec.stages] == [0.0, sigma, sigma]


def test_a_mapping_goes_to_the_stages_it_names() -> None:
    spec = with_settings(TINY, Settings(steps={"bridge": 5}, guidance={"base": 4.0}, smoothing=0.2))
    assert [s.steps for s in spec.stages] == [2, 5, 1]
    assert spec.stages[0].guidance.scale == 4.0
    assert spec.stages[2].smoothing.strength == 0.2


def test_guidance_is_the_base_s_unless_others_have_it_or_are_named() -> None:
    plain = TINY.model_dump()
    plain["stages"][1]["network"]["text"] = True
    spec = CascadeSpec.from_dict(plain)

    def scales(spec: CascadeSpec, guidance: float | dict[str, float]) -> list[float]:
        changed = with_settings(spec, Settings(guidance=guidance))
        return [stage.guidance.scale for stage in changed.stages]

    assert scales(spec, 4.0) == [4.0, 1.0, 1.0]
    assert scales(spec, {"bridge": 1.5}) == [2.0, 1.5, 1.0]
    plain["stages"][1]["guidance"]["scale"] = 1.5
    assert scales(CascadeSpec.from_dict(plain), 4.0) == [4.0, 4.0, 1.0]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (Settings(steps=0), "stages.base.steps"),
        (Settings(smoothing={"base": 0.5}), "choose from refiner"),
        (Settings(noise_augmentation={"base": 0.5}), "choose from bridge, refiner"),
        (Settings(fps=-1), "fps"),
    ],
)
def test_what_cannot_work_is_refused(settings: Settings, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        with_settings(TINY, settings)
