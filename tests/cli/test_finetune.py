"""``vidcascade finetune``: a few pictures and clips in, a cascade that knows them out."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import imageio.v3 as iio
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.training.conftest import counting_frames, tiny, write_metadata
from vidcascade.cascade.assembling import assemble_cascade
from vidcascade.cascade.pipeline import VidCascadePipeline
from vidcascade.cascade.reading import READER
from vidcascade.cascade.registry import make_stage
from vidcascade.cascade.spec import CascadeSpec
from vidcascade.cascade.students import STUDENT_FILE, joined, load_student, save_student
from vidcascade.cascade.weights import bundled_weights, load_network
from vidcascade.data.known import check_prompt
from vidcascade.errors import UsageError
from vidcascade.nn.denoiser import SpaceTimeDenoiser
from vidcascade.nn.low_rank import add_low_rank, fingerprint, low_rank_state
from vidcascade.training import finetuning
from vidcascade.training.dataset import StageDataset, collate
from vidcascade.training.mixing import mix
from vidcascade.training.objective import stage_loss
from vidcascade.training.sources import FolderSource
from vidcascade.training.trainer import RunSettings, train_stage
from vidcascade.video import write_clip

Command = Callable[..., tuple[int, str, str]]
QUICK = ("--workers", 0, "--log-every", 1, "--sheet-every", 0, "--batch", 2, "--minutes", 0.03)


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny cascade of solids, trained for two steps."""
    spec = tiny("base", steps=2)
    assert spec.world is not None
    changes = {"solid_share": 1.0, "two_subjects": 0.0, "camera": 0.0}
    spec = spec.model_copy(update={"world": spec.world.model_copy(update=changes)})
    folder = tmp_path_factory.mktemp("old")
    settings = RunSettings(folder / "run", log_every=0, save_every=0, workers=0)
    weights = train_stage(spec, "base", settings)
    reader = bundled_weights() / READER
    assemble_cascade(spec, {"base": weights}, folder / "cascade", reader=reader)
    return folder / "cascade"


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """Two pictures, a clip, and a clip that is too short."""
    folder = tmp_path / "few"
    folder.mkdir()
    frames = counting_frames(12)
    iio.imwrite(folder / "a.png", frames[3])
    iio.imwrite(folder / "b.jpg", frames[9])
    write_clip(folder / "c.mp4", frames, 8)
    write_clip(folder / "short.mp4", frames[:2], 8)
    names = ("a.png", "b.jpg", "c.mp4", "short.mp4")
    return write_metadata(folder, [{"file_name": n, "text": "an okapi at a bar"} for n in names])


