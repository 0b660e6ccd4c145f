"""From a request to files: which clips there will be, what is refused, what is told of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vidcascade.cascade.frames import CascadeOutput
from vidcascade.cascade.manifest import Manifest, versions
from vidcascade.cascade.pipeline import VidCascadePipeline
from vidcascade.cascade.production import Request, produce
from vidcascade.cascade.result import StageResult
from vidcascade.cascade.running import key_of
from vidcascade.cascade.spec import CascadeSpec
from vidcascade.errors import UsageError
from vidcascade.video import read_clip

STAGES = ("base", "bridge", "refiner")
BALL = Request(prompts=["a ball"])


@pytest.fixture(scope="module")
def pipe(tiny_cascade: Path) -> VidCascadePipeline:
    loaded = VidCascadePipeline.from_pretrained(tiny_cascade)
    loaded.set_progress_bar_config(disable=True)
    return loaded


def result_of(prompts: int) -> StageResult:
    texts = [f"thing {k}" for k in range(prompts)]
    keys = list(range(50, 50 + prompts))
    return StageResult("base", torch.zeros(prompts, 4, 3, 16, 16), texts, [""] * prompts, keys)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@settings(deadline=None)
@given(st.integers(1, 9), st.one_of(st.none(), st.integers(-3, 12)))
def test_as_many_clips_as_are_asked_for_and_never_fewer_than_prompts(
    prompts: int, num: int | None
) -> None:
    request = Request(prompts=["a"] * prompts, num=num)
    if num is None or num >= prompts:
        assert request.count == (prompts if num is None else num)
        return
    with pytest.raises(UsageError) as caught:
        assert request.count
    words = "ask for 1 or more" if num < 1 else f"give --num {prompts} or more"
    assert words in str(caught.value)


def test_a_saved_stage_brings_its_own_count_and_nothing_is_no_request() -> None:
    assert Request(start_from=result_of(3)).count == 3
    assert Request(start_from=result_of(2), num=7).count == 2
    for num in (None, 0, 3):
        with pytest.raises(UsageError, match="There is no prompt"):
            assert Request(num=num).count


def test_prompts_take_turns_and_seeds_count_up(pipe: VidCascadePipeline, tmp_path: Path) -> None:
    request = Request(
        prompts=["a ball", "a cube"], negative_prompts=["grey", "blue"], seed=5, num=5,
        stop_after="base",
    )  # fmt: skip
    report = produce(pipe, request, tmp_path / "c.gif", "nobody/weights", "native")
    assert [m.prompt for m in report.manifests] == ["a ball", "a cube"] * 2 + ["a ball"]
    assert [m.negative_prompt for m in report.manifests] == ["grey", "blue"] * 2 + ["grey"]
    assert [m.seed for m in report.manifests] == [5, 6, 7, 8, 9]
    wanted = [key_of(torch.Generator().manual_seed(seed)) for seed in range(5, 10)]
    assert [m.key for m in report.manifests] == wanted
    assert [o.clip.name for o in report.outputs] == [f"c-{k}.gif" for k in range(5)]
    assert (report.frames, report.size, report.fps) == (4, 16, 8.0)
    assert names(tmp_path) == {f"c-{k}.gif{end}" for k in range(5) for end in ("", ".json")}


def test_one_negative_prompt_is_for_all(pipe: VidCascadePipeline, tmp_path: Path) -> None:
    request = Request(["a ball", "a cube"], ["grey"], num=3, stop_after="base")
    report = produce(pipe, request, tmp_path / "c")
    assert [m.negative_prompt for m in report.manifests] == ["grey"] * 3


def test_the_file_is_what_the_pipeline_makes(pipe: VidCascadePipeline, tmp_path: Path) -> None:
    report = produce(pipe, replace(BALL, seed=3), tmp_path / "frames", "stickers", "native")
    made = pipe("a ball", generator=3, output_type="pt")
    assert isinstance(made, CascadeOutput)
    wanted = (made.frames[0].permute(0, 2, 3, 1) * 255).round().to(torch.uint8).numpy()
    clip = read_clip(tmp_path / "frames")
    np.testing.assert_array_equal(clip.frames, wanted)
    assert clip.fps == made.fps == report.fps
    assert (report.frames, report.size) == (8, 64)
    (manifest,) = report.manifests
    assert Manifest.load(report.outputs[0].manifest) == manifest
    assert (manifest.weights, manifest.stop_after) == ("stickers", "refiner")
    assert manifest.weight_hashes == pipe.weight_hashes
    assert manifest.arithmetic == {"device": "cpu", "dtype": "float32", "attention": "native"}
    assert manifest.versions == versions()
    assert manifest.spec == pipe.spec
    assert [len(manifest.sigmas[name]) for name in STAGES] == [2, 2, 1]


def test_settings_are_run_and_told(pipe: VidCascadePipeline, tmp_path: Path) -> None:
    request = replace(
        BALL, steps={"base": 3}, guidance={"base": 4.0}, noise_augmentation={"bridge": 0.25},
        smoothing=0.125, fps=12.5,
    )  # fmt: skip
    report = produce(pipe, request, tmp_path / "a")
    (manifest,) = report.manifests
    base, bridge, refiner = manifest.spec.stages
    assert (base.steps, base.guidance.scale) == (3, 4.0)
    assert (bridge.noise_augmentation, refiner.smoothing.strength) == (0.25, 0.125)
    assert len(manifest.sigmas["base"]) == 3
    assert report.fps == 12.5
    assert read_clip(tmp_path / "a").fps == 12.5


def test_keys_make_the_clip_again_whatever_the_seed(
    pipe: VidCascadePipeline, tmp_path: Path
) -> None:
    first = produce(pipe, replace(BALL, seed=4), tmp_path / "a")
    request = replace(BALL, seed=99, keys=[first.manifests[0].key])
    again = produce(pipe, request, tmp_path / "b")
    assert again.manifests[0].key == first.manifests[0].key
    assert again.manifests[0].seed is None
    a, b = (read_clip(tmp_path / name).frames for name in "ab")
    np.testing.assert_array_equal(a, b)


def test_every_stage_of_every_clip_is_saved_and_can_be_gone_on_from(
    pipe: VidCascadePipeline, tmp_path: Path
) -> None:
    stages = tmp_path / "stages.v1"  # a folder, whatever its name ends with
    request = Request(["a ball", "a cube"], seed=1, save_stages=stages)
    whole = produce(pipe, request, tmp_path / "c.gif")
    assert names(stages) == {f"c-{k}.gif.{s}.safetensors" for k in range(2) for s in STAGES}
    second = StageResult.load(stages / "c-1.gif.bridge.safetensors")
    assert (second.prompts, second.keys) == (["a cube"], [whole.manifests[1].key])
    rest = produce(pipe, Request(start_from=second, save_stages=stages), tmp_path / "d.gif")
    assert rest.manifests[0].prompt == "a cube"
    assert rest.manifests[0].seed is None
    assert {n for n in names(stages) if n.startswith("d")} == {"d.gif.refiner.safetensors"}
    a, b = (StageResult.load(stages / f"{n}.gif.refiner.safetensors") for n in ("c-1", "d"))
    assert torch.equal(a.video, b.video)


def test_a_manifest_tells_how_every_stage_was_made_also_one_that_was_given(
    pipe: VidCascadePipeline, tmp_path: Path
) -> None:
    stages = tmp_path / "stages"
    request = replace(BALL, steps={"base": 3}, guidance={"base": 4.0}, asked=["a thing"])
    produce(pipe, replace(request, save_stages=stages), tmp_path / "a")
    given = StageResult.load(stages / "a.bridge.safetensors")
    assert given.spec is not None
    assert (given.asked, given.weight_hashes) == (["a thing"], pipe.weight_hashes)
    (told,) = produce(pipe, Request(start_from=given, smoothing=0.125), tmp_path / "b").manifests
    base, _, refiner = told.spec.stages
    assert (base.steps, base.guidance.scale, refiner.smoothing.strength) == (3, 4.0, 0.125)
    assert (len(told.sigmas["base"]), told.asked, told.start_from) == (3, "a thing", "")
    # Of a picture that no cascade made nobody can tell how.
    unknown = replace(given, spec=None, weight_hashes={})
    (manifest,) = produce(pipe, Request(start_from=unknown), tmp_path / "c").manifests
    assert Manifest.load(tmp_path / "c.json").start_from == manifest.start_from == "bridge"


def test_weights_of_stages_that_ran_before_are_told_of() -> None:
    spec = CascadeSpec.load("tiny")
    old, new = ({f"{s}/w.safetensors": f"{age} {s}" for s in STAGES} for age in ("old", "new"))
    given = replace(result_of(1), spec=spec, weight_hashes=old)
    assert given.run_hashes(spec, new) == new | {"base/w.safetensors": "old base"}
    assert replace(given, spec=None).run_hashes(spec, new) == new


def test_clips_are_on_disk_before_the_next_is_made(
    pipe: VidCascadePipeline, tmp_path: Path
) -> None:
    seen: list[tuple[str, int, int, int]] = []

    def watch(stage: str, done: int, total: int) -> None:
        seen.append((stage, done, total, len(list(tmp_path.glob("*.json")))))

    request = Request(["a ball", "a cube", "a star"], stop_after="bridge")
    report = produce(pipe, request, tmp_path / "c", on_step=watch)
    assert [written for *_, written in seen] == [0] * 4 + [1] * 4 + [2] * 4
    assert [step for step in seen if step[0] == "base"][-1][1:3] == (6, 6)
    assert set(report.seconds) == {"base", "bridge", "writing"}
    with pytest.raises(UsageError, match="shorten"):  # and nothing before that is found out
        produce(pipe, Request(["a ball", "ball " * 80]), tmp_path / "d")
    assert not list(tmp_path.glob("d*"))


def test_a_gif_is_not_asked_to_be_faster_than_it_can(
    pipe: VidCascadePipeline, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="at most 100 frames per second, and 120"):
        produce(pipe, replace(BALL, fps=120.0), tmp_path / "a.gif")


def test_stages_that_are_there_are_kept_unless_asked(
    pipe: VidCascadePipeline, tmp_path: Path
) -> None:
    stages = tmp_path / "stages"
    stages.mkdir()
    there = stages / "a[1].gif.refiner.safetensors"
    there.write_bytes(b"mine")
    request = replace(BALL, save_stages=stages)
    with pytest.raises(UsageError, match=r"a\[1\]\.gif\.refiner\.safetensors exists already"):
        produce(pipe, request, tmp_path / "a[1].gif")
    assert names(stages) == {there.name}
    assert there.read_bytes() == b"mine"
    produce(pipe, replace(request, overwrite=True), tmp_path / "a[1].gif")
    assert StageResult.load(there).prompts == ["a ball"]
    # Files of other clips are in nobody's way, however much their names are alike.
    for name in ("a1", "a"):
        produce(pipe, request, tmp_path / name)
    assert len(names(stages)) == 9


def test_a_clip_that_is_there_is_kept_unless_asked(
    pipe: VidCascadePipeline, tmp_path: Path
) -> None:
    out = tmp_path / "a.gif"
    out.write_bytes(b"mine")
    with pytest.raises(UsageError, match="exists already"):
        produce(pipe, BALL, out)
    assert (out.read_bytes(), names(tmp_path)) == (b"mine", {"a.gif"})
    produce(pipe, replace(BALL, overwrite=True), out)
    assert len(read_clip(out)) == 8


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"prompts": [], "num": 2}, "There is no prompt"),
        ({"prompts": [" "]}, "empty"),
        ({"num": 0}, "1 or more"),
        ({"negative_prompts": ["a", "b"]}, "1 prompts and 2 negative prompts"),
        ({"negative_prompts": []}, "1 prompts and 0 negative prompts"),
        ({"seed": -1}, "must not be negative, and -1 is"),
        ({"seed": 2**64 - 1, "num": 2}, r"below 2\^64"),
        ({"keys": [1, 2]}, "1 samples and 2 keys"),
        ({"fps": 0.0}, "not above zero"),
        ({"fps": -1.0}, "not above zero"),
        ({"fps": float("nan")}, "not a number"),
        ({"steps": 0}, "steps"),
        ({"steps": {"credits": 2}}, "base, bridge, refiner"),
        ({"guidance": {"refiner": 2.0}}, "no effect"),
        ({"noise_augmentation": 1.0}, "less than 1"),
        ({"stop_after": "credits"}, "base, bridge, refiner"),
        ({"start_from": result_of(1), "stop_after": "base"}, "Nothing is left"),
        ({"save_stages": Path("no/such/folder")}, "does not exist"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(
    pipe: VidCascadePipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any], words: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    request = replace(BALL, **({"save_stages": Path("stages")} | changes))
    with pytest.raises(UsageError, match=words):
        produce(pipe, request, Path("a.gif"))
    assert names(tmp_path) == set()


def test_stages_do_not_go_into_a_file(pipe: VidCascadePipeline, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"mine")
    with pytest.raises(UsageError, match="is a file: give a folder"):
        produce(pipe, replace(BALL, save_stages=tmp_path / "x"), tmp_path / "a.gif")
    assert names(tmp_path) == {"x"}


def test_the_largest_seed_there_is(pipe: VidCascadePipeline, tmp_path: Path) -> None:
    request = replace(BALL, seed=2**64 - 2, num=2, stop_after="base")
    report = produce(pipe, request, tmp_path / "a")
    assert [m.seed for m in report.manifests] == [2**64 - 2, 2**64 - 1]


def test_the_manifest_tells_of_a_folder_its_own_name_only(
    pipe: VidCascadePipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    monkeypatch.chdir(folder)
    request = replace(BALL, stop_after="base")
    cases = {str(folder): "mine", f"{folder}/": "mine", ".": "mine", "": "", "hub/id": "hub/id"}
    for number, (given_, told) in enumerate(cases.items()):
        report = produce(pipe, request, tmp_path / str(number), given_)
        assert report.manifests[0].weights == told


def test_progress_is_told_up_to_its_end(pipe: VidCascadePipeline, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    request = replace(BALL, num=3, steps={"base": 4})
    report = produce(pipe, request, tmp_path / "a", on_step=lambda *step: seen.append(step))
    steps = dict(zip(STAGES, (4, 2, 1), strict=True))
    wanted = [(name, clip * each + k + 1, 3 * each) for clip in range(3)
              for name, each in steps.items() for k in range(each)]  # fmt: skip
    assert seen == wanted
    assert list(report.seconds) == [*STAGES, "writing"]
    assert all(value > 0 for value in report.seconds.values())


def test_rounds_of_a_bridge_are_counted(tmp_path: Path) -> None:
    data = CascadeSpec.load("tiny").model_dump(mode="json")
    data["topology"] = "recursive"
    data["stages"][1] |= {"rounds": 2, "frames": 16}
    data["stages"] = data["stages"][:2]
    pipe = VidCascadePipeline.from_spec(CascadeSpec.from_dict(data))
    pipe.set_progress_bar_config(disable=True)
    seen: list[tuple[str, int, int]] = []
    report = produce(pipe, BALL, tmp_path / "a", on_step=lambda *step: seen.append(step))
    assert seen[-1] == ("bridge", 4, 4)
    assert (report.frames, report.fps) == (16, 32.0)
