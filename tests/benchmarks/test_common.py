"""Arguments that several benchmarks read alike."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import baselines, distillation
from benchmarks.common import named_paths
from vidcascade.errors import UsageError

NAMES = st.text(st.characters(exclude_characters="=", exclude_categories=["Cs"]), min_size=1)
PATHS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@settings(deadline=None)
@given(st.dictionaries(NAMES, PATHS, max_size=5))
def test_names_and_paths_are_told_apart_at_the_first_equals_sign(paths: dict[str, str]) -> None:
    texts = [f"{name}={path}" for name, path in paths.items()]
    found = named_paths(texts, "--run", "NAME=FOLDER")
    assert found == {name: Path(path) for name, path in paths.items()}
    assert list(found) == list(paths)


@pytest.mark.parametrize("wrong", ["", "=", "name", "name=", "=path", "a=again", "other=path"])
def test_what_cannot_be_read_is_shown(wrong: str) -> None:
    with pytest.raises(UsageError) as caught:
        named_paths(["a=b", wrong], "--run", "NAME=FOLDER", lambda name: name != "other")
    assert str(caught.value) == f"--run {wrong!r} cannot be read: write NAME=FOLDER."


def test_students_have_names_of_their_own(tmp_path: Path) -> None:
    own = tmp_path / "own"
    assert distillation._students(None, own) == {"student": own}
    assert distillation._students(["a=b=c"], own) == {"a": Path("b=c")}
    for wrong in ("file", "teacher=file"):
        with pytest.raises(UsageError) as caught:
            distillation._students(["a=b", wrong], own)
        assert str(caught.value) == f"--student {wrong!r} cannot be read: write NAME=FILE."


def test_weights_are_an_arm_s_and_lie_there(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").touch()
    assert baselines._weights([f"one stage={tmp_path}"]) == {"one stage": tmp_path}
    assert baselines._weights([]) == {}
    for wrong in ("one stage", "one stage=", f"nobody={tmp_path}"):
        with pytest.raises(UsageError) as caught:
            baselines._weights([wrong])
        assert str(caught.value) == (
            f"--weights {wrong!r} cannot be read: write it like 'one stage=runs/single/weights'."
        )
    with pytest.raises(UsageError, match="There are no weights in nowhere"):
        baselines._weights(["one stage=nowhere"])
