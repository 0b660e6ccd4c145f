"""PSNR, SSIM, LPIPS and sharpness."""

from __future__ import annotations

import json
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch

from vidcascade.errors import UsageError, VidCascadeError
from vidcascade.metrics.fidelity import LPIPS, gradient_sharpness, laplacian_variance, psnr, ssim

SHARED = Path(__file__).parents[2].parent / "shared"
WEIGHTS = SHARED / "data" / "lpips_alex.safetensors"
CLIPS = SHARED / "golden" / "clips"
needs_weights = pytest.mark.skipif(not WEIGHTS.is_file(), reason="no LPIPS weights in shared/data")


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    a = cv2.GaussianBlur(rng.integers(0, 256, (40, 52, 3)).astype(np.uint8), (0, 0), 1.5)
    noisy = a + rng.normal(scale=9, size=a.shape)
    return a, np.clip(noisy, 0, 255).astype(np.uint8)


def test_psnr_by_hand():
    a = np.zeros((4, 4, 3), np.uint8)
    assert float(psnr(a, a + 1)) == pytest.approx(48.1308, abs=1e-4)
    assert np.isinf(psnr(a, a))
    clip = np.stack([a, a + 255])
    assert psnr(clip, np.zeros_like(clip)).tolist() == [np.inf, 0.0]
    assert float(psnr(a / 1.0, a + 0.1, data_range=1.0)) == pytest.approx(20.0)


def test_agrees_with_scikit_image(pair):
    metrics = pytest.importorskip("skimage.metrics", reason="scikit-image is not installed")
    a, b = pair
    options = {
        "gaussian_weights": True,
        "sigma": 1.5,
        "use_sample_covariance": False,
        "channel_axis": -1,
    }
    assert float(ssim(a, b)) == pytest.approx(
        metrics.structural_similarity(a, b, **options), abs=1e-9
    )
    assert float(psnr(a, b)) == pytest.approx(metrics.peak_signal_noise_ratio(a, b), abs=1e-9)


def test_ssim_ranges_and_batches(pair):
    a, b = pair
    assert float(ssim(a, a)) == pytest.approx(1.0)
    assert float(ssim(a / 255, b / 255, data_range=1.0)) == pytest.approx(float(ssim(a, b)))
    both = ssim(np.stack([a, a]), np.stack([a, b]))
    assert both.shape == (2,)
    assert both[1] == ssim(a, b)
    grey = ssim(a[..., :1], b[..., :1])
    assert 0 < float(grey) < 1


def test_fidelity_refuses_what_it_cannot_compare(pair):
    a, b = pair
    with pytest.raises(UsageError, match="one shape"):
        psnr(a, b[:-1])
    with pytest.raises(UsageError, match="data_range"):
        psnr(a / 255, b / 255)
    with pytest.raises(UsageError, match="11"):
        ssim(a[:10], b[:10])


def test_sharpness_falls_with_blur(pair):
    a, _ = pair
    blurred = cv2.GaussianBlur(a, (0, 0), 2.0)
    for measure in (gradient_sharpness, laplacian_variance):
        assert measure(blurred) < 0.7 * measure(a)
        assert measure(np.stack([a, a])).shape == (2,)
        assert float(measure(np.full((8, 8, 3), 77, np.uint8))) == pytest.approx(0.0, abs=1e-9)
        with pytest.raises(UsageError, match="uint8"):
            measure(a / 255)


def test_gradient_sharpness_of_a_ramp():
    ramp = np.broadcast_to((np.arange(20) * 3).astype(np.uint8)[None, :, None], (9, 20, 3))
    assert float(gradient_sharpness(ramp)) == pytest.approx(3.0)
    assert float(laplacian_variance(ramp)) == pytest.approx(0.0, abs=1e-9)


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
