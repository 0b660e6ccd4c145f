"""The pipeline: seeds, batches, stages, saving, and what diffusers users expect of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline

from vidcascade.cascade.frames import CascadeOutput
from vidcascade.cascade.pipeline import VidCascadePipeline
from vidcascade.cascade.result import StageResult
from vidcascade.cascade.spec import CascadeSpec
from vidcascade.errors import UsageError, VidCascadeError
from vidcascade.video import read_clip


@pytest.fixture(scope="module")
def pipe(tiny_cascade: Path) -> VidCascadePipeline:
    loaded = VidCascadePipeline.from_pretrained(tiny_cascade)
    loaded.set_progress_bar_config(disable=True)
    # Branches that start as zero say nothing about their inputs; let them speak.
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        for name in ("base", "bridge", "refiner"):
            for parameter in getattr(loaded, name).parameters():
                if not parameter.any():
                    parameter.normal_(std=0.05)
    return loaded


def seeded(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def run(pipe: VidCascadePipeline, prompt: Any, seeds: list[int], **more: Any) -> CascadeOutput:
    out = pipe(prompt, generator=seeded(*seeds), output_type="pt", **more)
    assert isinstance(out, CascadeOutput)
    return out


def test_it_is_a_diffusion_pipeline_with_one_component_per_stage(pipe: VidCascadePipeline) -> None:
    assert isinstance(pipe, DiffusionPipeline)
    assert set(pipe.components) == {"text_encoder", "base", "bridge", "refiner"}


def test_a_prompt_becomes_the_clip_that_the_spec_describes(pipe: VidCascadePipeline) -> None:
    out = run(pipe, "a red ball", [0])
    assert out.frames.shape == (1, 8, 3, 64, 64)
    assert out.fps == 16
    assert list(out.stages) == ["base", "bridge", "refiner"]
    assert float(out.frames.min()) >= 0
    assert float(out.frames.max()) <= 1
    assert float(out.frames.std()) > 0.05


def test_the_same_seed_gives_the_same_clip_and_another_seed_another(
    pipe: VidCascadePipeline,
) -> None:
    first, again, other = (run(pipe, "a red ball", [s]).frames for s in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_seeds_may_be_numbers(pipe: VidCascadePipeline, tmp_path: Path) -> None:
    numbered = pipe(["a ball", "a cube"], generator=4, output_type="pt")
    assert isinstance(numbered, CascadeOutput)
    assert torch.equal(numbered.frames, run(pipe, ["a ball", "a cube"], [4, 5]).frames)
    numbered.save(tmp_path / "frames", index=1)
    saved = read_clip(tmp_path / "frames")
    assert saved.fps == 16
    wanted = numbered.frames[1].permute(0, 2, 3, 1).numpy() * 255
    np.testing.assert_allclose(saved.frames, wanted, atol=0.51)


@pytest.mark.parametrize("batch_size", [None, 1])
def test_a_sample_does_not_depend_on_its_batch(
    pipe: VidCascadePipeline, batch_size: int | None
) -> None:
    alone = run(pipe, "a red ball", [3]).frames[0]
    prompts = ["a blue cube at night", "a star", "a red ball", "a long prompt about a green cone"]
    four = run(pipe, prompts, [0, 1, 3, 2], batch_size=batch_size).frames
    assert torch.equal(alone, four[2])


def test_a_sample_in_one_pass_with_others_is_the_same_but_for_rounding(
    pipe: VidCascadePipeline,
) -> None:
    alone = run(pipe, "a red ball", [3]).frames[0]
    four = run(pipe, ["a cube", "a star", "a red ball", "a cone"], [0, 1, 3, 2], batch_size=4)
    torch.testing.assert_close(alone, four.frames[2], atol=2e-4, rtol=0)


def test_prompt_negative_prompt_and_guidance_matter(pipe: VidCascadePipeline) -> None:
    plain = run(pipe, "a red ball", [0]).frames
    assert not torch.equal(plain, run(pipe, "a blue cube", [0]).frames)
    assert not torch.equal(plain, run(pipe, "a red ball", [0], negative_prompt="blue").frames)
    assert not torch.equal(plain, run(pipe, "a red ball", [0], guidance_scale=5.0).frames)
    steps = run(pipe, "a red ball", [0], num_inference_steps={"base": 3}).frames
    assert not torch.equal(plain, steps)


def test_stopping_and_going_on_from_a_saved_stage_is_one_run(
    pipe: VidCascadePipeline, tmp_path: Path
) -> None:
    whole = run(pipe, ["a red ball", "a cube"], [0, 1], negative_prompt="grey")
    base = run(pipe, ["a red ball", "a cube"], [0, 1], negative_prompt="grey", stop_after="base")
    assert base.frames.shape == (2, 4, 3, 16, 16)
    assert base.fps == 8
    base.stages["base"].save(tmp_path / "base.safetensors")
    saved = StageResult.load(tmp_path / "base.safetensors")
    rest = pipe(start_from=saved, output_type="pt")
    assert isinstance(rest, CascadeOutput)
    assert torch.equal(rest.frames, whole.frames)
    # The refiner's settings can change without running the base again.
    other = pipe(start_from=whole.stages["bridge"], smoothing=0.0, output_type="pt")
    assert isinstance(other, CascadeOutput)
    assert not torch.equal(other.frames, whole.frames)


def test_output_types(pipe: VidCascadePipeline) -> None:
    pt = run(pipe, "a ball", [0]).frames
    whole = pipe("a ball", generator=seeded(0), output_type="np")
    assert isinstance(whole, CascadeOutput)
    array = whole.frames
    np.testing.assert_allclose(array, pt.permute(0, 1, 3, 4, 2).numpy(), atol=1e-6)
    (images,) = pipe("a ball", generator=seeded(0), output_type="pil", return_dict=False)
    assert len(images[0]) == 8
    np.testing.assert_allclose(np.asarray(images[0][2]), array[0, 2] * 255, atol=0.51)


def test_the_callback_sees_every_step(pipe: VidCascadePipeline) -> None:
    seen = []

    def callback(pipeline: Any, step: int, sigma: float, about: dict[str, Any]) -> None:
        seen.append((about["stage"], step, sigma, tuple(about["x"].shape)))

    run(pipe, "a ball", [0], callback_on_step_end=callback)
    assert [(s, k) for s, k, _, _ in seen] == [
        ("base", 0), ("base", 1), ("bridge", 0), ("bridge", 1), ("refiner", 0),
    ]  # fmt: skip
    assert seen[0][2] == 1.0
    assert seen[-1][2] == pytest.approx(0.5)
    assert seen[-1][3] == (1, 8, 3, 64, 64)


def test_saving_and_loading_gives_the_same_clips(pipe: VidCascadePipeline, tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path / "cascade")
    loaded = VidCascadePipeline.from_pretrained(tmp_path / "cascade")
    loaded.set_progress_bar_config(disable=True)
    assert torch.equal(run(loaded, "a ball", [0]).frames, run(pipe, "a ball", [0]).frames)
    suffixes = {f.suffix for f in (tmp_path / "cascade").rglob("*") if f.is_file()}
    assert suffixes == {".json", ".yaml", ".safetensors"}


def test_a_recursive_cascade_runs_its_bridge_twice() -> None:
    data = CascadeSpec.load("tiny").model_dump(mode="json")
    data["topology"] = "recursive"
    data["stages"][1] |= {"rounds": 2, "frames": 16}
    data["stages"][2]["frames"] = 16
    pipe = VidCascadePipeline.from_spec(CascadeSpec.from_dict(data))
    pipe.set_progress_bar_config(disable=True)
    out = run(pipe, "a ball", [0])
    assert out.frames.shape == (1, 16, 3, 64, 64)
    assert out.fps == 32


def test_a_second_bridge_reaches_a_larger_size() -> None:
    data = CascadeSpec.load("tiny").model_dump(mode="json")
    extra = dict(data["stages"][1], name="bridge_again", frames=16, size=64)
    data["stages"] = [*data["stages"][:2], extra]
    pipe = VidCascadePipeline.from_spec(CascadeSpec.from_dict(data))
    pipe.set_progress_bar_config(disable=True)
    assert run(pipe, "a ball", [0]).frames.shape == (1, 16, 3, 64, 64)


def test_other_dtypes_and_schedulers_give_nearly_the_same(tiny_cascade: Path) -> None:
    wide = VidCascadePipeline.from_pretrained(tiny_cascade)
    narrow = VidCascadePipeline.from_pretrained(tiny_cascade, dtype=torch.bfloat16)
    for pipe in (wide, narrow):
        pipe.set_progress_bar_config(disable=True)
    assert narrow.base.dtype == torch.bfloat16
    a, b = (run(pipe, "a ball", [0]).frames for pipe in (wide, narrow))
    assert float((a - b).abs().mean()) < 0.02


@pytest.mark.parametrize("name", ["unipc", "dpmpp", "ddim"])
def test_every_scheduler_runs_the_cascade(pipe: VidCascadePipeline, name: str) -> None:
    data = pipe.spec.model_dump(mode="json")
    for stage in data["stages"]:
        stage["scheduler"] = name
    networks = {s.name: getattr(pipe, s.name) for s in pipe.spec.stages}
    other = VidCascadePipeline(pipe.text_encoder, CascadeSpec.from_dict(data), networks)
    other.set_progress_bar_config(disable=True)
    frames = run(other, "a ball", [0]).frames
    assert torch.isfinite(frames).all()
    assert float(frames.std()) > 0.03


@pytest.mark.parametrize("split", [False, True])
def test_sequential_offload_gives_the_same_clip(tiny_cascade: Path, split: bool) -> None:
    """accelerate's hooks on the CPU device: parameters live on "meta" between the calls."""
    from accelerate import cpu_offload

    plain = VidCascadePipeline.from_pretrained(tiny_cascade)
    moved = VidCascadePipeline.from_pretrained(tiny_cascade)
    for pipe in (plain, moved):
        pipe.set_progress_bar_config(disable=True)
        if split:  # as a student with a last step of its own
            pipe.base.split(1.0).requires_grad_(False).head.bias.add_(0.3)
    for model in moved.components.values():
        cpu_offload(model, torch.device("cpu"))
    assert next(moved.base.parameters()).device.type == "meta"
    assert torch.equal(run(moved, "a ball", [0]).frames, run(plain, "a ball", [0]).frames)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="offloading needs a GPU")
