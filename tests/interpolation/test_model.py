"""The learned maker of in-between frames, with an untrained network of its own size."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from vidcascade.errors import UsageError, VidCascadeError
from vidcascade.flow.dis import dis_flow
from vidcascade.flow.midpoint import average_of_warps, intermediate_flows
from vidcascade.interpolation.model import NetworkBetween
from vidcascade.interpolation.prior import flows_between
from vidcascade.interpolation.warp_network import WarpNetwork, compose
from vidcascade.interpolation.warp_prior import prior_of, sample, search


def texture(height: int, width: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(height, width, 3)).astype(np.float32)
    smooth = sum(cv2.GaussianBlur(noise, (0, 0), s) * s for s in (2.0, 5.0))
    return np.clip(128 + 50 * smooth / smooth.std(), 0, 255).astype(np.uint8)


def shifted(height: int, width: int, step: int) -> list[np.ndarray]:
    big = texture(height, width + 4 * step)
    return [np.ascontiguousarray(big[:, i * step : i * step + width]) for i in range(3)]


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(-10 * np.log10(((a.astype(float) - b) ** 2).mean() / 255**2))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("weights") / "interpolator"
    WarpNetwork(coarse=(16, 16, 16), fine=16, bridge=8).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def between(weights):
    return NetworkBetween(weights=weights)


def test_an_untrained_network_gives_the_average_of_the_warps():
    first, middle, second = shifted(96, 128, 3)
    ahead, back = dis_flow(first, second), dis_flow(second, first)
    tensors = [
        torch.from_numpy(x).permute(2, 0, 1)[None].float() for x in (first, second, ahead, back)
    ]
    one, two = (x / 127.5 - 1 for x in tensors[:2])
    time = torch.tensor([0.5])
    prior = prior_of(tensors[2], tensors[3], time)
    expected = torch.cat(intermediate_flows(tensors[2], tensors[3], 0.5), 1)
    torch.testing.assert_close(prior.flows, expected)
    with torch.no_grad():
        given = WarpNetwork()(one, two, prior, time)
        made = compose(one, two, given, time)
    torch.testing.assert_close(
        given.coarse, torch.nn.functional.avg_pool2d(prior.flows, 8), atol=0.2, rtol=0.0
    )
    picture = ((made[0].permute(1, 2, 0) + 1) * 127.5).round().clamp(0, 255).numpy()
    plain = average_of_warps(first, second, *intermediate_flows(ahead, back))
    assert psnr(picture, plain) > 32  # bicubic against bilinear, and a trace of the search
    assert psnr(picture, middle) > psnr(plain, middle) - 0.3


def test_at_a_moving_edge_both_motions_are_followed():
    """A square moves by 16 pixels over a ground that stands still; exact flows are given."""
    ahead, back = torch.zeros(1, 2, 64, 96), torch.zeros(1, 2, 64, 96)
    ahead[:, 0, 16:48, 24:56] = 16.0
    back[:, 0, 16:48, 40:72] = -16.0
    prior = prior_of(ahead, back, torch.tensor([0.5]))
    assert prior.followed.shape == (1, 4, 32, 48)
    forth, again = prior.followed[0, 0, 16], prior.followed[0, 2, 16]
    # Where the square is half-way, both say so; just behind it the prior is a mean of two motions
    # and one of the two is that of the ground, which is what is there.
    assert (forth[18:30] == 16).all()
    assert (again[18:30] == 16).all()
    plain = (prior.flows[0, 2] - prior.flows[0, 0])[32]
    assert 0 < plain[28] < 16
    assert min(forth[14], again[14]) == 0


def test_sampling_follows_the_flow():
    image = torch.arange(48.0).view(1, 1, 6, 8)
    flow = torch.zeros(1, 2, 6, 8)
    flow[:, 0] = 1.0
    torch.testing.assert_close(sample(image, flow)[..., :-1], image[..., 1:])
    torch.testing.assert_close(sample(image, flow * 0, "bicubic"), image)


def test_the_search_finds_a_motion_that_the_prior_missed():
    big = texture(128, 192)
    first, second = big[:, 40:168], big[:, 24:152]  # what is shown moves 16 pixels to the right
    half = [
        torch.nn.functional.avg_pool2d(
            torch.from_numpy(x.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1, 2
        )
        for x in (first, second)
    ]
    costs, found = search(half[0], half[1], torch.tensor([0.5]))
    assert costs.shape == (1, 49, 16, 16)
    inside = found[0, :, 4:-4, 4:-4].flatten(1).median(1).values
    torch.testing.assert_close(inside, torch.tensor([-8.0, 0.0, 8.0, 0.0]), atol=1.0, rtol=0.0)


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (33, 47), (64, 64), (70, 130)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_any_size_and_both_dtypes(between, size, dtype):
    factor = 257 if dtype == np.uint16 else 1
    first, _, second = (x.astype(dtype) * factor for x in shifted(*size, 1))
    made = between(first, second, [0.25, 0.5])
    assert [(x.shape, x.dtype) for x in made] == [(first.shape, first.dtype)] * 2


def test_motion_is_followed(between):
    first, middle, second = shifted(96, 128, 4)
    blend = (first.astype(float) + second) / 2
    assert psnr(between(first, second, [0.5])[0], middle) > psnr(blend, middle) + 6


def test_sixteen_bits_are_as_good_as_eight(between):
    first, _, second = shifted(64, 64, 2)
    eight = between(first, second, [0.5])[0]
    sixteen = between(first.astype(np.uint16) * 257, second.astype(np.uint16) * 257, [0.5])[0]
    assert np.abs(sixteen / 257 - eight).max() <= 1


def test_what_stands_still_stays_bit_for_bit(between):
    first, _, second = shifted(96, 128, 2)
    assert np.array_equal(between(first, first.copy(), [0.3])[0], first)
    second = first.copy()
    second[:20, :20] = texture(20, 20, 5)
    made = between(first, second, [0.5])[0]
    assert np.array_equal(made[60:, 60:], first[60:, 60:])


def test_letters_over_a_moving_picture_stay_where_they_are(between):
    """A subtitle with compression noise on it: nothing is the same bit for bit."""
    rng = np.random.default_rng(0)
    frames = shifted(160, 240, 6)
    letters = np.zeros((160, 240), np.uint8)
    cv2.putText(letters, "Chapter 2", (40, 90), cv2.FONT_HERSHEY_SIMPLEX, 1.0, 255, 3, cv2.LINE_AA)
    cover = letters[..., None] / 255.0
    first, truth, second = (
        (f * (1 - cover) + 255 * cover + rng.normal(0, 1, f.shape)).clip(0, 255).astype(np.uint8)
        for f in frames
    )
    made = between(first, second, [0.5])[0]
    core = letters == 255
    assert core.sum() > 500
    plain = average_of_warps(
        first, second, *intermediate_flows(dis_flow(first, second), dis_flow(second, first))
    )
    # Half of what there is to mend: where both ends of the flow show the same background, a thin
    # stroke cannot be told from what something passes in front of.
    missed = np.abs(plain.astype(int) - truth)[core].mean()
    assert np.abs(made.astype(int) - truth)[core].mean() < 0.6 * missed
    # The picture around them does move.
    far = cv2.dilate(letters, np.ones((25, 25), np.uint8)) == 0
    far[:8] = far[-8:] = far[:, :8] = far[:, -8:] = False
    held = (first.astype(int) + second) / 2
    assert np.abs(made.astype(int) - truth)[far].mean() < 0.5 * np.abs(held - truth)[far].mean()


def test_best_is_the_mean_of_two_answers(weights):
    first, middle, second = shifted(64, 96, 3)
    best = NetworkBetween(quality="best", weights=weights)
    mirrored = [np.ascontiguousarray(x[:, ::-1]) for x in (second, first)]
    one, other = best(first, second, [0.5])[0], best(*mirrored, [0.5])[0][:, ::-1]
    # DIS itself is not quite symmetric; the network's part is.
    assert psnr(one, other) > 30
    assert psnr(one, middle) > 30


def test_a_large_frame_is_warped_at_its_own_size(weights):
    between = NetworkBetween(weights=weights)
    between.area = 4000
    first, middle, second = shifted(300, 200, 4)
    made = between(first, second, [0.5])[0]
    reduced = cv2.resize(cv2.resize(middle, (50, 75)), (200, 300))
    assert psnr(made[10:-10, 10:-10], middle[10:-10, 10:-10]) > 28 > psnr(reduced, middle) - 8


def test_small_pictures_are_searched_at_full_resolution():
    first, _, second = shifted(96, 96, 2)
    ahead, back = flows_between(first, second)
    assert np.abs(np.median(ahead[16:-16, 16:-16], (0, 1)) - (-4, 0)).max() < 0.1
    assert np.abs(np.median(back[16:-16, 16:-16], (0, 1)) - (4, 0)).max() < 0.1


def test_errors_are_told(weights, tmp_path, between):
    with pytest.raises(UsageError, match="Quality"):
        NetworkBetween(quality="fast", weights=weights)
    with pytest.warns(UserWarning, match="steps is ignored"):
        NetworkBetween(steps=4, weights=weights)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text((weights / "config.json").read_text())
    (broken / "diffusion_pytorch_model.safetensors").write_bytes(b"0" * 64)
    with pytest.raises(VidCascadeError, match="damaged"):
        NetworkBetween(weights=broken)
    with pytest.raises(UsageError):
        between(texture(8, 8), texture(8, 9), [0.5])
    with pytest.raises(UsageError):
        between(texture(8, 8), texture(8, 8), [1.0])
