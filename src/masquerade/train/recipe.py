"""A recipe: one TOML file that says everything about a training run but where the machine keeps its files."""

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

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
    model_validator,
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
        accumulate: steps whose gradients are summed before weights change; the batch that counts is so many times as
            large, the memory is not.
        warmup: steps in which the learning rate rises.
        fall: share of all steps, the last ones, in which it falls to zero.
        decay: factor of the learning rate every 100,000 steps, continuously.
        average: decay of the running average of the weights, a step.
        log_every, validate_every: steps.
        save_minutes: minutes between checkpoints.
    """

    epochs: PositiveFloat
    batch: PositiveInt
    accumulate: PositiveInt = 1
    warmup: NonNegativeInt = 200
    fall: NonNegativeFloat = 0.4
    decay: PositiveFloat = 1.0
    average: NonNegativeFloat = 0.998
    log_every: PositiveInt = 10
    validate_every: PositiveInt = 500
    save_minutes: NonNegativeFloat = 2.0


class EncoderData(_Strict):
    """Archives, by their names in the data folder.

    Attributes:
        labelled: with one folder a person.
        unlabelled: seen by distillation only.
        mixed: share of a batch that shows two faces in one, of which the teacher is asked at every step: with it, a
            teacher has more to say than there are faces.
        validation: with one folder a person; other people.
    """

    labelled: str
    unlabelled: list[str] = []
    mixed: Share = 0.0
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
        side: pixels that it looks at.
        learning_rate, weight_decay: of AdamW.
        filter_rate: learning rate of Muon for the filters of convolutions; 0 leaves them to AdamW.
        hardness: scales how often a face is degraded; 0 for never.
        precision: of the forward pass; auto is bfloat16 where the hardware has it.
    """

    name: str
    network: Literal["driver", "guard"]
    side: PositiveInt = 112
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
        poor: share of targets as a poor camera shows them.
        lit: share of targets in other light than they were taken in.
        covered: share of targets with something in front of the face, which has to stay.
        turned: how many more times an epoch holds a target whose yaw is above 25 degrees.
        narrow: how many more times it holds one whose eyes are nearly shut, or hidden by dark glasses.
        blinking: share of targets whose eyes are shut, or partly, by `augment.blinking`.
        truncated: whether the network is told identities as the product tells its swapper, with the target's apparent
            age and sex held; what it is told, at length 1, is then who is to be recognised.
        veiled: share of targets that the network is shown at 8 to 16 pixels a side, so that it can stand behind the
            defence that does the same.
        jitter: whether crops move as if other landmarks had aligned them; not where a network is told where those are.
        people: for a network whose identities are numbers: how many. They are the people with the most pictures, and
            the sources; 0 for all other networks.
    """

    faces: list[str]
    validation: str
    fabricated: Share = 0.4
    same: Share = 0.2
    poor: Share = 0.0
    lit: Share = 0.0
    covered: Share = 0.0
    turned: NonNegativeInt = 0
    narrow: NonNegativeInt = 0
    blinking: Share = 0.0
    truncated: bool = False
    veiled: Share = 0.0
    jitter: bool = True
    people: NonNegativeInt = 0


class Discriminator(_Strict):
    """Whom the generator has to deceive.

    Attributes:
        kind: compact and patches judge overlapping patches, facedancer the whole face.
        features: whether a compact one has judges beside it that see eyes and mouth alone.
        scales: at how many sizes patches are judged.
        width: channels of the first layer.
        learning_rate: its own; left out, the generator's.
        ahead: steps in which it learns alone, for a run that begins with exported weights, which bring no judge.
    """

    kind: Literal["compact", "patches", "facedancer"] = "compact"
    features: bool = False
    scales: PositiveInt = 1
    width: PositiveInt = 64
    learning_rate: PositiveFloat | None = None
    ahead: NonNegativeInt = 0


class SwapperLoss(_Strict):
    """The sum that is minimised. What has a formula in `SwapperTraining.step` is a weight; at 0 it is not computed.

    Attributes:
        recognisers: who says whom a face looks like; each counts the same.
        game: the form of the adversarial losses.
        adversarial: against the discriminator.
        identity: attraction to the source.
        counterfactual: FIVA's repulsion from the given identity, without end.
        repulsion: from the target's own identity, as long as the cosine is above `limit`.
        ifsr: Interpreted Feature Similarity Regularization.
        margins: its margins for each recogniser's maps in their order, scaled by 1.2 as published.
        matching: weak feature matching of the `matched` deepest layers of the discriminator.
        reconstruction: half the absolute difference, of the faces that are their own source.
        reconstruction_squared: half the squared difference, of the same.
        perceptual: of the same, in the first recogniser's maps.
        cycle: of who is changed and changed back.
        attributes: FaceShifter's, in its own attribute encoder.
        area: of the generator's mask.
        light: low-resolution colour.
        expression: how far mouth and eyes are open and shaped, by a face mesh that judges nothing later.
        features: eyes and mouth at half resolution, but for the mean colour around them.
        surroundings: the picture beside the face.
        r1: gradient penalty of the discriminator, every `r1_every` steps.
    """

    recognisers: list[Literal["driver", "fr_feature"]]
    game: Literal["hinge", "logistic", "squared"] = "hinge"
    adversarial: NonNegativeFloat = 1.0
    identity: NonNegativeFloat = 0.0
    counterfactual: NonNegativeFloat = 0.0
    repulsion: NonNegativeFloat = 0.0
    limit: float = 0.0
    ifsr: NonNegativeFloat = 0.0
    margins: list[list[NonNegativeFloat]] = []
    matching: NonNegativeFloat = 0.0
    matched: PositiveInt = 3
    reconstruction: NonNegativeFloat = 0.0
    reconstruction_squared: NonNegativeFloat = 0.0
    perceptual: NonNegativeFloat = 0.0
    cycle: NonNegativeFloat = 0.0
    attributes: NonNegativeFloat = 0.0
    area: NonNegativeFloat = 0.0
    light: NonNegativeFloat = 0.0
    expression: NonNegativeFloat = 0.0
    features: NonNegativeFloat = 0.0
    surroundings: NonNegativeFloat = 0.0
    r1: NonNegativeFloat = 0.0
    r1_every: PositiveInt = 16


class SwapperRecipe(_Strict):
    """A run that trains a generator of faces and its discriminator.

    Attributes:
        network: which of `nets.generators`.
        side: of the crops, in pixels; the archives should hold at least that many.
        width: channels of the generator at full size; left out, the network's own.
        learning_rate: of Adam.
        betas: of Adam.
        precision: of the forward pass; auto is bfloat16 where the hardware has it.
    """

    name: str
    network: Literal[
        "compact",
        "veiled-8",
        "veiled-16",
        "veiled-32",
        "facedancer-baseline-1",
        "facedancer-baseline-2",
        "facedancer-a",
        "facedancer-b",
        "facedancer-c",
        "facedancer-d",
        "facedancer-e",
        "simswap",
        "faceshifter",
        "fiva",
        "ciagan",
        "deepprivacy",
    ]
    side: PositiveInt = 128
    width: PositiveInt | None = None
    seed: NonNegativeInt
    learning_rate: PositiveFloat
    betas: Annotated[list[Share], Field(min_length=2, max_length=2)] = [0.0, 0.99]
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    data: SwapperData
    discriminator: Discriminator = Discriminator()
    loss: SwapperLoss
    schedule: Schedule

    @model_validator(mode="after")
    def _fits_together(self) -> "SwapperRecipe":
        loss, data = self.loss, self.data
        recognised = loss.identity + loss.counterfactual + loss.repulsion + loss.ifsr + loss.perceptual
        wrong = {
            "these losses need a recogniser": recognised and not loss.recognisers,
            "ifsr needs margins for each recogniser": loss.ifsr and len(loss.margins) != len(loss.recognisers),
            "only faceshifter has attributes to compare": loss.attributes and self.network != "faceshifter",
            "only fiva has a mask to close": loss.area and self.network != "fiva",
            "facedancer's discriminator has no maps to match": loss.matching
            and self.discriminator.kind == "facedancer",
            "only a compact discriminator has judges of features beside it": self.discriminator.features
            and self.discriminator.kind != "compact",
            "ciagan, and nothing else, needs numbered people": (self.network == "ciagan") != bool(data.people),
            "numbered people come from one archive": data.people and len(data.faces) != 1,
            "a target has no number to be its own source or to change back to": data.people and data.same + loss.cycle,
            "perceptual needs a face in each batch that is its own source": loss.perceptual
            and not round(data.same * self.schedule.batch),
            f"{self.network} has no width": self.network.startswith(("compact", "veiled")) and self.width is not None,
        }
        if found := [message for message, holds in wrong.items() if holds]:
            raise ValueError("; ".join(found))
        return self


Method = Literal["swapper", "blur", "pixelate", "solid", "hole", "none"]


class Defence(_Strict):
    """What is done so that nobody finds the way back.

    Attributes:
        kind: to the target, before it is anonymized: "low_resolution" (strength: pixels a side that are left),
            "quantised" (levels a channel). To the swapper's weights, drawn anew for every batch: "parameters" (ε, in
            standard deviations of each tensor). To the result: "noise" and "fgsm" (ε, in the unit of [−1, 1]), "jpeg"
            (quality, 1 to 100), "again" (more passes through the swapper, with the same identity).
        strength: see `kind`; ε as in the thesis's table 5.8.
    """

    kind: Literal["low_resolution", "quantised", "parameters", "noise", "fgsm", "jpeg", "again"]
    strength: PositiveFloat


class Victim(_Strict):
    """What is attacked.

    Attributes:
        method: "swapper", or one of the redactions of `swap.redact` at its strength 1 ("blur", "pixelate", "solid").
            Two are there to compare with: after "hole" the face is blank and what surrounds it is as it was, as after
            every swap; after "none" all is, and a bottleneck before it shows what passes the bottleneck, whatever
            network sits behind it.
        network: of a swapper, which of `nets.generators`.
        defences: in the order in which they are applied. Whoever trains on defended faces is an adaptive adversary.
        surrogate: the run whose adversary "fgsm" knows, by its name in the folder of runs.
        truncated: a swapper is told what the product tells the packaged one (`identity.truncation`), age and sex read
            by the guard, and not whole identities.
    """

    method: Method = "swapper"
    network: str = "compact"
    defences: list[Defence] = []
    surrogate: str = ""
    truncated: bool = False


class AttackLoss(_Strict):
    """The sum that the adversary minimises: weights, those at 0 are not computed. x is the original, R its guess.

    Attributes:
        recognisers: who compares R with x; each counts the same.
        reconstruction: mean |R − x|.
        perceptual: mean absolute difference in the recognisers' maps.
        identity: 1 − cos of the recognisers' vectors.
        ifsr: without margins.
        adversarial: against a discriminator of originals and guesses.
        game: its form.
        r1: gradient penalty of the discriminator, every `r1_every` steps.
    """

    recognisers: Annotated[list[Literal["driver", "fr_feature"]], Field(min_length=1)]
    reconstruction: NonNegativeFloat
    perceptual: NonNegativeFloat = 0.0
    identity: NonNegativeFloat = 0.0
    ifsr: NonNegativeFloat = 0.0
    adversarial: NonNegativeFloat = 0.0
    game: Literal["hinge", "logistic", "squared"] = "logistic"
    r1: NonNegativeFloat = 0.0
    r1_every: PositiveInt = 16


class AttackRecipe(_Strict):
    """A run that trains an adversary to undo an anonymization, from pairs alone.

    Attributes:
        network: which of `nets.reconstruction.ADVERSARIES`.
        side, width, learning_rate, betas, precision: as in a swapper's recipe.
        data: as in a swapper's recipe; `same` is 0, since nobody publishes a face that is not changed.
        discriminator: counts where `loss.adversarial` is not 0.
    """

    name: str
    network: Literal["attack-compact", "attack-facedancer"]
    side: PositiveInt = 128
    width: PositiveInt | None = None
    seed: NonNegativeInt
    learning_rate: PositiveFloat
    betas: Annotated[list[Share], Field(min_length=2, max_length=2)] = [0.9, 0.99]
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    data: SwapperData
    victim: Victim = Victim()
    discriminator: Discriminator = Discriminator()
    loss: AttackLoss
    schedule: Schedule

    @model_validator(mode="after")
    def _fits_together(self) -> "AttackRecipe":
        kinds = [defence.kind for defence in self.victim.defences]
        wrong = {
            "a face that is its own source is not anonymized: same is 0": self.data.same,
            "an adversary has no numbered people": self.data.people,
            "fgsm needs a surrogate, and nothing else does": ("fgsm" in kinds) != bool(self.victim.surrogate),
            "only a swapper has parameters or can be asked again": self.victim.method != "swapper"
            and {"parameters", "again"} & set(kinds),
            "attack-compact has no width": self.network == "attack-compact" and self.width is not None,
        }
        if found := [message for message, holds in wrong.items() if holds]:
            raise ValueError("; ".join(found))
        return self


class ExpressionData(_Strict):
    """Archives, by their names in the data folder.

    Attributes:
        labelled: with one folder a person.
        unlabelled: of people who are seen once.
        validation: with one folder a person; other people.
    """

    labelled: str
    unlabelled: list[str] = []
    validation: str


class ExpressionLoss(_Strict):
    """The sum that is minimised.

    Attributes:
        contrast: weight of L_wtot: supervised contrast, and the errors of valence and arousal.
        temperature: of the contrast.
        certain: probability from which a face counts as one of the teacher's class in the contrast.
        limit: above which a rare class's weight does not rise.
        classes: weight of the cross entropy to the teacher's probabilities.
        geometry: of the error of the measures.
        likeness: of the difference between cosines and how alike faces are by classes and geometry.
        recognised: of how much nearer one person's faces of a class are than two people's.
    """

    contrast: NonNegativeFloat
    temperature: PositiveFloat = 0.1
    certain: Share = 0.5
    limit: PositiveFloat = 4.0
    classes: NonNegativeFloat
    geometry: NonNegativeFloat
    likeness: NonNegativeFloat
    recognised: NonNegativeFloat = 0.0


class ExpressionRecipe(_Strict):
    """A run that trains an embedder of expressions on a teacher's labels.

    Attributes:
        network: the one of `nets.expression`.
        learning_rate, weight_decay: of AdamW.
        hardness: scales how often a face is degraded; 0 for never.
        precision: of the forward pass; auto is bfloat16 where the hardware has it.
    """

    name: str
    network: Literal["expression-small"]
    seed: NonNegativeInt
    learning_rate: PositiveFloat
    weight_decay: NonNegativeFloat
    hardness: NonNegativeFloat = 1.0
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    data: ExpressionData
    loss: ExpressionLoss
    schedule: Schedule


class AffectNetRecipe(_Strict):
    """A run of table 5.1: an encoder of expressions pretrained in some way, then classified upon.

    Attributes:
        backbone: see `nets.expression.build_body`.
        pretraining: "none": encoder and classifier are trained together.
        weighted: whether the contrast weighs classes by their inverse frequency; the classifier always does.
        affect: whether the contrast also learns valence and arousal.
        temperature: of the contrast.
        side: pixels of the faces.
        learning_rate, weight_decay: of AdamW, in both trainings.
        data: folder in AffectNet's layout, in the data folder.
        schedule, classifier: of pretraining, and of the classifier.
    """

    name: str
    network: Literal["expression-affectnet"]
    backbone: Literal["small", "efficientnet-b0", "resnet50-v2"]
    pretraining: Literal["contrast", "simsiam", "autoencoder", "none"]
    weighted: bool = True
    affect: bool = True
    temperature: PositiveFloat = 0.1
    side: PositiveInt
    seed: NonNegativeInt
    learning_rate: PositiveFloat
    weight_decay: NonNegativeFloat
    data: str
    schedule: Schedule
    classifier: Schedule


class UpscalerData(_Strict):
    """Faces larger than a swapper's crops.

    Attributes:
        faces: the archive, by its name in the data folder; twice the side of a swapper's crops.
        held_out: share of it that is not trained on, by the hash of each picture's name.
        patch: side of what the network is shown of a crop, in pixels of the small one.
        softest: a Gaussian's sigma in pixels of the small crop, up to which it is blurred.
        sharpened: share of crops that are sharpened again as a swapped face is (`swap.blend.sharpened`).
        noisy, coded: shares of crops with slight noise, and with the traces of JPEG.
    """

    faces: str
    held_out: Share = 0.05
    patch: PositiveInt = 64
    softest: NonNegativeFloat
    sharpened: Share = 0.0
    noisy: Share = 0.0
    coded: Share = 0.0


class UpscalerLoss(_Strict):
    """The sum that is minimised: weights.

    Attributes:
        reconstruction: mean absolute difference.
        matching: difference of the `matched` deepest maps of the discriminator.
        adversarial: against the discriminator.
        game: its form.
        plain: steps at the beginning in which reconstruction is all there is.
        r1: gradient penalty of the discriminator, every `r1_every` steps.
    """

    reconstruction: NonNegativeFloat
    matching: NonNegativeFloat = 0.0
    matched: PositiveInt = 4
    adversarial: NonNegativeFloat = 0.0
    game: Literal["hinge", "logistic", "squared"] = "hinge"
    plain: NonNegativeInt = 0
    r1: NonNegativeFloat = 0.0
    r1_every: PositiveInt = 16


class UpscalerRecipe(_Strict):
    """A run that trains the upscaler of swapped faces.

    Attributes:
        network: the one of `nets.upscaler`.
        learning_rate, betas, precision: as in a swapper's recipe.
    """

    name: str
    network: Literal["upscaler"]
    seed: NonNegativeInt
    learning_rate: PositiveFloat
    betas: Annotated[list[Share], Field(min_length=2, max_length=2)] = [0.9, 0.99]
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    data: UpscalerData
    discriminator: Discriminator = Discriminator()
    loss: UpscalerLoss
    schedule: Schedule


class AlignerData(_Strict):
    """Archives of aligned crops, by their names in the data folder.

    Attributes:
        faces: to learn from.
        validation: faces of other people.
        lit, covered, poor: shares of faces in other light, with something in front, and as a poor camera shows them.
    """

    faces: list[str]
    validation: str
    lit: Share = 0.0
    covered: Share = 0.0
    poor: Share = 0.0


class AlignerRecipe(_Strict):
    """A run that trains the network that says how a face lies in its crop.

    Attributes:
        network: the one of `nets.aligner`.
        learning_rate, weight_decay: of AdamW.
    """

    name: str
    network: Literal["aligner"]
    seed: NonNegativeInt
    learning_rate: PositiveFloat
    weight_decay: NonNegativeFloat
    data: AlignerData
    schedule: Schedule


Recipe = (
    EncoderRecipe | SwapperRecipe | AttackRecipe | ExpressionRecipe | AffectNetRecipe | UpscalerRecipe | AlignerRecipe
)
_RECIPE: TypeAdapter[Recipe] = TypeAdapter(Annotated[Recipe, Field(discriminator="network")])


def read_recipe(recipe: str | Path) -> Recipe:
    """The recipe of that file, or the packaged one of that name.

    A file that begins with `like = "<packaged recipe>"` says only in what it differs from that one.

    Raises:
        OptionError: there is none, or it says something that makes no sense.
    """
    path = _place(recipe)
    try:
        return _RECIPE.validate_python(_said(path))
    except FileNotFoundError as error:
        hint = f"Packaged ones: {', '.join(recipes())}"
        raise OptionError("no such recipe", path=error.filename, hint=hint) from error
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise OptionError(f"not a recipe: {error}", path=path) from error


def _place(recipe: str | Path) -> Path:
    packaged = Path(str(files("masquerade.train") / "recipes" / f"{recipe}.toml"))
    return packaged if packaged.is_file() else Path(recipe)


def _said(path: Path) -> dict[str, Any]:
    """What a file says, and what it is like."""
    said = tomllib.loads(path.read_text("utf-8"))
    return _merged(_said(_place(said.pop("like"))), said) if "like" in said else said


def _merged(model: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`changes` over `model`, table by table."""
    tables = {name: _merged(model.get(name, {}), value) for name, value in changes.items() if isinstance(value, dict)}
    return model | changes | tables


def recipes() -> list[str]:
    """Names of the packaged recipes."""
    return sorted(path.name.removesuffix(".toml") for path in (files("masquerade.train") / "recipes").iterdir())
