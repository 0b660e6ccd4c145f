"""The network's contracts, on a tiny real one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from vidcascade.nn.attention import Attention, rotate
from vidcascade.nn.blocks import Coordinates, JointAttention, Layout
from vidcascade.nn.denoiser import SpaceTimeDenoiser


def build(**settings: object) -> SpaceTimeDenoiser:
    torch.manual_seed(0)
    config = {"channels": (16, 32), "depths": (1, 1), "head_dim": 16, "text_width": 8} | settings
    net = SpaceTimeDenoiser(**config).eval()  # type: ignore[arg-type]
    for parameter in net.parameters():  # zero-initialised outputs would hide everything
        torch.nn.init.normal_(parameter, std=0.1) if not parameter.any() else None
    return net


def inputs(batch: int = 2, frames: int = 3, side: int = 16) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(1)
    return {
        "sample": torch.randn(batch, frames, 3, side, side, generator=g),
        "sigma": torch.rand(batch, generator=g),
        "text": torch.randn(batch, 5, 8, generator=g),
        "text_mask": torch.ones(batch, 5, dtype=torch.bool),
    }


@torch.no_grad()
def test_samples_of_a_batch_do_not_touch_each_other() -> None:
    net, given = build(), inputs()
    both = net(**given)
    one = net(**{key: value[:1] for key, value in given.items()})
    assert both.shape == given["sample"].shape
    torch.testing.assert_close(both[:1], one, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_every_input_is_heard() -> None:
    net = build(cond_channels=2, frame_times=True)
    given = inputs() | {"cond": torch.zeros(2, 3, 2, 16, 16), "augmentation": torch.zeros(2)}
    given["positions"] = torch.arange(3.0).expand(2, 3)
    before = net(**given)
    for key in ("sigma", "cond", "augmentation", "text", "positions"):
        # A constant is normalised away from token states, so those are reversed instead.
        other = given[key].flip(-1) if key == "text" else given[key] + 0.5
        changed = net(**(given | {key: other}))
        assert (changed - before).abs().max() > 1e-4, key
    masked = given["text_mask"].clone()
    masked[:, -1] = False
    assert (net(**(given | {"text_mask": masked})) - before).abs().max() > 1e-4


@torch.no_grad()
def test_masked_tokens_do_not_count() -> None:
    net, given = build(), inputs()
    given["text_mask"][:, 3:] = False
    other = given["text"].clone()
    other[:, 3:] = 9.0
    torch.testing.assert_close(net(**given), net(**(given | {"text": other})))


@torch.no_grad()
@pytest.mark.parametrize("attention", ["cross", "none"])
def test_tokens_in_another_order_are_another_prompt(attention: str) -> None:
    given = inputs()
    other = given | {"text": given["text"].flip(1)}
    plain = build(text_attention=attention)
    torch.testing.assert_close(plain(**given), plain(**other), atol=1e-5, rtol=1e-4)
    ordered = build(text_attention=attention, text_order=True)
    assert (ordered(**given) - ordered(**other)).abs().max() > 1e-4
    # A token's place is told from the start: what follows does not move it.
    longer = {"text": torch.cat((given["text"], given["text"]), dim=1)}
    longer["text_mask"] = torch.arange(10).expand(2, 10) < 5
    torch.testing.assert_close(ordered(**given), ordered(**(given | longer)))


@torch.no_grad()
def test_the_order_of_tokens_can_be_added_to_a_trained_network() -> None:
    torch.manual_seed(0)
    shape = {"channels": (16, 32), "depths": (1, 1), "head_dim": 16, "text_width": 8}
    new = SpaceTimeDenoiser(**shape, text_order=True)
    assert new.token_places is not None
    assert not new.token_places(torch.arange(9)).any()


@torch.no_grad()
@pytest.mark.parametrize("attention", ["cross", "context", "none"])
def test_text_is_attended_to_as_asked(attention: str) -> None:
    net, given = build(text_attention=attention), inputs()
    assert net.text_pool is not None
    for parameter in net.text_pool.parameters():  # leaves attention as the only way
        parameter.zero_()
    before = net(**given)
    given["text_mask"][:, 3:] = False
    masked = net(**given)
    given["text"][:, 3:] += 10.0
    torch.testing.assert_close(net(**given), masked)
    given["text"][:, :3] += torch.randn(2, 3, 8)
    heard = attention != "none"
    assert torch.equal(before, masked) == (not heard)
    assert torch.allclose(net(**given), masked) == (not heard)
    # Samples keep to their own text.
    one = net(**{key: value[1:] for key, value in given.items()})
    torch.testing.assert_close(net(**given)[1:], one, atol=1e-5, rtol=1e-4)


def test_an_unknown_way_to_attend_is_refused() -> None:
    with pytest.raises(ValueError, match="cross, context or none"):
        build(text_attention="both")


@torch.no_grad()
def test_temporal_layers_start_as_the_identity() -> None:
    torch.manual_seed(0)
    net = SpaceTimeDenoiser(channels=(16, 32), depths=(1, 1), head_dim=16).eval()
    torch.nn.init.normal_(net.head.weight, std=0.1)
    given = inputs()
    video = net(given["sample"], given["sigma"])
    frame = net(given["sample"][:, 1:2], given["sigma"])
    torch.testing.assert_close(video[:, 1:2], frame, atol=1e-5, rtol=1e-4)


def test_saving_and_loading_keeps_every_weight(tmp_path: Path) -> None:
    net = build()
    net.save_pretrained(tmp_path)
    assert {file.suffix for file in tmp_path.iterdir()} == {".json", ".safetensors"}
    again = SpaceTimeDenoiser.from_pretrained(tmp_path)
    for key, value in net.state_dict().items():
        torch.testing.assert_close(again.state_dict()[key], value)


@torch.no_grad()
def test_attention_takes_more_than_65536_sequences() -> None:
    layer = Attention(16, head_dim=8, rotary=True, zero_init=False)
    tokens = torch.randn(65_540, 2, 16)
    positions = torch.arange(2.0).expand(65_540, 2)
    out = layer(tokens, positions=positions)
    ends = torch.cat((tokens[:3], tokens[-3:]))
    torch.testing.assert_close(torch.cat((out[:3], out[-3:])), layer(ends, positions=positions[:6]))


@torch.no_grad()
@pytest.mark.parametrize("backend", ["native", "_native_math"])
def test_attention_backends_agree(backend: str) -> None:
    net, given = build(), inputs()
    want = net(**given)
    try:
        net.set_attention_backend(backend)
        torch.testing.assert_close(net(**given), want, atol=1e-4, rtol=1e-3)
    finally:
        net.set_attention_backend("native")


def test_rotation_depends_on_differences_only() -> None:
    q, k = torch.randn(1, 1, 1, 8), torch.randn(1, 1, 1, 8)

    def score(i: float, j: float) -> torch.Tensor:
        return (rotate(q, torch.tensor([[i]])) * rotate(k, torch.tensor([[j]]))).sum()

    torch.testing.assert_close(score(1, 4), score(6, 9), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_joint_attention_follows_what_moves() -> None:
    """A change at one place and time is heard at other places and times; not with one frame."""
    block = JointAttention(32, 16)
    torch.nn.init.normal_(block.attention.to_out.weight, std=0.1)
    x = torch.randn(2 * 3, 32, 4, 4, generator=torch.Generator().manual_seed(0))
    positions = torch.arange(3.0).expand(2, 3)
    before = block(x, 3, positions)
    changed = x.clone()
    changed[0, :, 0, 0] += 1.0
    heard = (block(changed, 3, positions) - before).abs().amax(1)
    assert (heard[:3] > 0).all()
    assert not heard[3:].any()  # another sample
    # Times and places are told apart: frames or rows in another order are another clip.
    assert (block(x, 3, positions.flip(1)) - before).abs().max() > 1e-4
    assert (block(x.flip(2), 3, positions).flip(2) - before).abs().max() > 1e-4


@torch.no_grad()
def test_rotation_depends_on_distances_only() -> None:
    g = torch.Generator().manual_seed(0)
    heads = torch.randn(1, 5, 2, 16, generator=g)
    places = torch.randint(0, 9, (1, 5, 3), generator=g).float()

    def scores(shift: float) -> torch.Tensor:
        turned = rotate(heads, places + shift)
        return torch.einsum("nqhd,nkhd->nhqk", turned, turned)

    torch.testing.assert_close(scores(0.0), scores(7.0), atol=1e-4, rtol=1e-4)
    assert (scores(0.0) - torch.einsum("nqhd,nkhd->nhqk", heads, heads)).abs().max() > 0.1


@torch.no_grad()
def test_coordinates_are_those_of_the_picture_at_any_size() -> None:
    layer = Coordinates(8)
    assert not layer(torch.zeros(1, 8, 4, 4)).any()  # the identity at the start
    torch.nn.init.normal_(layer.linear.weight, generator=torch.Generator().manual_seed(0))
    small, large = layer(torch.zeros(1, 8, 16, 8)), layer(torch.zeros(1, 8, 48, 24))
    torch.testing.assert_close(small, large[..., 1::3, 1::3], atol=1e-5, rtol=1e-5)
    assert (small[..., 0, :] - small[..., -1, :]).abs().amax() > 0.5
    assert (small[..., :, 0] - small[..., :, -1]).abs().amax() > 0.5


@torch.no_grad()
def test_a_motion_means_different_things_at_different_times() -> None:
    net = build(frame_times=True)
    torch.nn.init.normal_(net.motion_embedding.weight, std=0.5)
    given = inputs(batch=1, frames=2)
    given["sample"] = given["sample"][:, :1].expand(-1, 2, -1, -1, -1)
    given["positions"] = torch.tensor([[0.0, 15.0]])
    first = net(**given)
    second = net(**(given | {"text": given["text"].flip(-1)}))
    change = second - first
    assert (change[:, 0] - change[:, 1]).abs().max() > 1e-4


@torch.no_grad()
def test_a_layout_is_drawn_by_the_embedding_alone() -> None:
    layout, x = Layout(12, 16), torch.zeros(2, 16, 8, 8)
    embedding = torch.randn(2, 12, generator=torch.Generator().manual_seed(0))
    assert not layout(x, embedding).any()  # the identity at the start
    torch.nn.init.normal_(layout.draw.weight)
    drawn = layout(x, embedding)
    assert (drawn[0] - drawn[1]).abs().max() > 0.1
    assert drawn[0].std(dim=(1, 2)).max() > 0.1
    large = layout(torch.zeros(2, 16, 16, 16), embedding)
    both = torch.stack((torch.nn.functional.avg_pool2d(large, 2).flatten(), drawn.flatten()))
    assert torch.corrcoef(both)[0, 1] > 0.8  # the same picture at another size


@torch.no_grad()
def test_a_prompt_is_pooled_by_what_its_words_weigh() -> None:
    net, given = build(), inputs()
    torch.nn.init.zeros_(net.text_weights.weight)
    torch.nn.init.zeros_(net.text_weights.bias)
    text, mask = net.text_norm(given["text"]), given["text_mask"].clone()
    mask[0, 2:] = False
    mean = net.text_pool(text[0, :2].mean(0))
    torch.testing.assert_close(net._meaning(text, mask)[0], mean, atol=1e-5, rtol=1e-4)
    # Weights pick tokens, each group of features its own.
    torch.nn.init.normal_(net.text_weights.weight, std=50.0)
    picked = net._meaning(text, mask)[0].unflatten(0, (8, -1))
    tokens = net.text_pool(text[0, :2]).unflatten(-1, (8, -1))
    nearest = (tokens - picked).abs().amax(-1).amin(0)
    assert (nearest < 0.2).float().mean() > 0.5
    mask[0] = False
    assert not net._meaning(text, mask)[0].any()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler")
def test_a_compiled_joint_attention_has_the_same_gradients_in_bfloat16() -> None:
    # As the trainer runs it on a CPU. Compiled whole, torch 2.13 made the keys' gradient NaN.
    layer = JointAttention(64, head_dim=64)
    torch.nn.init.normal_(layer.attention.to_out.weight, std=0.05)
    layer.attention.processor._attention_backend = "_native_math"
    x = torch.randn(8, 64, 4, 4, generator=torch.Generator().manual_seed(0))
    x = x.to(memory_format=torch.channels_last)
    positions = torch.arange(4.0).expand(2, 4)

    def gradients() -> list[torch.Tensor]:
        layer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            out = layer(x, 4, positions)
        out.float().square().mean().backward()
        return [p.grad.clone() for p in layer.parameters() if p.grad is not None]

    plain = gradients()
    layer.compile()
    for before, after in zip(plain, gradients(), strict=True):
        assert (after - before).norm() < 0.05 * before.norm()


@torch.no_grad()
def test_a_twin_predicts_at_the_last_levels(tmp_path: Path) -> None:
    net, given = build(), inputs()
    given["sigma"] = torch.tensor([0.3, 0.8])
    alone = net(**given)
    twin = net.split(0.5)
    torch.testing.assert_close(net(**given), alone)  # as yet a copy
    twin.head.weight.mul_(-1.0)
    both = net(**given)
    torch.testing.assert_close(both[1], alone[1])
    assert not torch.allclose(both[0], alone[0], atol=1e-3)
    for row in range(2):  # each as if it were alone
        one = net(**{key: value[row : row + 1] for key, value in given.items()})
        torch.testing.assert_close(one, both[row : row + 1], atol=1e-5, rtol=1e-4)
    net.save_pretrained(tmp_path)
    again = SpaceTimeDenoiser.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(again(**given), both)
    # Anew, not a twin of a twin.
    net.split(0.2)
    assert net.final is not None
    assert net.final.final is None
    torch.testing.assert_close(net(**given), alone)
