"""The spec: one YAML file that describes a cascade, checked before anything is built.

Unknown keys, impossible shapes and values out of range are refused with the key's path and what
would be right; a setting that cannot have an effect, or was not trained for, is warned of.
"""

from __future__ import annotations

import importlib.resources
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from vidcascade.cascade.recipe import Recipe, StudentSpec
from vidcascade.data.config import WorldConfig
from vidcascade.errors import UsageError

StageKind = Literal["base", "bridge", "refiner"]
DType = Literal["float32", "bfloat16", "float16"]
SchedulerName = Literal["flow_euler", "unipc", "dpmpp", "ddim"]

_KIND_ORDER = ("base", "bridge", "refiner")
# Folders of a cascade that hold no stage.
_TAKEN = ("reader", "text_encoder")


class SpecWarning(UserWarning):
    """A setting of the spec that has no effect, or not the one that is meant."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NetworkSpec(_Strict):
    """Size and kind of a stage's denoiser (see :class:`vidcascade.nn.denoiser.SpaceTimeDenoiser`).

    ``channels``, ``depths``, ``spatial_attention`` and ``temporal`` have one entry for each level,
    the finest first; each level halves the token grid of the one before.
    """

    patch: int = Field(4, ge=1, le=16, description="pixels per token side at the finest level")
    channels: tuple[int, ...] = (160, 320)
    depths: tuple[int, ...] = (3, 4)
    spatial_attention: tuple[bool, ...] = (False, True)
    temporal: tuple[Literal["none", "convolution", "attention", "joint"], ...] = (
        "none",
        "attention",
    )
    head_dim: int = Field(64, ge=8, le=256)
    text: bool = True
    frame_times: bool = Field(False, description="tell each frame its place in the clip")
    text_order: bool = Field(False, description="tell each token its place in the prompt")
    coordinates: bool = Field(False, description="tell each pixel its place; not for crops")

    @model_validator(mode="after")
    def _levels_agree(self) -> NetworkSpec:
        levels = len(self.channels)
        for name in ("depths", "spatial_attention", "temporal"):
            if len(getattr(self, name)) != levels:
                raise ValueError(
                    f"{name} has {len(getattr(self, name))} entries and channels has {levels}: "
                    "give one for each level"
                )
        for width, attends in zip(self.channels, self.attends, strict=True):
            if width < 8 or width % 8:
                raise ValueError(f"channels must be multiples of 8, and {width} is not")
            if attends and width % self.head_dim:
                raise ValueError(
                    f"a level of {width} channels cannot be split into heads of {self.head_dim}: "
                    "choose a head_dim that divides it"
                )
        for time, parts in (("attention", 2), ("joint", 8)):
            # Rotary positions turn pairs of features, of joint attention for each of three axes.
            if time in self.temporal and self.head_dim % parts:
                raise ValueError(
                    f"head_dim must be a multiple of {parts} where a level's temporal is {time}, "
                    f"and {self.head_dim} is not"
                )
        if min(self.depths, default=0) < 1:
            raise ValueError("depths must be at least 1 at each level")
        return self

    @property
    def attends(self) -> tuple[bool, ...]:
        """Which levels hold any attention (and so need whole heads)."""
        return tuple(
            space or time in ("attention", "joint")
            for space, time in zip(self.spatial_attention, self.temporal, strict=True)
        )

    @property
    def granularity(self) -> int:
        """Frame sides must be multiples of this many pixels."""
        return int(self.patch * 2 ** (len(self.channels) - 1))


class GuidanceSpec(_Strict):
    """Classifier-free guidance (Ho & Salimans 2022) on an interval of noise levels.

    ``interval`` is in flow σ (1 = pure noise), after Kynkäänniemi et al. 2024;
    ``dynamic_threshold`` is Imagen's percentile (Saharia et al. 2022), or null for none.
    """

    scale: float = Field(1.0, ge=0.0, le=30.0)
    interval: tuple[float, float] = (0.0, 1.0)
    dynamic_threshold: float | None = Field(None, gt=0.5, le=1.0)

    @field_validator("interval")
    @classmethod
    def _ordered(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0.0 <= value[0] < value[1] <= 1.0:
            raise ValueError(f"interval must be two rising numbers in [0, 1], not {list(value)}")
        return value


class SmoothingSpec(_Strict):
    """The refiner's temporal smoothing.

    ``strength`` in [0, 1] mixes the predicted x with its motion-compensated average over the two
    neighbours; ``noise_correlation`` ρ in [0, 1) is the share of noise variance common to frames.
    """

    strength: float = Field(0.0, ge=0.0, le=1.0)
    noise_correlation: float = Field(0.0, ge=0.0, lt=1.0)


class StageSpec(_Strict):
    """One diffusion process at one resolution; ``distilled`` says that its student runs it."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    kind: StageKind
    frames: int = Field(ge=1, le=4096)
    size: int = Field(ge=8, le=4096, description="frame side in pixels")
    input_size: int | None = Field(None, description="what a bridge or refiner is fed (checked)")
    network: NetworkSpec = NetworkSpec()
    scheduler: SchedulerName = "flow_euler"
    shift: float = Field(1.0, gt=0.0, le=20.0, description="flow time shift (Esser et al. 2024)")
    steps: int = Field(20, ge=1, le=1000)
    guidance: GuidanceSpec = GuidanceSpec()
    noise_augmentation: float = Field(0.0, ge=0.0, lt=1.0, description="σ of a VP mix")
    start_sigma: float = Field(1.0, gt=0.0, le=1.0, description="flow σ the refiner starts from")
    fill: Literal["extend", "between"] = "extend"
    rounds: int = Field(1, ge=1, le=6, description="how often a bridge is applied")
    smoothing: SmoothingSpec = SmoothingSpec()
    training: Recipe = Recipe()
    student: StudentSpec | None = None
    distilled: bool = False

    @field_validator("name")
    @classmethod
    def _free(cls, value: str) -> str:
        if value in _TAKEN:
            raise ValueError(f"{value} is taken by another part of a cascade: choose another name")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> StageSpec:
        if self.student is not None and (self.kind != "base" or not self.network.text):
            raise ValueError(
                "only a base that reads text can have a student: bridges and refiners need few "
                "steps as they are"
            )
        if self.distilled and self.student is None:
            raise ValueError("distilled needs a student: describe it, or set distilled to false")
        if self.size % self.network.granularity:
            raise ValueError(
                f"size {self.size} is not a multiple of {self.network.granularity}, which the "
                f"network needs (patch {self.network.patch}, {len(self.network.channels)} levels)"
            )
        network = self.network
        self.training.check_crop(self.kind, self.size, network.granularity, network.coordinates)
        for doubt in self.doubts():
            warnings.warn(doubt, SpecWarning, stacklevel=2)
        return self

    def doubts(self) -> list[str]:
        """What of the stage has no effect, or not the one that is meant: a sentence for each."""
        no_effect = {
            "base": "input_size noise_augmentation start_sigma fill rounds smoothing",
            "bridge": "start_sigma smoothing",
            "refiner": "fill rounds",
        }[self.kind].split()
        said = [
            f"{key} has no effect on a {self.kind}: remove it"
            for key in no_effect
            if getattr(self, key) != type(self).model_fields[key].default
        ]
        if self.guidance.scale != 1.0 and not self.network.text:
            said.append("guidance has no effect on a network without text")
        said += self.training.doubts(self.kind, self.noise_augmentation)
        said += [] if self.student is None else self.student.doubts()
        return [f"stages.{self.name}.{sentence}" for sentence in said]


