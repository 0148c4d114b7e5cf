"""A recipe: one TOML file that says everything about a training run but where the machine keeps its files."""

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    TypeAdapter,
    ValidationError,
)

from masquerade.errors import OptionError

Share = Annotated[float, Field(ge=0, le=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Schedule(_Strict):
    """How long and how fast.

    Attributes:
        epochs: passes over the data; may be a fraction.
        batch: faces a step.
        warmup: steps in which the learning rate rises.
        fall: share of all steps, the last ones, in which it falls to zero.
        average: decay of the running average of the weights, a step.
        log_every, validate_every: steps.
        save_minutes: minutes between checkpoints.
    """

    epochs: PositiveFloat
    batch: PositiveInt
    warmup: NonNegativeInt = 200
    fall: PositiveFloat = 0.4
    average: NonNegativeFloat = 0.998
    log_every: PositiveInt = 10
    validate_every: PositiveInt = 500
    save_minutes: NonNegativeFloat = 2.0


class EncoderData(_Strict):
    """Archives, by their names in the data folder.

    Attributes:
        labelled: with one folder a person.
        unlabelled: seen by distillation only.
        validation: with one folder a person; other people.
    """

    labelled: str
    unlabelled: list[str] = []
    validation: str


class EncoderLoss(_Strict):
    """The sum that is minimised.

    Attributes:
        teacher: whose embeddings to learn.
        both_ways: whether the teacher also looks at the mirror image, which is steadier and takes it twice as long.
        centred: share of the teacher's mean that is taken out first; for one whose faces all lie to one side.
        distillation: weight of the cosine to the teacher's embedding.
        similarity: weight of the difference of similarity matrices.
        margin: which margin softmax.
        margin_size: in cosine (cosface) or radians (arcface).
        margin_weight: its weight.
    """

    teacher: Literal["fr_feature", "dlib"]
    both_ways: bool = True
    centred: NonNegativeFloat = 0.0
    distillation: NonNegativeFloat
    similarity: NonNegativeFloat = 0.0
    margin: Literal["cosface", "arcface"]
    margin_size: NonNegativeFloat
    margin_weight: NonNegativeFloat


class EncoderRecipe(_Strict):
    """A run that trains an identity encoder.

    Attributes:
        network: which of `nets.encoder`.
        learning_rate, weight_decay: of AdamW.
        filter_rate: learning rate of Muon for the filters of convolutions; 0 leaves them to AdamW.
        hardness: scales how often a face is degraded; 0 for never.
        precision: of the forward pass; auto is bfloat16 where the hardware has it.
    """

    name: str
    network: Literal["driver", "guard"]
    seed: NonNegativeInt
    learning_rate: PositiveFloat
    weight_decay: NonNegativeFloat
    filter_rate: NonNegativeFloat = 0.0
    hardness: NonNegativeFloat = 1.0
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    data: EncoderData
    loss: EncoderLoss
    schedule: Schedule


class SwapperData(_Strict):
    """Archives, by their names in the data folder.

    Attributes:
        faces: targets, and with their teacher's embeddings the sources.
        validation: faces of other people, for sample grids and for the judge.
        fabricated: share of sources that are no real embedding: half of them lie between two people, half are drawn as
            a bank's members are.
        same: share of a batch in which the target is its own source and must come out as it went in.
    """

    faces: list[str]
    validation: str
    fabricated: Share = 0.4
    same: Share = 0.2


class SwapperLoss(_Strict):
    """The sum that is minimised; every number but `limit` is a weight.

    Attributes:
        recognisers: who says whom a face looks like; each counts the same.
        adversarial: hinge, against the discriminator.
        identity: attraction to the source.
        repulsion: from the target's own identity, as long as the cosine is above `limit`.
        margins: of IFSR, for each recogniser's maps in their order, scaled by 1.2 as published.
        reconstruction: of the faces that are their own source.
        matching: weak feature matching in the discriminator.
        light: low-resolution colour.
        surroundings: the picture beside the face.
        r1: gradient penalty of the discriminator, every `r1_every` steps.
    """

    recognisers: list[Literal["driver", "fr_feature"]]
    adversarial: NonNegativeFloat = 1.0
    identity: NonNegativeFloat
    repulsion: NonNegativeFloat
    limit: float
    ifsr: NonNegativeFloat
    margins: list[list[NonNegativeFloat]]
    reconstruction: NonNegativeFloat = 10.0
    matching: NonNegativeFloat = 2.0
    light: NonNegativeFloat = 4.0
    surroundings: NonNegativeFloat = 4.0
    r1: NonNegativeFloat = 10.0
    r1_every: PositiveInt = 16


class SwapperRecipe(_Strict):
    """A run that trains a generator of faces and its discriminator.

    Attributes:
        network: which of `nets.generators`.
        learning_rate: of Adam, for both networks.
        precision: of the forward pass; auto is bfloat16 where the hardware has it.
    """

    name: str
    network: Literal["compact"]
    seed: NonNegativeInt
    learning_rate: PositiveFloat
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    data: SwapperData
    loss: SwapperLoss
    schedule: Schedule


Recipe = EncoderRecipe | SwapperRecipe
_RECIPE: TypeAdapter[Recipe] = TypeAdapter(Annotated[Recipe, Field(discriminator="network")])


def read_recipe(recipe: str | Path) -> Recipe:
    """The recipe of that file, or the packaged one of that name.

    Raises:
        OptionError: there is none, or it says something that makes no sense.
    """
    packaged = files("masquerade.train") / "recipes" / f"{recipe}.toml"
    path = Path(str(packaged)) if packaged.is_file() else Path(recipe)
    try:
        return _RECIPE.validate_python(tomllib.loads(path.read_text("utf-8")))
    except FileNotFoundError as error:
        raise OptionError("no such recipe", path=path, hint=f"Packaged ones: {', '.join(recipes())}") from error
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise OptionError(f"not a recipe: {error}", path=path) from error


def recipes() -> list[str]:
    """Names of the packaged recipes."""
    return sorted(path.name.removesuffix(".toml") for path in (files("masquerade.train") / "recipes").iterdir())
