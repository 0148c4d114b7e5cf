"""The bank: thousands of fabricated identities that belong to nobody.

A bank is drawn from a model of how an encoder spreads people over its sphere, so its members are as lifelike as real
embeddings are, and every member is checked to be a stranger to every person the model was made from. It holds no
person's embedding.
"""

import hashlib
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal, Self

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from masquerade.errors import BankError, InputError, OptionError
from masquerade.faces.embed import Encoder
from masquerade.identity.anchors import attribute_penalty
from masquerade.identity.attributes import WEIGHTS, Probe, ProbeInfo, fit_probe, read_label
from masquerade.media.files import atomic_output, check_readable
from masquerade.models import cards
from masquerade.types import Embedding
from masquerade.version import __version__

_SIDE = 112
"""Pixels: the side of the crop that the package's own encoders read."""
_BATCH = 32
_ROUND = 1024
"""Candidates drawn at a time."""
_PATIENCE = 20
"""Rounds in a row that may bring almost nothing before the sphere counts as full."""
_PAIRED = 4000
"""Faces of which all pairs are compared for a threshold: eight million pairs."""

Vectors = NDArray[np.float32]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Distance = Annotated[float, Field(ge=0, le=2)]


class EncoderInfo(BaseModel):
    """The encoder on whose sphere a bank lies, and its calibrated thresholds in cosine distance."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    name: str
    sha256: Digest
    far_1e3: Distance
    """At or below it one impostor pair in a thousand lies."""
    far_1e4: Distance


class BankInfo(BaseModel):
    """What a bank says of itself."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    format: Literal["masquerade-bank"] = "masquerade-bank"
    version: Literal[1] = 1
    encoder: EncoderInfo
    count: Annotated[int, Field(gt=0)]
    dimensions: Annotated[int, Field(gt=1)]
    min_between: Distance
    """Every two members are farther apart than this."""
    seed: int
    people: int
    """How many people every member was checked against."""
    made: str
    """How, in words."""
    made_by: str
    probe: ProbeInfo | None = None
    """How well its probe reads age and sex, if it has one."""
    sha256: Digest
    """Of codes and axes; it names the bank."""


PACKAGED = "bank.npz"
"""Of the packaged driver, beside it."""


@dataclass(frozen=True, slots=True)
class IdentityModel:
    """How an encoder spreads people: a Gaussian about `mean`, brought back to the sphere.

    Attributes:
        mean: (d,).
        axes: (r, d), the principal axes, each as long as the standard deviation along it.
    """

    mean: NDArray[np.float64]
    axes: NDArray[np.float64]

    def sample(self, count: int, rng: np.random.Generator) -> Vectors:
        """Fabricated identities: unit vectors (count, d)."""
        drawn = self.mean + rng.standard_normal((count, len(self.axes))) @ self.axes
        return _unit(drawn)


def fit_distribution(embeddings: Vectors, share: float = 0.999) -> IdentityModel:
    """The model of a population.

    Encoders fill far fewer dimensions than they have, so only the axes that hold `share` of the variance are kept:
    outside them no face lies, and a generator would not know what to do.

    Args:
        embeddings: unit vectors (n, d), one a person (`centres`); several times as many as the encoder fills
            dimensions, or the model is little more than the people themselves.

    Raises:
        OptionError: fewer than two people.
    """
    if len(embeddings) < 2:
        raise OptionError("a bank cannot be made from fewer than two people", hint="Give it thousands")
    mean = embeddings.mean(axis=0, dtype=np.float64)
    spread = embeddings - mean
    ascending, columns = np.linalg.eigh(spread.T @ spread / (len(spread) - 1))
    variance, directions = np.maximum(ascending[::-1], 0), columns.T[::-1]
    kept = int(np.searchsorted(np.cumsum(variance), share * variance.sum())) + 1
    return IdentityModel(mean, np.sqrt(variance[:kept, None]) * directions[:kept])


def centres(embeddings: Vectors, people: NDArray[np.int64]) -> Vectors:
    """Each person's mean direction, unit vectors (number of people, d), in the order of `np.unique(people)`."""
    names, whose = np.unique(people, return_inverse=True)
    sums = np.zeros((len(names), embeddings.shape[1]))
    np.add.at(sums, whose, embeddings)
    return _unit(sums)


