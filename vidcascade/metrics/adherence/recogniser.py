"""A small network that names a clip's subject and background and outlines the subject."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from vidcascade.errors import UsageError, VidCascadeError
from vidcascade.video.atomic import atomic_path

__all__ = ["SIDE", "Recogniser", "Sight", "subject_label"]

# Every frame is looked at in this size; outlines come in half of it.
SIDE = 64
_FORMAT = "vidcascade-recogniser-1"


def subject_label(name: str, colour: str | None) -> str:
    """A sticker's name, or a solid's colour and shape: ``"rocket"``, ``"red cube"``."""
    return name if colour is None else f"{colour} {name}"


@dataclass(frozen=True)
class Sight:
    """What was seen in a clip.

    Attributes:
        subject, background: the likeliest names.
        subjects, backgrounds: probability of each name, in the recogniser's order.
        masks: (T, 32, 32) share of each pixel that the subject covers.
    """

    subject: str
    background: str
    subjects: NDArray[np.float32]
    backgrounds: NDArray[np.float32]
    masks: NDArray[np.float32]


class Recogniser(nn.Module):
    """Convolutions with an outline head; the names are read off inside and outside the outline.

    Args:
        subjects: labels, see :func:`subject_label`.
        backgrounds: names.
        width: channels at half resolution.
    """

    def __init__(
        self, subjects: Sequence[str], backgrounds: Sequence[str], width: int = 24
    ) -> None:
        super().__init__()
        self.subjects, self.backgrounds, self.width = tuple(subjects), tuple(backgrounds), width
        a, b, c = width, 2 * width, 4 * width
        self.at_half = nn.Sequential(_block(3, a, 2), _block(a, a))
        self.at_quarter = nn.Sequential(_block(a, b, 2), _block(b, b))
        self.at_eighth = nn.Sequential(_block(b, c, 2), _block(c, c))
        self.back_quarter = _block(b + c, b)
        self.back_half = _block(a + b, a, kernel=1)
        self.outline = nn.Conv2d(a, 1, 3, padding=1)
        self.subject = nn.Sequential(
            nn.Linear(2 * b, 2 * b), nn.ReLU(), nn.Linear(2 * b, len(subjects))
        )
        self.background = nn.Sequential(
            nn.Linear(4 * b, b), nn.ReLU(), nn.Linear(b, len(backgrounds))
        )

    def forward(self, frames: Tensor, where: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of N frames.

        Args:
            frames: (N, 3, 64, 64) RGB in [-1, 1].
            where: share of each part of the picture in which the subject is looked for, (h, w) in
                [0, 1], of any size that divides 16; None is everywhere.

        Returns:
            subject (N, S), background (N, B) and outline (N, 32, 32) logits.
        """
        half = self.at_half(frames)
        quarter = self.at_quarter(half)
        eighth = self.at_eighth(quarter)
        middle = self.back_quarter(torch.cat((quarter, _double(eighth)), dim=1))
        fine = self.back_half(torch.cat((half, _double(middle)), dim=1))
        outline = self.outline(fine)
        # The names must not bend the outline to their own ends.
        cover = F.avg_pool2d(torch.sigmoid(outline.detach()), 2)
        features = torch.cat((quarter, middle), dim=1)
        part = 1.0 if where is None else F.interpolate(where[None, None], cover.shape[2:])
        inside, outside = _pool(features, cover * part), _pool(features, 1 - cover)
        # Patterns of one mean (dots, squares) differ in how features vary over the picture.
        varied = _pool((features - outside[:, :, None, None]).abs(), 1 - cover)
        outside = torch.cat((outside, varied), dim=1)
        return self.subject(inside), self.background(outside), outline[:, 0]

    @torch.no_grad()
    def look(self, frames: NDArray[np.uint8], where: NDArray[np.float32] | None = None) -> Sight:
        """Look at a clip (T, H, W, 3) RGB uint8 of any size; logits are averaged over frames.

        ``where`` (h, w) is where its subject is looked for, as for :meth:`forward`.
        """
        self.eval()
        part = None if where is None else torch.from_numpy(np.asarray(where, np.float32))
        subjects, backgrounds, outline = self(frames_to_tensor(frames), part)
        named = torch.softmax(subjects.mean(0), 0).numpy()
        placed = torch.softmax(backgrounds.mean(0), 0).numpy()
        return Sight(
            self.subjects[int(named.argmax())],
            self.backgrounds[int(placed.argmax())],
            named,
            placed,
            torch.sigmoid(outline).numpy(),
        )

    def save(self, path: str | Path, about: dict[str, Any] | None = None) -> None:
        """Write a safetensors file with the names in its metadata, whole or not at all.

        ``about`` is anything JSON that :meth:`load` shall find equal.
        """
        from safetensors.torch import save_file

        names = {
            "subjects": self.subjects,
            "backgrounds": self.backgrounds,
            "width": self.width,
            "about": about or {},
        }
        with atomic_path(path, overwrite=True) as temporary:
            tensors = {k: v.contiguous() for k, v in self.state_dict().items()}
            save_file(tensors, temporary, {"format": _FORMAT, "names": json.dumps(names)})

    @classmethod
    def load(cls, path: str | Path) -> tuple[Recogniser, dict[str, Any]]:
        """Read what :meth:`save` wrote: the network and ``about``.

        Raises:
            UsageError: No such file, or another kind of file.
            VidCascadeError: A damaged file.
        """
        from safetensors import SafetensorError, safe_open

        if not Path(path).is_file():
            raise UsageError(f"There is no recogniser at {path}: teach one first.")
        try:
            with safe_open(path, "pt") as opened:
                metadata = opened.metadata() or {}
                if metadata.get("format") != _FORMAT:
                    raise UsageError(f"{path} holds no recogniser: delete it and teach one again.")
                names = json.loads(metadata["names"])
                tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
            network = cls(names["subjects"], names["backgrounds"], names["width"])
            network.load_state_dict(tensors)
        except (SafetensorError, RuntimeError, ValueError, KeyError) as error:
            raise VidCascadeError(f"{path} is damaged: delete it and teach one again.") from error
        return network.eval(), names["about"]


def frames_to_pixels(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(T, H, W, 3) uint8 → (T, 64, 64, 3), averaged down (or interpolated up)."""
    if frames.shape[1:3] == (SIDE, SIDE):
        return frames
    how = cv2.INTER_AREA if min(frames.shape[1:3]) > SIDE else cv2.INTER_LINEAR
    return np.stack([cv2.resize(f, (SIDE, SIDE), interpolation=how) for f in frames])


def frames_to_tensor(frames: NDArray[np.uint8]) -> Tensor:
    """(T, H, W, 3) uint8 → (T, 3, 64, 64) in [-1, 1]."""
    pixels = np.ascontiguousarray(frames_to_pixels(frames))
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1


def _block(before: int, after: int, stride: int = 1, kernel: int = 3) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    )


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")


def _pool(features: Tensor, weight: Tensor) -> Tensor:
    """Average of (N, C, h, w) under a weight (N, 1, h, w) → (N, C)."""
    total = weight.sum(dim=(2, 3)).clamp_min(1e-3)
    return (features * weight).sum(dim=(2, 3)) / total
