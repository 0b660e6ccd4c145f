"""Optical flow, warping, occlusion and the half-way prior."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from vidcascade.errors import UsageError
from vidcascade.flow.dis import bidirectional, dis_flow
from vidcascade.flow.midpoint import (
    average_of_warps,
    extrapolated_flows,
    intermediate_flows,
    midpoint_prior,
)
from vidcascade.flow.occlusion import occlusion, occlusion_np
from vidcascade.flow.warp import inside, warp, warp_np

GOLDEN = Path(__file__).parents[2].parent / "shared" / "golden"
FLOWS = ["carphone_pristine_t10", "syn_zoom_none_0_t5"]
needs_golden = pytest.mark.skipif(
    not (GOLDEN / "flows").is_dir(), reason="the golden flows (shared/golden) are not here"
)


def texture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A smooth random RGB texture (H, W, 3) uint8 with detail at several scales."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, 3), np.float32)
    for sigma in (1.5, 4.0, 10.0):
        noise = rng.normal(size=(height, width, 3)).astype(np.float32)
        total += cv2.GaussianBlur(noise, (0, 0), sigma) * sigma
    return np.clip(128 + 60 * total / total.std(), 0, 255).astype(np.uint8)


def shifted(size: tuple[int, int], dx: int, dy: int) -> tuple[np.ndarray, np.ndarray]:
    """Two crops of one texture; what is at p in the first is at p + (dx, dy) in the second."""
    margin = 24
    height, width = size
    big = texture(height + 2 * margin, width + 2 * margin)
    first = big[margin : margin + height, margin : margin + width]
    second = big[margin - dy : margin - dy + height, margin - dx : margin - dx + width]
    return np.ascontiguousarray(first), np.ascontiguousarray(second)


def test_translation_is_found():
    a, b = shifted((128, 160), 5, -3)
    error = np.linalg.norm(dis_flow(a, b) - (5, -3), axis=-1)[12:-12, 12:-12]
    assert error.mean() < 0.1


@pytest.mark.parametrize("side", [16, 24, 32, 47])
def test_small_pictures_have_flow_too(side):
    a, b = shifted((side, side + 5), 1, 1)
    flow = dis_flow(a, b)
    assert flow.shape == (side, side + 5, 2)
    assert flow.dtype == np.float32
    assert np.linalg.norm(flow - (1, 1), axis=-1)[3:-3, 3:-3].mean() < 0.25


def test_still_picture_has_no_flow():
    a, _ = shifted((64, 64), 0, 0)
    assert np.abs(dis_flow(a, a)).max() < 0.05


def test_bidirectional_is_both_ways():
    a, b = shifted((64, 96), 2, 0)
    forward, backward = bidirectional(np.stack([a, b, a]))
    assert forward.shape == backward.shape == (2, 64, 96, 2)
    np.testing.assert_array_equal(forward[0], dis_flow(a, b))
    np.testing.assert_array_equal(backward[0], dis_flow(b, a))
    np.testing.assert_array_equal(forward[1], backward[0])


def test_flow_refuses_what_it_cannot_do():
    a, _ = shifted((64, 64), 0, 0)
    with pytest.raises(UsageError, match="preset"):
        dis_flow(a, a, "best")
    with pytest.raises(UsageError, match="one size"):
        dis_flow(a, a[:-1])
    with pytest.raises(UsageError, match="uint8"):
        dis_flow(a / 255, a / 255)
    with pytest.raises(UsageError, match="two frames"):
        bidirectional(a[None])


@pytest.mark.parametrize("size", [(1, 1), (37, 53), (64, 64), (144, 176), (5, 300)])
def test_zero_flow_is_the_identity(size):
    image = torch.rand(2, 3, *size)
    assert torch.equal(warp(image, torch.zeros(2, 2, *size)), image)
    frame = image[0].permute(1, 2, 0).contiguous().numpy()
    np.testing.assert_array_equal(warp_np(frame, np.zeros((*size, 2), np.float32)), frame)


def test_whole_pixel_flow_moves_exactly_and_clamps():
    image = torch.rand(1, 2, 21, 30)
    flow = torch.zeros(1, 2, 21, 30)
    flow[:, 0], flow[:, 1] = 4, -2
    out = warp(image, flow)
    assert torch.equal(out[..., 2:, :-4], image[..., :-2, 4:])
    assert torch.equal(out[..., 2:, -4:], image[..., :-2, -1:].expand(-1, -1, -1, 4))
    assert torch.equal(inside(flow)[0, 0, 2:, :-4], torch.ones(19, 26, dtype=torch.bool))
    assert not inside(flow)[0, 0, :2].any()


def test_half_pixel_flow_averages():
    image = torch.rand(1, 1, 8, 9)
    flow = torch.zeros(1, 2, 8, 9)
    flow[:, 0] = 0.5
    expected = (image[..., :-1] + image[..., 1:]) / 2
    torch.testing.assert_close(warp(image, flow)[..., :-1], expected)


def test_both_warps_agree():
    rng = np.random.default_rng(0)
    frame = rng.random((45, 70, 3), np.float32)
    flow = rng.normal(scale=6, size=(45, 70, 2)).astype(np.float32)
    out = warp(
        torch.from_numpy(frame).permute(2, 0, 1)[None],
        torch.from_numpy(flow).permute(2, 0, 1)[None],
    )
    np.testing.assert_allclose(warp_np(frame, flow), out[0].permute(1, 2, 0).numpy(), atol=1e-4)


def test_warp_keeps_dtype_and_has_gradients():
    image = torch.rand(1, 3, 12, 12, requires_grad=True)
    flow = torch.full((1, 2, 12, 12), 0.3, requires_grad=True)
    warp(image, flow).square().sum().backward()
    assert image.grad is not None
    assert flow.grad is not None
    assert flow.grad.abs().sum() > 0
    assert warp(image.bfloat16(), flow).dtype == torch.bfloat16
    with pytest.raises(UsageError, match="flow"):
        warp(image, flow[..., :-1])
    with pytest.raises(UsageError, match="flow"):
        warp_np(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 2), np.float32))


@needs_golden
@pytest.mark.parametrize("name", FLOWS)
def test_warp_and_occlusion_agree_with_the_reference(name):
    data = np.load(GOLDEN / "flows" / f"{name}.npz")
    expected = json.loads((GOLDEN / "values" / "lai_given_flow.json").read_text())[name]
    hidden = occlusion_np(data["fw"], data["bw"])
    np.testing.assert_array_equal(hidden, data["occ"].astype(bool))
    assert int(hidden.sum()) == expected["occ_pixels"]
    target = data["frame0"].astype(np.float64) / 255
    second = data["frame1"].astype(np.float32) / 255
    batched = warp(
        torch.from_numpy(second).permute(2, 0, 1)[None],
        torch.from_numpy(data["fw"]).permute(2, 0, 1)[None],
    )
    for warped in (warp_np(second, data["fw"]), batched[0].permute(1, 2, 0).numpy()):
        error = np.square(warped - target)[~hidden].mean()
        assert error == pytest.approx(expected["lai_warp_error"], rel=1e-5)


def test_occlusion_marks_lost_round_trips():
    flow = torch.zeros(2, 2, 32, 32)
    assert not occlusion(flow, flow).any()
    reverse = torch.zeros(2, 2, 32, 32)
    reverse[1, 0, 8:16, 8:16] = 3.0
    hidden = occlusion(flow, reverse)
    assert hidden.shape == (2, 1, 32, 32)
    assert not hidden[0].any()
    assert hidden[1, 0, 8:16, 8:16].all()
    assert int(hidden[1].sum()) == 64


def test_occlusion_marks_motion_boundaries():
    flow = np.zeros((16, 16, 2), np.float32)
    flow[:, 8:, 0] = 0.5
    hidden = occlusion_np(flow, np.zeros_like(flow))
    assert hidden[:, 7].all()
    assert not hidden[:, :7].any()


@pytest.mark.parametrize("t", [0.25, 0.5, 0.8])
def test_linear_motion_gives_linear_flows(t):
    f01 = np.broadcast_to(np.float32([4, -2]), (6, 7, 2)).copy()
    to_first, to_second = intermediate_flows(f01, -f01, t)
    np.testing.assert_allclose(to_first, -t * f01, atol=1e-6)
    np.testing.assert_allclose(to_second, (1 - t) * f01, atol=1e-6)


def test_halfway_is_a_quarter_of_the_difference():
    f01, f10 = torch.randn(1, 2, 5, 5), torch.randn(1, 2, 5, 5)
    to_first, to_second = intermediate_flows(f01, f10)
    torch.testing.assert_close(to_first, (f10 - f01) / 4)
    torch.testing.assert_close(to_second, -to_first)
    with pytest.raises(UsageError, match="between 0 and 1"):
        intermediate_flows(f01, f10, 1.0)
    with pytest.raises(UsageError, match="shape"):
        intermediate_flows(f01, f10[..., :-1])


def test_prior_beats_blending():
    a, b = shifted((96, 96), 6, 4)
    _, middle = shifted((96, 96), 3, 2)
    guess = average_of_warps(a, b, *midpoint_prior(a, b))
    inner = np.s_[8:-8, 8:-8]
    error = np.square(guess[inner].astype(float) - middle[inner]).mean()
    blend = (a[inner].astype(float) + b[inner]) / 2
    assert error < 0.05 * np.square(blend - middle[inner]).mean()


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_extrapolation_carries_the_motion_along(kind):
    # A 10 px block moved right by 8 px to columns 20–29 of the last frame; half a step later it
    # covers columns 24–33, and only those look back by 4.
    flow = np.zeros((20, 48, 2), np.float32)
    flow[:, 20:30, 0] = -8
    if kind == "torch":
        pair = extrapolated_flows(torch.from_numpy(flow).permute(2, 0, 1)[None], 0.5, 4)
        to_last, to_previous = (f[0].permute(1, 2, 0).numpy() for f in pair)
    else:
        to_last, to_previous = extrapolated_flows(flow, 0.5, 4)
    np.testing.assert_allclose(to_last[:, 24:30, 0], -4)
    np.testing.assert_allclose(to_previous[:, 24:30, 0], -12)
    np.testing.assert_allclose(to_last[:, 36:], 0)
    with pytest.raises(UsageError, match="positive"):
        extrapolated_flows(flow, 0.0)