class TextSpec(_Strict):
    """The text encoder that all stages share: ``minilm``, or any ``transformers`` encoder."""

    encoder: str = "minilm"
    max_tokens: int = Field(48, ge=4, le=512)


class CascadeSpec(_Strict):
    """Stages wired one after another, and what they share."""

    name: str
    stages: Annotated[tuple[StageSpec, ...], Field(min_length=1)]
    topology: Literal["linear", "recursive"] = "linear"
    text: TextSpec = TextSpec()
    fps: float = Field(8.0, gt=0.0, le=1000.0, description="frames per second of the base video")
    dtype: DType = "float32"
    world: WorldConfig | None = Field(WorldConfig(), description="null: trained on own clips")

    @model_validator(mode="after")
    def _wired(self) -> CascadeSpec:
        names = [stage.name for stage in self.stages]
        if len(set(names)) != len(names):
            raise ValueError(f"stages must have different names, not {names}")
        if self.stages[0].kind != "base":
            raise ValueError(f"the first stage must be a base, not a {self.stages[0].kind}")
        for before, after in zip(self.stages, self.stages[1:], strict=False):
            _check_link(before, after)
        recursive = any(stage.rounds > 1 for stage in self.stages)
        if recursive != (self.topology == "recursive"):
            right = "recursive" if recursive else "linear"
            raise ValueError(f"topology must be {right} with these stages' rounds")
        return self

    def stage(self, name: str) -> StageSpec:
        """The stage of that name; a :class:`UsageError` names those there are."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        names = ", ".join(stage.name for stage in self.stages)
        raise UsageError(f"There is no stage {name!r} in this cascade: choose from {names}.")

    def with_recipe(self, stage_name: str, **changes: Any) -> CascadeSpec:
        """A copy in which some of a stage's training settings differ.

        ``frames=None`` trains on whole clips, and ``crop=None`` on whole frames.

        Raises:
            UsageError: no such stage or setting, or a value that cannot be there.
        """
        stage = self.stage(stage_name)
        recipe = _changed(stage.training, changes, f"stages.{stage_name}.training")
        return self._with(stage, training=recipe)

    def with_student_recipe(self, stage_name: str, **changes: Any) -> CascadeSpec:
        """:meth:`with_recipe` of a stage's student.

        Raises:
            UsageError: a stage without one as well.
        """
        stage = self.stage(stage_name)
        if stage.student is None:
            raise UsageError(
                f"The spec {self.name} has no student for {stage_name}: give a --spec that "
                "describes one (stages.….student)."
            )
        where = f"stages.{stage_name}.student.training"
        recipe = _changed(stage.student.training, changes, where)
        return self._with(stage, student=stage.student.model_copy(update={"training": recipe}))

    def _with(self, stage: StageSpec, **changes: Any) -> CascadeSpec:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SpecWarning)
                changed = StageSpec.model_validate(dict(stage) | changes)
        except ValidationError as error:
            raise UsageError(f"stages.{stage.name}: {_explain(error, changes)}") from None
        for doubt in changed.doubts():
            if doubt not in stage.doubts():  # the others were told when the spec was loaded
                warnings.warn(doubt, SpecWarning, stacklevel=3)
        stages = tuple(changed if s.name == stage.name else s for s in self.stages)
        return self.model_copy(update={"stages": stages})

    def fps_after(self, name: str) -> float:
        """Frames per second of a stage's output: each bridge round doubles the base's."""
        rate = self.fps
        for stage in self.stages:
            rate *= 2**stage.rounds if stage.kind == "bridge" else 1
            if stage.name == name:
                return rate
        raise UsageError(f"There is no stage {name!r} in this cascade.")

    @classmethod
    def from_dict(cls, data: Any, where: str = "spec") -> CascadeSpec:
        """Validate plain data; a :class:`UsageError` gives each wrong key's path."""
        if not isinstance(data, dict):
            raise UsageError(f"{where} must be a mapping with name and stages: see configs/.")
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise UsageError(f"{where}: {_explain(error, data)}") from None

    @classmethod
    def load(cls, path: str | Path) -> CascadeSpec:
        """Read a YAML file, or a bundled spec by its bare name (``stickers``, ``tiny``, ``large``).

        Raises:
            UsageError: no such file, not YAML, or a spec that cannot work.
        """
        file = Path(path)
        if not file.is_file() and file.name == str(path) and not file.suffix:
            file = bundled_configs() / f"{path}.yaml"
        try:
            text = file.read_text(encoding="utf-8")
        except FileNotFoundError:
            bundled = ", ".join(sorted(p.stem for p in bundled_configs().glob("*.yaml")))
            raise UsageError(
                f"There is no spec {path}: give a file, or one of {bundled}."
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{path} cannot be read as a spec ({error}).") from None
        try:
            data = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError) as error:  # the latter of a date that cannot be
            reason = " ".join(str(error).split())
            raise UsageError(f"{path} is not valid YAML: {reason}.") from None
        return cls.from_dict(data, where=str(path))

    def to_yaml(self) -> str:
        """The whole spec as YAML, defaults included."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _changed(recipe: Recipe, given: dict[str, Any], where: str) -> Recipe:
    try:
        return Recipe.model_validate(recipe.model_dump() | given)
    except ValidationError as error:
        raise UsageError(f"{where}: {_explain(error, given)}") from None


def bundled_configs() -> Path:
    """The folder of bundled specs: inside an installed wheel, or ``configs/`` of a checkout."""
    inside = Path(str(importlib.resources.files("vidcascade"))) / "_bundled" / "configs"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "configs"


def _check_link(before: StageSpec, after: StageSpec) -> None:
    if _KIND_ORDER.index(after.kind) < max(_KIND_ORDER.index(before.kind), 1):
        raise ValueError(f"stages.{after.name}: a {after.kind} cannot follow a {before.kind}")
    if after.input_size is not None and after.input_size != before.size:
        raise ValueError(
            f"stages.{after.name}.input_size is {after.input_size}, and {before.name} makes "
            f"{before.size}: make them equal"
        )
    if after.kind == "bridge":
        frames = before.frames
        for _ in range(after.rounds):
            frames = 2 * frames if after.fill == "extend" else 2 * frames - 1
        if after.frames != frames:
            raise ValueError(
                f"stages.{after.name}.frames must be {frames} ({after.rounds} round(s), "
                f"{after.fill}, from {before.frames}), not {after.frames}"
            )
    elif after.frames != before.frames:
        raise ValueError(
            f"stages.{after.name}.frames must be {before.frames}, as {before.name} makes, "
            f"not {after.frames}: a refiner adds no frames"
        )
    ratio = after.size / before.size
    allowed = (1, 2) if after.kind == "bridge" else (1, 2, 4)
    if ratio not in allowed:
        right = " or ".join(str(before.size * r) for r in allowed)
        raise ValueError(f"stages.{after.name}.size must be {right}, not {after.size}")


def _explain(error: ValidationError, data: Any) -> str:
    sentences = []
    for item in error.errors(include_url=False):
        path = _path(item["loc"], data)
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            message = "unknown key: remove it or check its spelling"
        sentences.append(f"{path}: {message}" if path else message)
    return "; ".join(sentences) + "."


def _path(loc: Sequence[int | str], data: Any) -> str:
    """``stages.bridge.steps`` rather than ``stages.1.steps``: people know stages by name."""
    words: list[str] = []
    for key in loc:
        item = None
        if isinstance(data, dict):
            item = data.get(key)
        elif isinstance(data, list) and isinstance(key, int) and key < len(data):
            item = data[key]
        named = (
            isinstance(item, dict) and isinstance(key, int) and isinstance(item.get("name"), str)
        )
        words.append(str(item["name"]) if named and isinstance(item, dict) else str(key))
        data = item
    return ".".join(words)
