"""How a stage is trained: the part of the spec that the trainer reads."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Recipe(BaseModel):
    """Settings of one stage's training.

    ``frames`` is how many frames of a clip the network sees at once: 1 trains space alone on
    single frames, a few train time cheaply on random subsets, null takes the whole clip. Bridges
    and refiners take that many *known* or *input* frames in a row. ``crop`` is the side of the
    square that they are trained on; their work is local.
    ``huber`` is in units of the picture's range [-1, 1]. A residual stage has nothing to add in
    flat areas; squared errors of half a grey level hardly count there, but are seen as texture.
    ``repeats`` is how many examples of a batch show the same clip, each at a noise level of its own
    (Hoffer et al. 2020, "Augment your batch"): a GPU learns faster than clips are drawn for it.
    ``degradation`` is the probability that their input is blurred, compressed or tinted.
    ``pure_noise`` is the share of a base's examples at σ = 1, where the best prediction is the mean
    of all clips of the caption. Their target is the mean of many that the world draws of it: the
    gradient's expectation is that of one clip, and its variance far less (Xu et al. 2023, "Stable
    target field"), which is what words for small motions are learnt by.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int = Field(10_000, ge=1)
    batch: int = Field(32, ge=1)
    repeats: int = Field(1, ge=1)
    frames: int | None = Field(None, ge=1)
    crop: int | None = Field(None, ge=8)
    muon_lr: float = Field(0.01, ge=0.0, description="matrices inside the blocks; 0 means AdamW")
    adam_lr: float = Field(1e-3, gt=0.0)
    weight_decay: float = Field(0.01, ge=0.0)
    warmup: int = Field(100, ge=0)
    ema: float = Field(0.999, ge=0.0, lt=1.0)
    clip_norm: float = Field(1.0, gt=0.0)
    shift: float = Field(1.0, gt=0.0, description="training σ, moved to the noisy side")
    sigma_std: float = Field(1.0, gt=0.0, description="spread of the logit-normal σ")
    pure_noise: float = Field(
        0.0, ge=0.0, le=1.0, description="share of examples at σ = 1, of the mean of many clips"
    )
    text_dropout: float = Field(0.1, ge=0.0, le=1.0)
    huber: float = Field(0.0, ge=0.0, description="c of a pseudo-Huber loss; 0: squared error")
    lpips: float = Field(0.0, ge=0.0, description="weight of how it looks (LPIPS) beside the error")
    first_step: float = Field(
        0.5, ge=0.0, le=1.0, description="share of a refiner's examples that are its first step"
    )
    subject_weight: float = Field(0.0, ge=0.0, description="extra loss weight on the subject")
    augmentation: tuple[float, float] = (0.0, 0.0)
    degradation: float = Field(0.0, ge=0.0, le=1.0, description="share of damaged inputs")
    captions: int = Field(8192, ge=1, description="how many captions are drawn again and again")
    emphasis: dict[str, float] = Field(
        default_factory=dict,
        description="subjects, motions, … drawn that many times as often; others: 1",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Recipe:
        if self.batch % self.repeats:
            raise ValueError(
                f"batch must be a multiple of repeats, not {self.batch} with {self.repeats}"
            )
        low, high = self.augmentation
        if not 0.0 <= low <= high < 1.0:
            raise ValueError(f"augmentation must be two rising σ in [0, 1), not {[low, high]}")
        if any(not 0.01 <= share <= 100.0 for share in self.emphasis.values()):
            raise ValueError(f"emphasis must be from 0.01 to 100, not {self.emphasis}")
        return self

    def check_crop(self, kind: str, size: int, unit: int, coordinates: bool) -> None:
        """Refuse a crop that a stage's network cannot take, or would learn the wrong thing of.

        Args:
            kind: of the stage.
            size: of its frames, in pixels.
            unit: sides must be multiples of it.
            coordinates: the network is told each pixel's place.

        Raises:
            ValueError: what is wrong with it.
        """
        if self.crop is None:
            return
        if coordinates:
            raise ValueError(
                "network.coordinates would be learnt of crops and used on whole pictures: train on "
                "whole ones (training.crop: null), or leave coordinates out"
            )
        if kind != "base" and self.crop < size and self.crop % unit:
            raise ValueError(f"training.crop must be a multiple of {unit}, not {self.crop}")

    def doubts(self, kind: str, noise: float) -> list[str]:
        """What of it a stage will not heed, or should have: sentences about ``training``.

        Args:
            kind: of the stage: ``base``, ``bridge`` or ``refiner``.
            noise: VP σ in its input when it samples.
        """
        if kind == "base":
            idle = "training.crop has no effect on a base, which composes whole pictures: remove it"
            return [] if self.crop is None else [idle]
        said = []
        if self.pure_noise > 0.0:
            said.append(
                f"training.pure_noise has no effect on a {kind}, which never has to make a clip of "
                "noise alone: remove it"
            )
        low, high = self.augmentation
        if low <= noise <= high:
            return said
        return [
            *said,
            f"training.augmentation {[low, high]} does not hold noise_augmentation {noise:g}, a "
            "noise that the network then never saw: widen it, or change that",
        ]


class StudentSpec(BaseModel):
    """A student that makes what its stage makes, in few steps and without guidance.

    It is stored as low-rank changes of the stage's network. ``parts`` are the steps that its
    teacher takes for each of its own.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int = Field(4, ge=1, le=16)
    shift: float = Field(1.0, gt=0.0, le=20.0, description="flow time shift of its levels")
    rank: int = Field(16, ge=1, le=512)
    parts: int = Field(5, ge=1, le=100)
    training: Recipe = Recipe()

    def doubts(self) -> list[str]:
        """What of it has no effect: sentences about ``student``."""
        said = [f"student.{doubt}" for doubt in self.training.doubts("base", 0.0)]
        if self.training.muon_lr != Recipe.model_fields["muon_lr"].default:
            said.append(
                "student.training.muon_lr has no effect, since a student's changes all learn at "
                "adam_lr: remove it"
            )
        if self.training.pure_noise > 0.0:
            said.append(
                "student.training.pure_noise has no effect, since a student is taught on its own "
                "levels: remove it"
            )
        return said
