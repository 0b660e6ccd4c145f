"""The benchmarks that generate, end to end on untrained cascades: they run, count and store."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks import (
    adherence,
    captioned,
    cascade_flicker,
    distillation,
    finetuning,
    gap,
    likeness,
    stages,
    variety,
)
from benchmarks.truths import real_truths
from tests.benchmarks.loading import load_script
from vidcascade.cascade.assembling import assemble_cascade
from vidcascade.cascade.pipeline import VidCascadePipeline
from vidcascade.cascade.registry import make_stage
from vidcascade.cascade.result import StageResult
from vidcascade.cascade.running import TextStates
from vidcascade.cascade.spec import CascadeSpec
from vidcascade.cascade.students import save_student
from vidcascade.cascade.weights import load_network
from vidcascade.data.config import WorldConfig
from vidcascade.data.fetch import cache_folder, has_stickers
from vidcascade.data.folder import VideoFolder
from vidcascade.data.stickers import StickerWorld
from vidcascade.metrics.adherence.motion import MOTIONS
from vidcascade.nn.low_rank import add_low_rank, fingerprint, low_rank_state
from vidcascade.video import write_clip

STICKERS = has_stickers(cache_folder())
pytestmark = pytest.mark.filterwarnings("ignore:no stickers in")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny untrained pipeline whose world has few, solid subjects."""
    world = WorldConfig(
        subjects=("rocket",), solids=("ball", "star"), colours=("red", "blue"), motions=MOTIONS,
        backgrounds=("grey", "checkerboard"), solid_share=1.0, two_subjects=0.1, camera=0.1,
        held_out=0.2,
    )  # fmt: skip
    spec = CascadeSpec.load("tiny").model_copy(update={"world": world})
    out = tmp_path_factory.mktemp("weights") / "tiny"
    VidCascadePipeline.from_spec(spec).save_pretrained(out)
    return out