def test_new_subjects_are_learnt_beside_the_old(
    command: Command, old: Path, few: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new"
    code, text, err = command("finetune", few, "--weights", old, "--out", out, *QUICK)
    assert code == 0, err
    assert "short.mp4: too short" in err
    assert "3 can be used" in err
    assert text.splitlines()[-1] == f"Cascade: {out}"
    name = "diffusion_pytorch_model.safetensors"
    before, after = (load_file(f / "base" / name) for f in (old, out))
    assert any(not before[k].equal(after[k]) for k in before)
    assert (old / "refiner" / name).read_bytes() == (out / "refiner" / name).read_bytes()
    # New words stay, and others are still read.
    assert (old / READER / name).read_bytes() == (out / READER / name).read_bytes()
    pipeline = VidCascadePipeline.from_pretrained(out)
    assert pipeline.read("an okapi jumps in the garden") == "an okapi jumps in the garden"
    assert pipeline.read("a vermilion marble in the garden") == "a red ball over a meadow"
    assert pipeline.spec.world is not None
    assert [learnt.words for learnt in pipeline.spec.world.learnt] == [("okapi", "bar")]
    assert not check_prompt("an okapi", pipeline.spec.world).far
    assert pipeline.spec.stages == CascadeSpec.load(old / "spec.yaml").stages
    assert "Nothing about the result has been measured" in (out / "README.md").read_text()
    # What is there is kept.
    again = ("finetune", few, "--weights", old, "--out", out, *QUICK)
    code, _, err = command(*again)
    assert code == 2
    assert "exists" in err
    # The run is finished: to write it again is no training.
    stored = (out / "base" / name).read_bytes()
    code, text, err = command(*again, "--force")
    assert code == 0, err
    assert "step" not in text
    assert (out / "base" / name).read_bytes() == stored
    # It is not taken for a run on other clips.
    write_metadata(few, [{"file_name": "c.mp4", "text": "a quagga"}])
    code, _, err = command(*again, "--force")
    assert code == 2
    assert "holds a run on other weights, clips or settings" in err
    assert (out / "base" / name).read_bytes() == stored


def test_a_low_rank_change_is_added_to_the_weights(
    command: Command, old: Path, few: Path, tmp_path: Path
) -> None:
    """Every matrix differs by a matrix of that rank, and nothing else does."""
    name = "diffusion_pytorch_model.safetensors"
    before = {k: v.float() for k, v in load_file(old / "base" / name).items()}

    def change(place: str, *options: object) -> dict[str, Tensor]:
        out = tmp_path / place
        run = ("--run", tmp_path / "run", "--force")
        code, _, err = command(
            "finetune", few, "--weights", old, "--out", out, "--rank", 2, *run, *QUICK, *options
        )
        assert code == 0, err
        after = load_file(out / "base" / name)
        return {k: after[k].float() - before[k] for k in before}

    whole = change("whole")
    assert any(difference.any() for difference in whole.values())
    for key, difference in whole.items():
        if difference.ndim == 2:
            # The rest is bfloat16's rounding of the sum.
            rest = torch.linalg.svdvals(difference)[2:].norm()
            assert rest <= 2**-8 * (before[key] + difference).norm(), key
        else:
            assert not difference.any(), key
    # The run is finished: its result is only mixed anew.
    half = change("half", "--keep", 0.5)
    for key, difference in whole.items():
        close = 2**-7 * (before[key].abs().max() + difference.abs().max())
        assert torch.allclose(half[key], difference / 2, atol=float(close)), key
    assert sum(float(d.norm()) for d in half.values()) < 0.8 * sum(
        float(d.norm()) for d in whole.values()
    )


def test_all_weights_can_be_mixed_with_the_old_ones(
    command: Command, old: Path, few: Path, tmp_path: Path
) -> None:
    name = "diffusion_pytorch_model.safetensors"
    before = load_file(old / "base" / name)
    norms = []
    for keep in (0.0, 0.9):
        out, run = tmp_path / f"{keep}", ("--run", tmp_path / "run", "--keep", keep, "--rank", 0)
        code, _, err = command("finetune", few, "--weights", old, "--out", out, *run, *QUICK)
        assert code == 0, err
        after = load_file(out / "base" / name)
        norms.append(sum(float((after[k].float() - before[k].float()).norm()) for k in before))
    assert 0 < norms[1] < 0.5 * norms[0]


@pytest.mark.filterwarnings("ignore:no stickers")
def test_what_is_known_is_not_forgotten_unasked(few: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the stickers only solids could be mixed in, and the stickers would be forgotten."""
    monkeypatch.setattr("vidcascade.data.stickers.has_stickers", lambda folder: False)
    spec = tiny("base")
    assert spec.world is not None
    new = FolderSource.open(spec, "base", few, stills=True)
    with pytest.raises(UsageError, match=r"fetch_stickers\.py"):
        mix(spec, "base", new, 0.5)
    assert mix(spec, "base", new, 1.0).old is new
    with pytest.raises(UsageError, match="--share 1"):
        mix(spec.model_copy(update={"world": None}), "base", new, 0.5)


def test_old_clips_are_marked_and_asked_of_the_network_that_was(
    command: Command, old: Path, few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = CascadeSpec.load(old / "spec.yaml")
    source = mix(spec, "base", FolderSource.open(spec, "base", few, stills=True), 0.5)
    data = StageDataset(spec, spec.stage("base"), source, 8)
    batch = collate([data[k] for k in range(8)])
    assert batch.old is not None
    from_folder = [caption == "an okapi at a bar" for caption in batch.captions]
    assert 0 < sum(from_folder) < 8
    assert batch.old.tolist() == [not new for new in from_folder]
    twice = batch.to(torch.device("cpu")).repeated(2).old
    assert twice is not None
    assert twice.tolist() == [not new for new in from_folder for _ in range(2)]

    asked: list[tuple[SpaceTimeDenoiser | None, float]] = []

    def noted(*given: object) -> tuple[Tensor, Tensor]:
        rule, network, examples, text, draws, before = given
        everything_old = replace(examples, old=torch.ones(2, dtype=torch.bool))
        with torch.no_grad():
            same = stage_loss(rule, network, everything_old, text, draws.part([0, 1]), before)[0]
        asked.append((before, float(same.mean())))
        return stage_loss(*given)

    monkeypatch.setattr(finetuning, "stage_loss", noted)
    ask = ("finetune", few, "--weights", old, *QUICK)
    code, _, err = command(*ask, "--rank", 2, "--out", tmp_path / "mixed")
    assert code == 0, err
    was = load_network(old / "base", make_stage(spec.stage("base")), 384).state_dict()
    assert all(was[k].equal(v) for k, v in asked[-1][0].state_dict().items())
    assert asked[0][1] == pytest.approx(0, abs=1e-9)  # a change of low rank begins at nothing
    code, _, err = command(*ask, "--share", "1", "--out", tmp_path / "new-alone")
    assert code == 0, err
    assert asked[-1][0] is None


def test_a_student_of_other_weights_is_told_before_training(
    command: Command, old: Path, few: Path, tmp_path: Path
) -> None:
    shutil.copytree(old, tmp_path / "odd")
    network = load_network(old / "base", make_stage(tiny("base").stage("base")), 384)
    add_low_rank(network, 4)
    save_student(tmp_path / "odd" / "base" / STUDENT_FILE, low_rank_state(network), "0" * 64)
    code, out, err = command(
        "finetune", few, "--weights", tmp_path / "odd", "--out", tmp_path / "new", *QUICK
    )
    assert code != 0
    assert "the student of other weights" in err
    assert "step" not in out


def test_a_student_goes_with_the_weights_that_it_changes(
    command: Command, old: Path, few: Path, tmp_path: Path
) -> None:
    """Whichever stage is trained; where it is its own, the change is put on the new weights."""
    spec = tiny("base", steps=2)
    world = CascadeSpec.load(old / "spec.yaml").world
    spec = spec.model_copy(update={"world": world})
    network = load_network(old / "base", make_stage(spec.stage("base")), 384)
    mark = fingerprint(network)
    add_low_rank(network, 4)
    state = {k: 0.2 * torch.randn(v.shape) for k, v in low_rank_state(network).items()}
    state = joined(state, {k: -v for k, v in state.items()})  # its last step has its own
    save_student(tmp_path / STUDENT_FILE, state, mark)
    student = {"base": tmp_path / STUDENT_FILE}
    assemble_cascade(spec, {"base": old / "base"}, tmp_path / "fast", students=student)
    for stage in ("base", "refiner"):
        out = tmp_path / f"new-{stage}"
        code, _, err = command(
            "finetune", few, "--weights", tmp_path / "fast", "--out", out, "--stage", stage,
            "--rank", 4, *QUICK,
        )  # fmt: skip
        assert code == 0, err
        kept, teacher = load_student(out / "base" / STUDENT_FILE)
        assert all(kept[key].equal(value.bfloat16()) for key, value in state.items())
        assert (teacher == mark) == (stage == "refiner")
        pipeline = VidCascadePipeline.from_pretrained(out)
        assert pipeline.spec.stage("base").distilled
        assert pipeline.base.final is not None
    # Saved, that student is a network of its own, which is not trained on.
    pipeline.save_pretrained(tmp_path / "fused")
    code, _, err = command(
        "finetune", few, "--weights", tmp_path / "fused", "--out", tmp_path / "no", *QUICK
    )
    assert code == 1
    assert "a student with a last step of its own, which only runs" in err


def test_errors_are_sentences(command: Command, old: Path, few: Path, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "new")
    for wrong, words, status in (
        ((few, "--weights", tmp_path / "none", *out), "none", 2),
        ((few, "--weights", old, *out, "--stage", "middle"), "no stage 'middle'", 2),
        ((few, "--weights", old, *out, "--share", "0"), "must be in (0, 1]", 2),
        ((tmp_path / "nothing", "--weights", old, *out), "is not a folder", 2),
        ((few, "--weights", old, *out, "--rank", "-1"), "--rank", 2),
        ((few, "--weights", old, *out, "--rank", "5000"), "no matrix of the network has room", 2),
        ((few, "--weights", old, *out, "--keep", "1.5"), "--keep", 2),
    ):
        code, _, err = command("finetune", *wrong)
        assert code == status, err
        assert words in err
        assert "Traceback" not in err
    assert not (tmp_path / "new").exists()
