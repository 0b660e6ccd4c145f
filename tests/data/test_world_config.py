"""The world's tables and settings."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from vidcascade.data.config import CROSSINGS, WorldConfig
from vidcascade.data.subjects import SUBJECTS
from vidcascade.data.words import BACKGROUNDS, COLOURS, MOTIONS, SOLIDS


def test_tables_are_large_and_unambiguous() -> None:
    assert len(SUBJECTS) >= 150
    assert len(SOLIDS) >= 8
    assert len(COLOURS) >= 9
    assert len(MOTIONS) >= 12
    assert len(BACKGROUNDS) >= 12
    assert len({s.code for s in SUBJECTS.values()}) == len(SUBJECTS)
    for table in ({n: s.words for n, s in SUBJECTS.items()}, SOLIDS, COLOURS, MOTIONS, BACKGROUNDS):
        words = [w for group in table.values() for w in group]
        assert len(words) == len(set(words)), "one word, one meaning"
    for name, subject in SUBJECTS.items():
        assert subject.words[0] == name == name.lower()


@pytest.mark.parametrize(
    ("field", "value", "hint"),
    [
        ("subjects", ("rocket", "rokcet"), "rokcet"),
        ("solids", ("blob",), "cylinder"),
        ("colours", ("mauve",), "purple"),
        ("motions", ("teleport",), "bounce"),
        ("backgrounds", ("moon base",), "meadow"),
        ("backgrounds", (), "empty"),
        ("held_out", 1.0, "less than 1"),
        ("camera", -0.1, "greater than"),
        ("stickers", "all", "not permitted"),
    ],
)
def test_wrong_settings_are_named(field: str, value: object, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        WorldConfig(**{field: value})


def test_names_and_frozen() -> None:
    config = WorldConfig(motions=("cross", "up"))
    assert config.names("motions") == (*CROSSINGS, "up")
    assert WorldConfig().names("backgrounds") == tuple(BACKGROUNDS)
    with pytest.raises(ValidationError):
        config.camera = 1.0  # type: ignore[misc]


def test_config_imports_nothing_heavy() -> None:
    code = (
        "import sys; from vidcascade.data import WorldConfig; WorldConfig(); "
        "assert not {'numpy', 'cv2', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