@pytest.mark.parametrize("method", ["enable_model_cpu_offload", "enable_sequential_cpu_offload"])
def test_offloading_on_a_gpu(tiny_cascade: Path, method: str) -> None:
    plain = VidCascadePipeline.from_pretrained(tiny_cascade).to("cuda")
    moved = VidCascadePipeline.from_pretrained(tiny_cascade)
    getattr(moved, method)()
    for pipe in (plain, moved):
        pipe.set_progress_bar_config(disable=True)
    torch.testing.assert_close(
        run(moved, "a ball", [0]).frames, run(plain, "a ball", [0]).frames, atol=1e-3, rtol=0
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"prompt": ""}, "empty"),
        ({"prompt": []}, "no prompt"),
        ({"prompt": None}, "no prompt"),
        ({"prompt": "red " * 60}, "shorten"),
        ({"prompt": 7 * ["a"], "negative_prompt": ["a", "b"]}, "negative prompts"),
        ({"prompt": "a", "num_inference_steps": -1}, "steps"),
        ({"prompt": "a", "num_inference_steps": {"upscaler": 3}}, "base, bridge, refiner"),
        ({"prompt": "a", "guidance_scale": {"refiner": 3.0}}, "no effect"),
        ({"prompt": "a", "noise_augmentation": 1.0}, "less than 1"),
        ({"prompt": "a", "smoothing": 2.0}, "less than or equal to 1"),
        ({"prompt": "a", "stop_after": "end"}, "base, bridge, refiner"),
        ({"prompt": "a", "output_type": "latent"}, "pil, np or pt"),
        ({"prompt": "a", "generator": seeded(0, 1)}, "1 samples and 2 generators"),
        ({"prompt": "a", "num_videos_per_prompt": 0}, "at least 1"),
    ],
)
def test_what_cannot_work_is_refused_in_one_sentence(
    pipe: VidCascadePipeline, arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        pipe(**arguments)


def test_a_saved_stage_brings_its_own_prompts(pipe: VidCascadePipeline) -> None:
    base = run(pipe, "a ball", [0], stop_after="base").stages["base"]
    with pytest.raises(UsageError, match="its own prompts"):
        pipe("another", start_from=base)
    with pytest.raises(UsageError, match="Nothing is left"):
        pipe(start_from=base, stop_after="base")


class TestDamagedWeights:
    @pytest.fixture
    def folder(self, tiny_cascade: Path, tmp_path: Path) -> Path:
        import shutil

        return Path(shutil.copytree(tiny_cascade, tmp_path / "weights"))

    def load(self, folder: Path) -> str:
        with pytest.raises(VidCascadeError) as caught:
            VidCascadePipeline.from_pretrained(folder)
        message = str(caught.value)
        assert "\n" not in message
        return message

    def test_truncated(self, folder: Path) -> None:
        file = folder / "base" / "diffusion_pytorch_model.safetensors"
        file.write_bytes(file.read_bytes()[:-1000])
        assert "truncated or was changed" in self.load(folder)
        (folder / "checksums.json").unlink()
        assert "damaged" in self.load(folder)

    def test_one_changed_byte(self, folder: Path) -> None:
        file = folder / "bridge" / "diffusion_pytorch_model.safetensors"
        data = bytearray(file.read_bytes())
        data[-5] ^= 1
        file.write_bytes(data)
        assert "changed" in self.load(folder)

    def test_missing(self, folder: Path) -> None:
        (folder / "refiner" / "diffusion_pytorch_model.safetensors").unlink()
        assert "missing" in self.load(folder)

    def test_pickles_are_never_opened(self, folder: Path) -> None:
        (folder / "checksums.json").unlink()
        file = folder / "base" / "diffusion_pytorch_model.safetensors"
        torch.save({}, folder / "base" / "diffusion_pytorch_model.bin")
        file.unlink()
        assert "incomplete or damaged" in self.load(folder)

    def test_of_another_size(self, folder: Path) -> None:
        spec = folder / "spec.yaml"
        spec.write_text(spec.read_text().replace("- 32\n", "- 48\n", 1))
        assert "do not match the spec: stages.base" in self.load(folder)

    def test_checksums_that_are_no_checksums(self, folder: Path) -> None:
        (folder / "checksums.json").write_text(json.dumps([1]))
        assert "checksums" in self.load(folder)

    def test_a_folder_of_something_else(self, tmp_path: Path) -> None:
        assert "holds no cascade" in self.load(tmp_path)

    def test_no_folder_at_all(self, tmp_path: Path) -> None:
        assert "no weights" in self.load(tmp_path / "a" / "b" / "c")
