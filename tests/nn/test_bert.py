"""BERT's layer against PyTorch's own, and the names of a checkpoint."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from torch import Tensor, nn

from vidcascade.nn import text
from vidcascade.nn.bert import BertLayer, rename_bert
from vidcascade.nn.text import MiniLMTextEncoder

WIDTH, HEADS, HIDDEN = 24, 3, 40


def make_layer(heads: int = HEADS, eps: float = 1e-12) -> BertLayer:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layer = BertLayer(WIDTH, heads, HIDDEN, eps).eval()
        for parameter in layer.parameters():  # norms start as 1 and 0, which hides much
            nn.init.normal_(parameter, std=0.3)
    return layer


LAYER = make_layer()


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def run(layer: BertLayer, x: Tensor, mask: Tensor) -> Tensor:
    with torch.no_grad():
        return layer(x, mask[:, None, None, :])


@pytest.mark.parametrize("heads", [1, 3, 8])
@pytest.mark.parametrize("eps", [1e-12, 1e-2])
def test_it_is_the_post_norm_layer_of_pytorch(heads: int, eps: float) -> None:
    ours = make_layer(heads, eps)
    theirs = nn.TransformerEncoderLayer(
        WIDTH, heads, HIDDEN, dropout=0.0, activation="gelu", layer_norm_eps=eps, batch_first=True
    ).eval()
    attention = theirs.self_attn
    with torch.no_grad():
        for name in ("weight", "bias"):
            parts = [getattr(part, name) for part in (ours.query, ours.key, ours.value)]
            getattr(attention, f"in_proj_{name}").copy_(torch.cat(parts))
            for mine, other in (
                (ours.out, attention.out_proj), (ours.expand, theirs.linear1),
                (ours.contract, theirs.linear2), (ours.norm_attention, theirs.norm1),
                (ours.norm_mlp, theirs.norm2),
            ):  # fmt: skip
                getattr(other, name).copy_(getattr(mine, name))
    x = random(2, 7, WIDTH)
    mask = torch.ones(2, 7, dtype=torch.bool)
    mask[1, 4:] = False
    with torch.no_grad():
        wanted = theirs(x, src_key_padding_mask=~mask)
    found = run(ours, x, mask)
    torch.testing.assert_close(found[mask], wanted[mask], atol=1e-5, rtol=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6), st.integers(1, 4), st.integers(0, 2**16))
def test_what_is_not_allowed_has_no_effect(kept: int, hidden: int, seed: int) -> None:
    x = random(1, kept + hidden, WIDTH, seed=seed)
    mask = torch.arange(kept + hidden)[None] < kept
    other = torch.where(mask[..., None], x, random(1, kept + hidden, WIDTH, seed=seed + 1) * 9)
    found, again = run(LAYER, x, mask)[0, :kept], run(LAYER, other, mask)[0, :kept]
    alone = run(LAYER, x[:, :kept], mask[:, :kept])[0]
    torch.testing.assert_close(found, again, atol=1e-6, rtol=0)
    torch.testing.assert_close(found, alone, atol=1e-5, rtol=0)


def test_what_is_allowed_has_an_effect() -> None:
    x = random(1, 5, WIDTH)
    changed = x.clone()
    changed[0, 4] += 1
    mask = torch.ones(1, 5, dtype=torch.bool)
    assert (run(LAYER, x, mask) - run(LAYER, changed, mask))[0, 0].abs().max() > 1e-3


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(5)))
def test_places_are_told_by_embeddings_and_not_by_order(order: list[int]) -> None:
    x, mask = random(1, 5, WIDTH), torch.ones(1, 5, dtype=torch.bool)
    found, moved = run(LAYER, x, mask)[:, order], run(LAYER, x[:, order], mask)
    torch.testing.assert_close(moved, found, atol=1e-5, rtol=0)


def checkpoint() -> dict[str, Tensor]:
    """A checkpoint's names, each with a number of its own."""
    stems = [f"embeddings.{n}" for n in ("word", "position", "token_type")]
    names = [f"{stem}_embeddings.weight" for stem in stems]
    norms = ["embeddings.LayerNorm"]
    for layer in range(6):
        prefix = f"encoder.layer.{layer}."
        norms += [
            prefix + part
            for part in (
                "attention.self.query", "attention.self.key", "attention.self.value",
                "attention.output.dense", "attention.output.LayerNorm", "intermediate.dense",
                "output.dense", "output.LayerNorm",
            )
        ]  # fmt: skip
    names += [f"{stem}.{leaf}" for stem in norms for leaf in ("weight", "bias")]
    return {name: torch.tensor(float(number)) for number, name in enumerate(names)}


def test_every_weight_finds_its_place() -> None:
    given_ = checkpoint()
    found = rename_bert(given_)
    assert len(found) == len(given_) == 3 + 2 + 6 * 16
    assert sorted(float(t) for t in found.values()) == list(range(len(given_)))
    for theirs, ours in {
        "embeddings.word_embeddings.weight": "words.weight",
        "embeddings.position_embeddings.weight": "positions.weight",
        "embeddings.token_type_embeddings.weight": "kinds.weight",
        "embeddings.LayerNorm.bias": "norm.bias",
        "encoder.layer.0.attention.self.query.weight": "layers.0.query.weight",
        "encoder.layer.5.attention.self.key.bias": "layers.5.key.bias",
        "encoder.layer.1.attention.self.value.weight": "layers.1.value.weight",
        "encoder.layer.2.attention.output.dense.bias": "layers.2.out.bias",
        "encoder.layer.3.attention.output.LayerNorm.weight": "layers.3.norm_attention.weight",
        "encoder.layer.4.intermediate.dense.weight": "layers.4.expand.weight",
        "encoder.layer.5.output.dense.weight": "layers.5.contract.weight",
        "encoder.layer.5.output.LayerNorm.bias": "layers.5.norm_mlp.bias",
    }.items():
        assert found[ours] is given_[theirs]


def test_what_is_not_used_is_left_out() -> None:
    for name in (
        "pooler.dense.weight",
        "embeddings.position_ids",
        "encoder.layer.6.output.dense.weight",
        "cls.predictions.bias",
    ):
        assert rename_bert({name: torch.zeros(1)}) == {}
    assert rename_bert({}) == {}


def test_the_encoder_takes_its_checkpoint_without_rest() -> None:
    with safe_open(text._minilm_folder() / "model.safetensors", "pt") as stored:
        given_ = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    found = rename_bert(given_)
    state = MiniLMTextEncoder().state_dict()
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], state[name]) for name in state)
    # The new names belong to the tensors that they name.
    lost = {name for name in given_ if not any(found[k] is given_[name] for k in found)}
    assert all(name.startswith(("pooler.", "embeddings.position_ids")) for name in lost)