def test_adherence_runs(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    arguments = [
        "--weights", str(folder), "--clips", "3", "--seen", "2", "--wording", "1",
        "--binding", "2", "--sizes", "2", "--cameras", "2", "--pairs", "2",
        "--lessons", "2", "--scenes", "40",
        "--run", str(tmp_path / "run"), "--results", str(tmp_path), "--batch", "2",
    ]  # fmt: skip
    assert adherence.main(arguments) == 0
    result = json.loads((tmp_path / "adherence.json").read_text())
    titles = [table["title"] for table in result["tables"]]
    assert titles[0] == "Prompt adherence"
    assert [title.split(":")[0] for title in titles[6:]] == [
        "Size words", "Camera words", "Two subjects"
    ]  # fmt: skip
    assert "no longer fresh to it" in result["tables"][4]["notes"][1]
    assert len(result["data"]["pairs"]["generated"]) == 2
    assert len(result["data"]["cameras"]["truth"]) == 2
    assert len(result["data"]["held-out"]["truth"]) == 3
    assert len(result["data"]["paraphrases"]["generated"]) == 1
    assert result["settings"]["stage"] == "base"
    assert (tmp_path / "adherence_base.png").stat().st_size > 1000
    # The recogniser is kept, and the whole cascade has a result of its own.
    kept = (tmp_path / "run" / "recogniser.safetensors").stat().st_mtime_ns
    zeros = ["--clips", "1", "--seen", "0", "--wording", "0", "--binding", "0", "--sizes", "0"]
    zeros += ["--cameras", "0", "--pairs", "0"]
    assert adherence.main([*arguments, "--stage", "refiner", *zeros]) == 0
    assert (tmp_path / "run" / "recogniser.safetensors").stat().st_mtime_ns == kept
    assert (tmp_path / "adherence_refiner.json").is_file()
    assert adherence.main(["--weights", str(tmp_path / "nowhere")]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_captioned_runs(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """An untrained base's grey is nearest to one and the same video, whatever is asked."""
    clips = tmp_path / "clips"
    clips.mkdir()
    count = 2 * CascadeSpec.load(folder / "spec.yaml").stages[0].frames
    lines = []
    for name, colour in (("red", (220, 30, 30)), ("blue", (30, 30, 220))):
        frames = np.full((count, 32, 32, 3), 255, np.uint8)
        for k in range(count):
            frames[k, 8:24, k % 16 : k % 16 + 16] = colour
        write_clip(clips / f"{name}.mkv", frames, fps=8)
        lines.append(json.dumps({"file_name": f"{name}.mkv", "text": f"a {name} square"}))
    (clips / "metadata.jsonl").write_text("\n".join(lines[:1]))
    arguments = [str(clips), "--weights", str(folder), "--results", str(tmp_path)]
    assert captioned.main(arguments) == 2
    lines.append(json.dumps({"file_name": "gone.mkv", "text": "a green square"}))
    (clips / "metadata.jsonl").write_text("\n".join(lines))
    assert captioned.main(arguments) == 0
    assert "gone.mkv is left out: missing" in capsys.readouterr().err
    result = json.loads((tmp_path / "captioned.json").read_text())
    data = result["data"]
    assert data["captions"] == ["a red square", "a blue square"]
    asked = [found["caption"] for found in data["found"]]
    assert asked == ["a red square"] * 2 + ["a blue square"] * 2
    assert len({found["nearest"] for found in data["found"]}) == 1
    assert result["tables"][0]["rows"][0][1].startswith("50 %")
    assert result["settings"]["videos"] == 2
    # What was learnt is told from what was not.
    base = CascadeSpec.load(folder / "spec.yaml")
    entries = VideoFolder(clips).entries
    known = [(entry.caption, captioned.stretches(base, entry)) for entry in entries]
    for caption, parts in known:
        exact = captioned.compare(parts[0], caption, known)
        assert (exact.nearest, exact.own > 60) == (caption, True)
        assert 5 < exact.other < 15
        noisy = parts[3].astype(float) + np.random.default_rng(0).normal(0, 40, parts[3].shape)
        found = captioned.compare(noisy.clip(0, 255).astype(np.uint8), caption, known)
        assert found.nearest == caption
        assert exact.other < found.own < exact.own
    assert (tmp_path / "captioned.png").stat().st_size > 500


def test_likeness_runs(
    folder: Path, eye: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "--weights", str(folder), "--clips", "16", "--lessons", "2", "--scenes", "40", "--run",
        str(tmp_path / "run"), "--results", str(tmp_path), "--lpips", str(eye), "--batch", "4",
    ]  # fmt: skip
    assert likeness.main([*arguments, "--also", f"again={folder}", "--teachers"]) == 0
    result = json.loads((tmp_path / "likeness.json").read_text())
    data = result["data"]
    for stage in ("base", "refiner"):
        for seen in ("picture", "recogniser"):
            anew = data[f"the truth, drawn anew, {stage}"][seen]
            grey = data[f"weights, {stage}"][seen]  # what an untrained base makes
            assert anew[1] <= 0 <= anew[2]
            assert anew[0] < grey[0] / 4
            assert 0 < grey[1] < grey[0] < grey[2]
        assert data[f"again, {stage}"] == data[f"weights, {stage}"]
    # Stages without a student are measured once.
    assert len(result["tables"][0]["rows"]) == 2 * (3 + 2)
    assert {row[1] for row in result["tables"][0]["rows"]} == {"base, 16²", "refiner, 64²"}
    assert result["settings"]["weight_hashes"] == result["settings"]["others"]["again"]
    assert likeness.main([*arguments, "--also", "nameless"]) == 2
    assert "--also 'nameless' cannot be read" in capsys.readouterr().err
    assert likeness.main([*arguments[:2], "--clips", "3"]) == 2


def test_likeness_of_one_stage_and_of_what_cannot_be_compared(
    folder: Path, eye: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = CascadeSpec.load(folder / "spec.yaml")
    alone = tmp_path / "alone"
    VidCascadePipeline.from_spec(
        spec.model_copy(update={"stages": spec.stages[:1]})
    ).save_pretrained(alone)
    arguments = [
        "--clips", "4", "--lessons", "2", "--scenes", "40", "--lpips", str(eye), "--run",
        str(tmp_path / "run"), "--results", str(tmp_path), "--weights", str(alone),
    ]  # fmt: skip
    assert likeness.main(arguments) == 0
    result = json.loads((tmp_path / "likeness.json").read_text())
    assert [row[1] for row in result["tables"][0]["rows"]] == ["base, 16²"] * 4
    assert likeness.main([*arguments, "--also", f"whole={folder}"]) == 2
    assert "whole cannot be compared" in capsys.readouterr().err


def test_variety_runs(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "--weights", str(folder), "--lessons", "2", "--scenes", "40", "--run",
        str(tmp_path / "run"), "--results", str(tmp_path),
    ]  # fmt: skip
    assert variety.main([*arguments, "--clips", "8", "--also", f"again={folder}"]) == 0
    result = json.loads((tmp_path / "variety.json").read_text())
    assert [row[0] for row in result["tables"][0]["rows"]] == ["the truth", "weights", "again"]
    assert result["data"]["weights"] == result["data"]["again"]
    # Students of one teacher, which is asked once.
    described, file = with_student(folder, tmp_path)
    parts = {part: folder / part for part in ("base", "bridge", "refiner")}
    fast = tmp_path / "fast"
    assemble_cascade(CascadeSpec.load(described), parts, fast, students={"base": file})
    others = ["--also", f"fast={fast}", "--also", f"faster={fast}", "--teachers"]
    assert variety.main([*arguments, "--clips", "8", *others]) == 0
    result = json.loads((tmp_path / "variety.json").read_text())
    assert [row[0] for row in result["tables"][0]["rows"]] == [
        "the truth", "weights", "fast, student", "fast, teacher", "faster, student"
    ]  # fmt: skip
    assert all(len(values) == 8 for values in result["data"]["the truth"].values())
    assert variety.main([*arguments, "--clips", "7"]) == 2
    assert variety.main([*arguments, "--also", "again"]) == 2
    assert "--also 'again' cannot be read" in capsys.readouterr().err


def test_hues_of_patterns_are_told_without_their_subjects() -> None:
    world = StickerWorld(WorldConfig(solid_share=1.0))
    prompts = variety.open_prompts(world, 24, 5)
    assert len({p.seed for p in prompts}) == 24
    assert {p.described.background for p in prompts} <= set(variety.PATTERNS)
    for prompt in prompts:
        scene = world.scene(prompt.described, prompt.seed, 2.0)
        frame = world.render(scene, 32, [0.0])[0]
        # The same with all colours turned by a third of the wheel.
        mask = np.zeros((16, 16), np.float32)
        hue, turned = (variety.hue_of(f, mask) for f in (frame, frame[..., [2, 0, 1]]))
        assert math.cos(turned - hue - math.tau / 3) > 0.999
    plain = StickerWorld(WorldConfig(solid_share=1.0, backgrounds=("grey", "sky")))
    assert {p.described.background for p in variety.open_prompts(plain, 24, 5)} == {"grey", "sky"}
    half = np.full((32, 32, 3), (255, 128, 128), np.uint8)
    half[:, :16] = (0, 0, 255)
    left = np.zeros((16, 16), np.float32)
    left[:, :8] = 1
    assert math.cos(variety.hue_of(half, left)) > 0.999  # red, and not blue


def test_spreads_are_told_of_what_is_known() -> None:
    around = np.arange(12) * math.tau / 12
    assert variety.alike(around) < 1e-9
    assert variety.alike(np.full(5, 1.0)) == pytest.approx(1)
    assert variety.sixths(np.array([0.0, 6.2, math.tau / 3, math.nan])) == [2, 0, 1, 0, 0, 0]
    assert variety.deviation(np.array([1.0, 3.0, math.nan])) == pytest.approx(math.sqrt(2))
    assert variety.told(variety.deviation, np.array([math.nan, 1.0])) == "–"


def test_a_subject_is_cut_out_with_a_margin_and_kept_inside() -> None:
    frame = np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3)
    mask = np.zeros((32, 32), np.float32)
    assert likeness.cut(frame, mask) is frame
    mask[10:15, 8:16] = 1  # 10 × 16 pixels about (25, 24): a square of 16 · 1.3 = 21 sides
    np.testing.assert_array_equal(likeness.cut(frame, mask), frame[14:35, 14:35])
    mask[:], mask[28:, 30:] = 0, 1  # 8 × 4 pixels in the corner
    np.testing.assert_array_equal(likeness.cut(frame, mask), frame[53:, 53:])
    mask[:] = 1
    np.testing.assert_array_equal(likeness.cut(frame, mask), frame)


def with_student(folder: Path, out: Path) -> tuple[Path, Path]:
    """A spec that describes a student of the pipeline's base, and the file of one."""
    spec = CascadeSpec.load(folder / "spec.yaml")
    student = CascadeSpec.load("tiny").stage("base").student
    assert student is not None
    base = spec.stage("base").model_copy(update={"student": student})
    described = out / "spec.yaml"
    stages_ = (base, *spec.stages[1:])
    described.write_text(spec.model_copy(update={"stages": stages_}).to_yaml())
    network = load_network(folder / "base", make_stage(base), 384)
    mark = fingerprint(network)
    add_low_rank(network, student.rank)
    save_student(out / "s.safetensors", low_rank_state(network), mark)
    return described, out / "s.safetensors"


def test_distillation_runs(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    described, file = with_student(folder, tmp_path)
    arguments = [
        "--weights", str(folder), "--spec", str(described), "--clips", "2", "--lessons", "2",
        "--scenes", "40", "--run", str(tmp_path / "run"), "--results", str(tmp_path),
        "--teacher-steps", "1,2", "--student-steps", "1", "--lpips", str(tmp_path / "none"),
    ]  # fmt: skip
    assert distillation.main([*arguments, "--student", f"same={file}"]) == 0
    result = json.loads((tmp_path / "distillation.json").read_text())
    rows = result["tables"][0]["rows"]
    assert [row[:3] for row in rows] == [
        ["teacher", "1", "2"], ["teacher", "2", "4"], ["same", "1", "1"]
    ]  # fmt: skip
    assert result["data"]["teacher 2"]["psnr"] == [None, None]  # the reference is itself
    assert (tmp_path / "distillation.png").stat().st_size > 1000
    assert distillation.main([*arguments, "--student", "nameless"]) == 2
    assert distillation.main(["--weights", str(folder)]) == 2
    assert "describes no student" in capsys.readouterr().err


@pytest.mark.parametrize("student", [False, True])
def test_finetuning_runs(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], student: bool
) -> None:
    weights = folder
    if student:
        described, file = with_student(folder, tmp_path)
        networks = {name: folder / name for name in ("base", "bridge", "refiner")}
        weights = tmp_path / "weights"
        spec = CascadeSpec.load(described)
        assemble_cascade(spec, networks, weights, students={"base": file})
    arguments = [
        "--weights", str(weights), "--clips", "2", "--new", "2", "--given", "1", "--lessons", "2",
        "--scenes", "40", "--run", str(tmp_path / "run"), "--results", str(tmp_path),
        "--minutes", "0.02", "--option", "batch=1", "--option", "workers=0", "--teachers",
    ]  # fmt: skip
    assert finetuning.main([*arguments, "--subject", "rocket"]) == 2
    assert "know rocket" in capsys.readouterr().err
    assert finetuning.main([*arguments, "--subject", "penguin"]) == (0 if STICKERS else 2)
    if not STICKERS:
        return
    result = json.loads((tmp_path / "finetuning.json").read_text())
    modes = ("student", "teacher") if student else ("in full",)
    assert len(result["tables"]) == len(modes)
    for mode, table in zip(modes, result["tables"], strict=True):
        assert table["columns"][1:] == ["old, before", "old, after", "new, before", "new, after"]
        assert all("n = 2" in cell for cell in table["rows"][0][1:])
        assert {j["wanted"][0] for j in result["data"][f"{mode}, new, after"]} == {"penguin"}
        assert ("(--teacher)" in table["title"]) == (mode == "teacher")
    assert (tmp_path / "finetuning.png").stat().st_size > 1000


def test_stages_run(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    arguments = ["--weights", str(folder), "--results", str(tmp_path)]
    arguments += ["--lpips", str(tmp_path / "none.safetensors")]
    assert stages.main([*arguments, "--clips", "6"]) == 0
    assert "LPIPS left out" in capsys.readouterr().out
    result = json.loads((tmp_path / "stages.json").read_text())
    values = result["data"]["bridge + refiner"]
    methods = {"blending + bicubic", "DIS warp + bicubic", "bridge + bicubic", "bridge + refiner"}
    assert set(values) == methods | {"truth"}
    assert set(values["bridge + refiner"]) == {
        "psnr", "missing", "ssim", "flicker", "warping", "change", "sharpness",
    }  # fmt: skip
    # An untrained refiner shows its input, noise augmentation and all.
    refiner = result["data"]["refiner"]
    assert min(refiner["refiner"]["psnr"]) > 12
    assert np.less(refiner["refiner"]["psnr"], refiner["bicubic"]["psnr"]).all()
    assert len(result["tables"]) == 6
    assert stages.main([*arguments, "--clips", "5"]) == 2
    assert "needs at least 6 clips, not 5" in capsys.readouterr().err


def test_stages_run_on_real_videos(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Frames are taken at the cascade's pace from the middle; what is no use is passed over."""
    spec = CascadeSpec.load(folder / "spec.yaml")
    rate, count = spec.fps_after("refiner"), spec.stage("refiner").frames
    videos = tmp_path / "videos"
    videos.mkdir()
    rng = np.random.default_rng(0)
    wide = cv2.GaussianBlur(rng.integers(0, 256, (96, 400, 3)).astype(np.float32), (0, 0), 4)
    wide = (255 * (wide - wide.min()) / np.ptp(wide)).astype(np.uint8)
    pan = np.stack([wide[:, k : k + 128] for k in range(2 * count + 6)])
    bars = np.kron(rng.integers(0, 2, (8, 8, 1)), np.full((12, 16, 3), 255)).astype(np.uint8)
    other = bars[None].repeat(count, 0)
    clips = {
        "a": pan, "b": pan[::-1], "short": pan[:count],
        "cut": np.concatenate((pan[:count], other)), "still": pan[:1].repeat(2 * count, 0),
        "small": pan[:, :24, :24],
    }  # fmt: skip
    for name, frames in clips.items():
        write_clip(videos / f"{name}.mkv", frames, fps=2 * rate, lossless=True)
    (videos / "broken.mp4").write_bytes(b"no video")
    truths = list(real_truths(spec, videos, 9))
    assert [(t.title, t.prompt) for t in truths] == [("a", ""), ("b", "")]
    assert truths[0].rate == rate
    side = spec.stage("refiner").size
    assert truths[0].large.shape == (count, side, side, 3)
    said = capsys.readouterr().err
    assert all(f"{n} is passed over" in said for n in ("short.mkv", "cut.mkv", "still.mkv"))
    assert "small.mkv is passed over: 24 pixels a side" in said
    assert "nothing moves" in said
    assert "a cut" in said
    arguments = ["--weights", str(folder), "--results", str(tmp_path), "--videos", str(videos)]
    arguments += ["--lpips", str(tmp_path / "none.safetensors")]
    assert stages.main([*arguments, "--clips", "2"]) == 0
    result = json.loads((tmp_path / "stages_real.json").read_text())
    assert result["data"]["captions"] == ["a", "b"]
    assert result["data"]["sources"] == ["a", "b"]
    assert "2 real clips of 2 sources" in result["tables"][0]["notes"][0]
    assert "too few sources to tell" in result["tables"][1]["notes"][0]
    (videos / "b.mkv").unlink()
    assert stages.main([*arguments, "--clips", "2"]) == 2
    assert stages.main([*arguments[:4], "--videos", str(tmp_path / "nowhere")]) == 2


def test_cascade_flicker_runs(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A few settings: what is tested is that they are run, told apart and summed up.
    whole = cascade_flicker.settings
    monkeypatch.setattr(
        cascade_flicker,
        "settings",
        lambda *given: [s for s in whole(*given) if s.default or s.value in (0, 0.3)],
    )
    arguments = ["--weights", str(folder), "--results", str(tmp_path)]
    arguments += ["--cache", str(tmp_path / "cache")]
    assert cascade_flicker.main([*arguments, "--clips", "2"]) == 0
    result = json.loads((tmp_path / "cascade_flicker.json").read_text())
    values = result["data"]["values"]
    assert set(values) == {"true inputs", "the base's samples"}
    true = values["true inputs"]
    none, much = (true[f"bridge noise augmentation σ {sigma}"] for sigma in ("0", "0.3"))
    # An untrained bridge hands its noise on, so its noise augmentation must show.
    assert max(much["psnr"]) < min(none["psnr"])
    sampled = values["the base's samples"]["bridge noise augmentation σ 0"]
    assert "psnr" not in sampled
    assert len(sampled["flicker"]) == len(result["data"]["truth"]["flicker"]) == 2
    titles = [table["title"] for table in result["tables"]]
    assert titles[3] == "What the defaults should be"
    (row,) = [r for r in result["tables"][3]["rows"] if r[0] == "bridge noise augmentation σ"]
    # The tiny spec's own value, which its config follows as long as nothing better is known.
    assert row[1] == "0.1"
    assert row[4] == ("yes" if row[2] == "0.1" else "no: tiny.yaml has 0.1")
    assert "left out: bounce" in result["tables"][0]["notes"][0]
    assert (tmp_path / "cascade_flicker.png").stat().st_size > 10_000
    # The samples are kept, and a second run reads them.
    kept = {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").iterdir()}
    assert len(kept) == 2
    assert cascade_flicker.main([*arguments, "--clips", "2"]) == 0
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").iterdir()} == kept
    again = json.loads((tmp_path / "cascade_flicker.json").read_text())
    assert again["data"] == result["data"]
    assert cascade_flicker.main([*arguments, "--clips", "1"]) == 2


def test_the_gap_between_training_and_use(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same weights before and after: nothing changes, on any input."""
    arguments = ["--before", str(folder), "--after", str(folder), "--results", str(tmp_path)]
    arguments += ["--lpips", str(tmp_path / "none.safetensors")]
    assert gap.main([*arguments, "--clips", "5"]) == 2
    arguments += ["--clips", "6"]
    assert gap.main(arguments) == 0
    result = json.loads((tmp_path / "gap.json").read_text())
    assert len(result["tables"]) == 3
    for table in result["tables"]:
        assert gap.CHANGED in table["notes"]
        assert [row[0] for row in table["rows"]] == [
            "the truth: before", "the truth: after", "after − before",
            "made over: before", "made over: after", "after − before",
            "samples: before", "samples: after", "after − before", "truth",
        ]  # fmt: skip
    for rows in result["data"].values():
        for given, values in rows.items():
            assert ("psnr" in values["after"]) == (given != "samples")
            if given != "the truth":
                assert values["after"] == values["before"]
    # An untrained base paints grey over what it was given, which a bridge cannot mend.
    bridged = result["data"]["The bridge, to 8 × 32²"]
    assert np.mean(bridged["made over"]["after"]["psnr"]) < np.mean(
        bridged["the truth"]["after"]["psnr"]
    )
    assert (tmp_path / "gap.png").stat().st_size > 1000
    other = tmp_path / "other"
    spec = CascadeSpec.load(folder / "spec.yaml")
    VidCascadePipeline.from_spec(spec, seed=1).save_pretrained(other)
    assert gap.main([*arguments[:2], "--after", str(other), *arguments[4:]]) == 2
    assert "same base" in capsys.readouterr().err


def test_stages_that_read_are_told_the_caption(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = CascadeSpec.load(folder / "spec.yaml").model_dump()
    plain["stages"][1]["network"]["text"] = True
    reading = tmp_path / "reading"
    VidCascadePipeline.from_spec(CascadeSpec.from_dict(plain)).save_pretrained(reading)
    told: list[str] = []
    encode = VidCascadePipeline._encode

    def listen(self: VidCascadePipeline, result: StageResult, spec: CascadeSpec) -> TextStates:
        told.extend(result.prompts)
        return encode(self, result, spec)

    monkeypatch.setattr(VidCascadePipeline, "_encode", listen)
    arguments = ["--results", str(tmp_path), "--lpips", str(tmp_path / "none.safetensors")]
    arguments += ["--clips", "6"]
    assert stages.main([*arguments, "--weights", str(reading)]) == 0
    captions = json.loads((tmp_path / "stages.json").read_text())["data"]["captions"]
    assert set(told) == set(captions)
    told.clear()
    assert gap.main([*arguments, "--before", str(reading), "--after", str(reading)]) == 0
    assert len(set(told)) == 6
    assert "" not in told


def test_samples_are_made(folder: Path, tmp_path: Path) -> None:
    samples = load_script("make_samples")
    out = tmp_path / "samples"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert samples.main(["--weights", str(folder), "--out", str(out)]) == 0
    about = json.loads((out / "samples.json").read_text())
    assert [s["seed"] for s in about["samples"]] == list(range(8))
    files = {p.name for p in out.iterdir()}
    assert files == {"sheet.png", "samples.json"} | {s["file"] for s in about["samples"]}
    assert sum((out / s["file"]).stat().st_size for s in about["samples"]) == about["gif_bytes"]
    # Noise does not compress: GIFs too large together are made smaller.
    noise = np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3), np.uint8)
    samples.MOST_BYTES, samples.SIDES = 100_000, (64, 32, 16)
    side, total = samples._write_gifs([noise] * 8, 8.0, out)
    assert total <= 100_000
    assert side < 64
    assert samples.main(["--weights", str(tmp_path / "nowhere"), "--out", str(out)]) == 2
