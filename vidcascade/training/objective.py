"""The training objective of any stage: flow matching on x, with the text sometimes dropped."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from vidcascade.cascade.stage import Stage
from vidcascade.diffusion.flow_matching import (
    add_noise,
    per_sample,
    training_sigmas,
    velocity_loss,
)
from vidcascade.nn.denoiser import SpaceTimeDenoiser
from vidcascade.nn.lpips import LPIPS
from vidcascade.nn.text import TextEncoder
from vidcascade.training.dataset import Example
from vidcascade.training.draws import Draws
from vidcascade.training.seeing import neighbour_steps, seen

_MAX_CAPTIONS = 65_536  # about 1 GB of MiniLM's states
# Compiled networks would be compiled anew for captions of another length.
COMPILED_LENGTH = 32


class TextCache:
    """Token states of captions, each encoded once; ``""`` stands for a dropped caption.

    Args:
        encoder: of the captions.
        multiple: states are padded to a multiple of so many tokens.
    """

    def __init__(self, encoder: TextEncoder, multiple: int = 1) -> None:
        self.encoder, self.multiple = encoder, multiple
        self._states: dict[str, Tensor] = {}

    def __call__(self, captions: list[str]) -> tuple[Tensor, Tensor]:
        """Captions → states (B, L, D) float32 and mask (B, L), L that of the longest, padded."""
        rows = self._rows(captions)
        lengths = torch.tensor([len(row) for row in rows])
        longest = -(-int(lengths.max()) // self.multiple) * self.multiple
        out = pad_sequence(rows, batch_first=True).float()
        out = F.pad(out, (0, 0, 0, longest - out.shape[1]))
        mask = torch.arange(longest) < lengths[:, None]
        return out, mask

    def _rows(self, captions: list[str]) -> list[Tensor]:
        new = list(dict.fromkeys(c for c in captions if c not in self._states))
        for part in self._together(new) if new else []:
            states, mask = self.encoder.encode(part)
            for caption, row, there in zip(part, states.half().cpu(), mask.cpu(), strict=True):
                self._states[caption] = row[there]
        rows = [self._states[caption] for caption in captions]
        while len(self._states) > _MAX_CAPTIONS:
            del self._states[next(iter(self._states))]
        return rows

    def _together(self, captions: list[str]) -> list[list[str]]:
        """What is encoded at once: on a GPU, which repeats nothing to the last bit, all of it.

        On a CPU each alone, although together would be faster: the last bits depend on the company,
        and a resumed run, whose cache is empty, would not repeat an uninterrupted one.
        """
        if self.encoder.device.type != "cpu":
            return [captions]
        return [[caption] for caption in captions]


def stage_loss(
    stage: Stage,
    network: SpaceTimeDenoiser,
    batch: Example,
    text: TextCache | None,
    draws: Draws,
    before: SpaceTimeDenoiser | None = None,
    lpips: LPIPS | None = None,
) -> tuple[Tensor, Tensor]:
    """Loss and σ of each sample, (B,) both; all randomness comes from ``draws``.

    Args:
        stage: whose network is trained.
        network: the network.
        batch: B examples.
        text: encodes captions, if the network reads any.
        draws: of the B examples.
        before: the network as it was. What it predicts of :attr:`Example.old` ones is then to be
            predicted still, in place of the truth (learning without forgetting, Li & Hoiem 2017).
        lpips: looks at what is predicted, beside the error; the recipe says what that counts.
    """
    recipe = stage.spec.training
    sigma = training_sigmas(draws.normal(), recipe.shift, std=recipe.sigma_std)
    noise = draws.normal(*batch.target.shape[1:])
    dropped = draws.uniform() < recipe.text_dropout
    start = stage.start(batch.given)
    at_start = torch.zeros(len(batch.captions), dtype=torch.bool)
    if start is not None:
        # Only the levels below the truncated start are ever visited.
        sigma = sigma * stage.spec.start_sigma
        at_start = draws.uniform() < recipe.first_step
        sigma = torch.where(at_start, stage.spec.start_sigma, sigma)
        noise = _share_noise(noise, stage.spec.smoothing.noise_correlation, draws)
    device = batch.target.device
    sigma, noise = sigma.to(device), noise.to(device)
    if batch.pure is not None:
        sigma = torch.where(batch.pure, 1.0, sigma)
    states = mask = None
    if text is not None:
        captions = ["" if d else c for d, c in zip(dropped, batch.captions, strict=True)]
        states, mask = (tensor.to(device) for tensor in text(captions))
    point = add_noise(batch.target, noise, sigma)
    if start is not None:
        # Sampling starts from the *upsampled input* noised to the start, in which the detail that
        # the target has is missing. A network that only ever saw noised targets would look for
        # that detail under the noise; here it learns to make it.
        swap = per_sample(at_start.to(device), point)
        point = torch.where(swap, add_noise(start, noise, sigma), point)

    def ask(asked: SpaceTimeDenoiser, rows: Tensor | slice) -> Tensor:
        return stage.predict(
            asked,
            point[rows],
            sigma[rows],
            None if batch.given is None else batch.given.part(rows),
            batch.augmentation[rows],
            None if states is None else states[rows],
            None if mask is None else mask[rows],
            batch.positions[rows],
        )

    target = batch.target
    if before is not None and batch.old is not None and batch.old.any():
        known = batch.old.nonzero().flatten()
        with torch.no_grad():
            target = target.index_copy(0, known, ask(before, known).to(target))
    x = ask(network, slice(None))
    return _lost(stage, x, target, sigma, batch, draws, lpips), sigma


def _lost(
    stage: Stage, x: Tensor, target: Tensor, sigma: Tensor, batch: Example, draws: Draws,
    lpips: LPIPS | None,
) -> Tensor:  # fmt: skip
    recipe = stage.spec.training
    loss = velocity_loss(x, target, sigma, batch.weight, recipe.huber)
    if lpips is not None and recipe.lpips > 0.0:
        looks = seen(lpips, x, target, batch.weight, draws) + neighbour_steps(x, target)
        loss = loss + recipe.lpips * looks
    return loss


@torch.no_grad()
def untrained_loss(
    stage: Stage, batch: Example, sigma: Tensor, draws: Draws, lpips: LPIPS | None = None
) -> Tensor:
    """What a network that has learnt nothing would lose on these examples at these σ, (B,).

    Heads start at zero: an untrained base predicts grey, the other stages their input.
    """
    count, frames, _, height, width = batch.target.shape
    nothing = batch.target.new_zeros(count, frames, stage.out_channels, height, width)
    x = stage.to_x(nothing, batch.given, batch.augmentation)
    return _lost(stage, x, batch.target, sigma, batch, draws, lpips)


def _share_noise(noise: Tensor, correlation: float, draws: Draws) -> Tensor:
    """Noise (B, T, …) whose frames have the correlation that sampling gives them."""
    if correlation == 0.0:
        return noise
    shared = draws.normal(1, *noise.shape[2:])
    return correlation**0.5 * shared + (1 - correlation) ** 0.5 * noise
