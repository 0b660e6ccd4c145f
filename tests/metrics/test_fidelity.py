"""PSNR, SSIM and sharpness."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from vidcascade.errors import UsageError
from vidcascade.metrics.fidelity import gradient_sharpness, laplacian_variance, psnr, ssim


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