def threshold_at(embeddings: Vectors, people: NDArray[np.int64], far: float) -> float:
    """The cosine distance at or below which a share `far` of all pairs of different people lies.

    At most 4,000 faces, evenly picked, are compared with each other.
    """
    picked = np.unique(np.linspace(0, len(embeddings) - 1, _PAIRED).astype(int))
    faces, whose = embeddings[picked], people[picked]
    first, second = np.triu_indices(len(faces), 1)
    distances = (1 - faces @ faces.T)[first, second][whose[first] != whose[second]]
    if len(distances) * far < 1:
        raise OptionError(
            f"{len(distances)} pairs of different people cannot show one false match in {1 / far:.0f}",
            hint="Give more faces, or the thresholds themselves",
        )
    return float(np.quantile(distances, far, method="lower"))


@dataclass(frozen=True, slots=True, eq=False)
class Bank:
    """Fabricated identities.

    Attributes:
        info: what it says of itself.
        codes: int8, (count, r): the members in coordinates of `axes`, each row stretched to ±127.
        axes: float16, (r, dimensions): the few directions in which an encoder spreads people.
        probe: reads age and sex off identities of its encoder, if it was made with one.
        members: unit vectors (count, dimensions), float32, from codes and axes.
    """

    info: BankInfo
    codes: NDArray[np.int8]
    axes: NDArray[np.float16]
    probe: Probe | None = None
    members: Vectors = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "members", _decoded(self.codes, self.axes))

    def save(self, path: Path | str) -> None:
        """Write it; the same bank gives the same bytes.

        Raises:
            OutputError: it cannot be written there.
        """
        header = np.frombuffer(self.info.model_dump_json(indent=1).encode(), np.uint8)
        arrays = {"header": header, "codes": self.codes, "axes": self.axes}
        if self.probe is not None:
            arrays["probe"] = self.probe.weights
        with atomic_output(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read one and check it.

        Raises:
            InputError: there is no such file, it is empty, or may not be read.
            BankError: it is no bank, of another version, or damaged.
        """
        path = check_readable(path)
        try:
            with np.load(path, allow_pickle=False) as file:
                header, codes, axes = bytes(file["header"]), file["codes"], file["axes"]
                info = BankInfo.model_validate_json(header)
                weights = None if info.probe is None else file["probe"]
        except ValidationError as error:
            raise BankError("is of a version that this one cannot read", path=path, hint="Make it again") from error
        except (ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise BankError("is no bank", path=path, hint="Make one with 'masquerade bank make'") from error
        sound = codes.dtype == np.int8 and axes.dtype == np.float16 and codes.ndim == 2 and codes.any(axis=1).all()
        sound = sound and (len(codes), *axes.shape) == (info.count, codes.shape[1], info.dimensions)
        if not sound or _digest(codes, axes) != info.sha256:
            raise BankError("is damaged: its faces are not those its header names", path=path, hint="Make it again")
        probe = None
        if info.probe is not None and weights is not None:
            if weights.dtype != np.float16 or weights.shape != (2, info.dimensions + 1):
                raise BankError("is damaged: its probe is not of its encoder", path=path, hint="Make it again")
            probe = Probe(info.probe, weights)
        return cls(info, codes, axes, probe)

    def scores(self, identities: Vectors) -> Vectors:
        """Apparent age and sex (`attributes.NAMES`), 0 to 1, shape (n, 2), of unit vectors (n, d).

        Raises:
            BankError: the bank was made without the pictures to learn that from.
        """
        if self.probe is None:
            raise BankError(
                "this bank cannot tell age and sex", hint="Make one with 'masquerade bank make --attributes'"
            )
        return self.probe.scores(identities)

    def misfit(self, identity: Embedding) -> Vectors:
        """How badly each member fits a person's apparent age and sex, (count,), for `anchors.choose_anchor`.

        Raises:
            BankError: as for `scores`.
        """
        return attribute_penalty(self.scores(identity[None])[0], self.scores(self.members), WEIGHTS)

    def check_encoder(self, sha256: str) -> None:
        """Make sure that the bank lies on the sphere of the encoder with this hash.

        Raises:
            BankError: it does not.
        """
        if sha256 != self.info.encoder.sha256:
            raise BankError(
                f"this bank was made for the encoder {self.info.encoder.name} ({self.info.encoder.sha256[:12]}), "
                f"not for {sha256[:12]}",
                hint="Make one for the encoder in use with 'masquerade bank make'",
            )


def open_bank(path: Path | str | None = None, *, encoder: Encoder | None = None) -> Bank:
    """A bank, checked to lie on the sphere of its encoder.

    Args:
        path: None for the bank that comes with the package, of the packaged driver.
        encoder: the one in use; None for the packaged driver.

    Raises:
        InputError: there is no such file, or it may not be read.
        BankError: it is no bank, is damaged, or was made for another encoder.
    """
    bank = Bank.load(cards.PACKAGED / PACKAGED if path is None else path)
    bank.check_encoder(cards.card("driver").sha256 if encoder is None else encoder.sha256)
    return bank


def sample_bank(
    model: IdentityModel,
    count: int,
    *,
    training_centres: Vectors,
    encoder: EncoderInfo,
    min_between: float,
    seed: int,
    made: str = "",
) -> Bank:
    """Draw members until there are `count`, each a stranger to all people and to each other.

    What is checked is what is stored: candidates are rounded to their stored form first.

    Args:
        training_centres: unit vectors (n, d); every member is farther than the encoder's FAR 1e-4 threshold from each.
        min_between: every two members are farther apart than this; 0 asks only that they differ.
        seed: the same seed and model give the same bank.

    Raises:
        OptionError: `count` is not positive.
        BankError: the sphere is full before there are `count`.
    """
    if count < 1:
        raise OptionError(f"a bank of {count} faces is none", hint="--count must be at least 1")
    rng = np.random.default_rng(seed)
    axes = _basis(model)
    codes = np.empty((count, len(axes)), np.int8)
    members = np.empty((count, model.mean.size), np.float32)
    filled = barren = 0
    while filled < count:
        drawn = _codes(model.sample(_ROUND, rng), axes)
        faces = _decoded(drawn, axes)
        fits = _nearest(faces, training_centres) > encoder.far_1e4
        fits &= _nearest(faces, members[:filled]) > min_between
        before = filled
        for i in np.flatnonzero(fits):
            if filled < count and _nearest(faces[i : i + 1], members[before:filled])[0] > min_between:
                codes[filled], members[filled] = drawn[i], faces[i]
                filled += 1
        barren = 0 if filled - before > _ROUND // 1000 else barren + 1
        if barren == _PATIENCE:
            raise BankError(
                f"only {filled} faces fit {min_between:.2f} apart from each other and {encoder.far_1e4:.2f} from all "
                f"{len(training_centres)} people",
                hint="Ask for fewer, or for less distance between them",
            )
    return Bank(
        BankInfo(
            encoder=encoder,
            count=count,
            dimensions=axes.shape[1],
            min_between=min_between,
            seed=seed,
            people=len(training_centres),
            made=made,
            made_by=f"masquerade {__version__}",
            sha256=_digest(codes, axes),
        ),
        codes,
        axes,
    )


def make_bank(
    encoder: Encoder,
    faces: Path,
    count: int,
    *,
    seed: int = 0,
    far_1e3: float | None = None,
    far_1e4: float | None = None,
    min_between: float | None = None,
    attributes: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Bank:
    """A bank for an encoder, from an archive of faces.

    Args:
        encoder: the one that will drive the generator.
        faces: zip of aligned square crops, `<person>/<picture>`.
        count: members.
        seed: of the drawing.
        far_1e3: the encoder's thresholds. Where they are None they are those of its calibration, and where it has none
            they are measured on `faces`; people the encoder was trained on lie farther apart than others, so that a
            measured threshold errs on the strict side.
        far_1e4: see `far_1e3`.
        min_between: how far members are apart; None for `far_1e3`, so that nobody can take one for another.
        attributes: zip of aligned square crops named as UTKFace names them, from which the bank learns to tell how old
            a face looks and of which sex; see `attributes`.
        progress: called with (faces embedded, faces in all).

    Raises:
        InputError: an archive cannot be read.
        EngineError: the encoder cannot run.
        BankError: so many faces do not fit.
    """
    embeddings, people = embed_archive(encoder, faces, progress)
    known = {entry.far: entry.threshold for entry in encoder.calibration}
    known |= {far: given for far, given in ((1e-3, far_1e3), (1e-4, far_1e4)) if given is not None}
    measured = [far for far in (1e-3, 1e-4) if far not in known]
    known |= {far: threshold_at(embeddings, people, far) for far in measured}
    info = EncoderInfo(name=encoder.name, sha256=encoder.sha256, far_1e3=known[1e-3], far_1e4=known[1e-4])
    population = centres(embeddings, people)
    model = fit_distribution(population)
    bank = sample_bank(
        model,
        count,
        training_centres=population,
        encoder=info,
        min_between=info.far_1e3 if min_between is None else min_between,
        seed=seed,
        made=f"drawn from a Gaussian of {len(model.axes)} axes fitted to {len(people)} pictures of {len(population)} "
        f"people ({faces.name}); thresholds {'measured on them' if measured else 'given'}",
    )
    if attributes is None:
        return bank
    probe = learn_probe(encoder, attributes, progress)
    return replace(bank, info=bank.info.model_copy(update={"probe": probe.info}), probe=probe)


def learn_probe(
    encoder: Encoder, archive: Path, progress: Callable[[int, int], None] = lambda done, total: None
) -> Probe:
    """Learn from an archive whose files' names say age and sex (`attributes.read_label`); others are left out.

    Raises:
        InputError: the archive is missing, empty, or holds what is not a square picture.
        OptionError: it has fewer than a hundred such names.
    """
    vectors, names = _embed(encoder, archive, progress)
    labels = [read_label(name) for name in names]
    said = [i for i, label in enumerate(labels) if label is not None]
    return fit_probe(vectors[said], np.array([labels[i] for i in said]).reshape(-1, 2))


def embed_archive(
    encoder: Encoder, archive: Path, progress: Callable[[int, int], None] = lambda done, total: None
) -> tuple[Vectors, NDArray[np.int64]]:
    """All faces of an archive → unit vectors (n, d) and whose each is (n,), numbered from 0.

    Raises:
        InputError: the archive is missing, empty, or holds what is not a square picture in a person's folder.
        EngineError: the encoder cannot run.
    """
    vectors, names = _embed(encoder, archive, progress)
    for name in names:
        if "/" not in name:
            raise InputError(f"{name} is not in a folder named after its person", path=archive)
    people = [name.rsplit("/", 1)[0] for name in names]
    return vectors, np.unique(people, return_inverse=True)[1].astype(np.int64)


def _embed(encoder: Encoder, archive: Path, progress: Callable[[int, int], None]) -> tuple[Vectors, list[str]]:
    """Unit vectors (n, d) and the pictures' names."""
    vectors: list[Vectors] = []
    done: list[str] = []
    for crops, names, total in _batches(archive):
        vectors.append(encoder.embed_crops(crops))
        done += names
        progress(len(done), total)
    return np.concatenate(vectors), done


def _batches(archive: Path) -> Iterator[tuple[NDArray[np.uint8], list[str], int]]:
    try:
        with zipfile.ZipFile(archive) as zipped:
            names = sorted(name for name in zipped.namelist() if not name.endswith("/"))
            if not names:
                raise InputError("is empty", path=archive)
            for start in range(0, len(names), _BATCH):
                some = names[start : start + _BATCH]
                yield np.stack([_crop(zipped.read(name), name, archive) for name in some]), some, len(names)
    except FileNotFoundError as error:
        raise InputError("no such archive", path=archive, hint="Check the name") from error
    except (zipfile.BadZipFile, OSError) as error:
        raise InputError(f"is no zip that can be read ({error})", path=archive) from error


def _crop(data: bytes, name: str, archive: Path) -> NDArray[np.uint8]:
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB) if data else None
    if picture is None or picture.shape[0] != picture.shape[1]:
        raise InputError(f"{name} is not a square picture", path=archive)
    return np.asarray(cv2.resize(picture, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def _unit(vectors: NDArray[np.floating]) -> Vectors:
    wide = vectors.astype(np.float64)
    unit: Vectors = (wide / np.linalg.norm(wide, axis=1, keepdims=True)).astype(np.float32)
    return unit


def _basis(model: IdentityModel) -> NDArray[np.float16]:
    """Orthogonal unit axes (r, d) that span the model's, and its mean; rounded to their stored form."""
    return np.linalg.qr(np.vstack([model.mean, model.axes]).T)[0].T.astype(np.float16)


def _codes(vectors: Vectors, axes: NDArray[np.float16]) -> NDArray[np.int8]:
    """A byte an axis, each row stretched to ±127: the direction is kept to about half a degree."""
    along = vectors @ axes.T.astype(np.float32)
    stretched: NDArray[np.float32] = 127 * along / np.abs(along).max(axis=1, keepdims=True)
    return np.rint(stretched).astype(np.int8)


def _decoded(codes: NDArray[np.int8], axes: NDArray[np.float16]) -> Vectors:
    return _unit(codes.astype(np.float64) @ axes.astype(np.float64))


def _nearest(vectors: Vectors, others: Vectors) -> NDArray[np.float32]:
    """Each vector's smallest distance to any of the others; 2 where there are none."""
    nearest: NDArray[np.float32] = 1 - (vectors @ others.T).max(axis=1, initial=-1.0)
    return nearest


def _digest(codes: NDArray[np.int8], axes: NDArray[np.float16]) -> str:
    return hashlib.sha256(np.ascontiguousarray(codes).tobytes() + axes.astype("<f2").tobytes()).hexdigest()
