"""LPIPS agrees with the reference, is a loss, and refuses what is no weights of it."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from vidcascade.errors import UsageError, VidCascadeError
from vidcascade.nn.lpips import LPIPS

SHARED = Path(__file__).parents[2].parent / "shared"
WEIGHTS = SHARED / "data" / "lpips_alex.safetensors"
CLIPS = SHARED / "golden" / "clips"
needs_weights = pytest.mark.skipif(not WEIGHTS.is_file(), reason="no LPIPS weights in shared/data")


@needs_weights
@pytest.mark.skipif(not CLIPS.is_dir(), reason="the golden clips (shared/golden) are not here")
@pytest.mark.parametrize("name", ["syn_object_none_0", "syn_pan_noise_4", "syn_static_colour_8"])
def test_lpips_agrees_with_the_reference(name):
    values = json.loads((SHARED / "golden" / "values" / "reference_per_clip.json").read_text())
    with av.open(str(CLIPS / f"{name}.mp4")) as container:
        stream = container.decode(video=0)
        frames = np.stack([next(stream).to_ndarray(format="rgb24") for _ in range(6)])
    video = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1
    distances = LPIPS(WEIGHTS)(video[:-1], video[1:])
    np.testing.assert_allclose(distances.numpy(), values[name]["tlpips_first5"], atol=5e-5)


@needs_weights
def test_lpips_is_a_loss():
    lpips = LPIPS(WEIGHTS)
    a = torch.rand(2, 3, 64, 48) * 2 - 1
    b = a.clone().requires_grad_()
    assert lpips(a, b).abs().max() < 1e-6
    flat = torch.zeros_like(a).requires_grad_()
    lpips(a, flat).sum().backward()
    assert torch.isfinite(flat.grad).all()
    assert flat.grad.abs().sum() > 0
    assert not any(p.requires_grad for p in lpips.parameters())
    with pytest.raises(UsageError, match="at least 32"):
        lpips(a[..., :16, :16], a[..., :16, :16])


def test_lpips_says_what_is_wrong_with_a_file(tmp_path):
    from safetensors.torch import save_file

    with pytest.raises(UsageError, match="no LPIPS weights"):
        LPIPS(tmp_path / "none.safetensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(VidCascadeError, match="does not hold LPIPS"):
        LPIPS(tmp_path / "other.safetensors")
    (tmp_path / "text.safetensors").write_text("not tensors")
    with pytest.raises(VidCascadeError, match="does not hold LPIPS"):
        LPIPS(tmp_path / "text.safetensors")
