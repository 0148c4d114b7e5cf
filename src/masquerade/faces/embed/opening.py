"""Encoders by name or by file."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from masquerade.errors import OptionError, WeightsError
from masquerade.faces.embed.base import Encoder

if TYPE_CHECKING:
    from masquerade.models.cards import Alignment, InputSpec
    from masquerade.models.runtime import Engine, Port


@dataclass(frozen=True, slots=True)
class Kind:
    """How a family of encoders is fed: see `models.cards.InputSpec`; black and white are 0 and 255.

    Attributes:
        size: pixels, where the file does not fix it.
    """

    size: int
    colour: Literal["RGB", "BGR"]
    mean: float
    std: float
    standardise: bool = False
    alignment: "Alignment" = "arcface"


KINDS = {
    "arcface": Kind(112, "RGB", 127.5, 127.5),
    "adaface": Kind(112, "BGR", 127.5, 127.5),
    "facenet": Kind(160, "RGB", 0, 1, standardise=True),
    "dlib": Kind(150, "RGB", 0, 1, alignment="dlib"),
    "fr-feature": Kind(112, "BGR", 127, 128),
}
"""The families a user's file may belong to. CosFace is fed like ArcFace. FaceNet was made for boxes with a margin; here
it gets the five-point template at its own size like the others, as PAPER I recommends."""


def open_encoder(
    name_or_path: str | Path = "driver",
    *,
    kind: str | None = None,
    engine: "Engine" = "auto",
    provider: str | None = None,
    threads: int = 0,
    accept_noncommercial: bool = False,
) -> Encoder:
    """An encoder ready to run.

    Args:
        name_or_path: the name of a card ("driver" and "guard" come with the package), or a user's ONNX file.
        kind: which of `KINDS` a user's file is; None where a card lies beside it (`masquerade calibrate --save`).
        engine, provider, threads: as for `models.runtime.open_session`.
        accept_noncommercial: needed to fetch weights whose licence forbids commercial use. Those that lie in the
            package are here already; their terms stand on their cards.

    Raises:
        OptionError: there is no such encoder or kind, or the kind of a file is not known.
        WeightsError: the weights cannot be had, or are no encoder.
        EngineError: what was asked for is not what would run.
    """
    from masquerade.models.cards import cards  # noqa: PLC0415 - pydantic takes a while to load
    from masquerade.models.runtime import open_session, precision_for  # noqa: PLC0415 - as above
    from masquerade.models.store import fetch  # noqa: PLC0415 - as above

    card = cards().get(str(name_or_path))
    if card is None:
        return _open_file(Path(name_or_path), kind, engine, provider, threads)
    if card.task != "embed" or kind is not None:
        what = "no encoder" if card.task != "embed" else "an encoder whose kind is known"
        raise OptionError(f"{card.name} is {what}", hint=f"Encoders are {', '.join(_names())}, or an ONNX file")
    model = fetch(card, accept_noncommercial=accept_noncommercial or card.source.kind == "packaged")
    return Encoder(
        open_session(model, engine=engine, provider=provider, precision=precision_for(card), threads=threads),
        name=card.name,
        sha256=card.sha256,
        spec=card.input,
        alignment=card.alignment,
        calibration=card.calibration,
    )


def _open_file(path: Path, kind: str | None, engine: "Engine", provider: str | None, threads: int) -> Encoder:
    from masquerade.media.files import sha256  # noqa: PLC0415 - loads the media libraries
    from masquerade.models.cards import file_card_path, read_file_card  # noqa: PLC0415 - loads pydantic
    from masquerade.models.runtime import open_session  # noqa: PLC0415 - loads pydantic

    if not path.is_file():
        raise OptionError(
            f"there is no encoder {str(path)!r}", hint=f"Choose one of {', '.join(_names())}, or an ONNX file"
        )
    digest, card = sha256(path), read_file_card(path)
    if card is not None and kind is None:
        if card.sha256 != digest:
            raise OptionError(
                "this encoder is not the one its card was made for", path=path, hint=f"Remove {file_card_path(path)}"
            )
        kind = card.kind
    known = card is not None and (card.sha256, card.kind) == (digest, kind)
    if kind not in KINDS:
        said = "its kind is not known" if kind is None else f"there is no kind {kind!r}"
        raise OptionError(said, path=path, hint=f"Say which it is of {', '.join(KINDS)} (--kind)")
    session = open_session(path, engine=engine, provider=provider, threads=threads)
    if len(session.inputs) != 1:
        raise WeightsError(f"an encoder has one input, this network has {len(session.inputs)}", path=path)
    try:
        spec = _spec(KINDS[kind], session.inputs[0])
        return Encoder(
            session,
            name=path.stem,
            sha256=digest,
            spec=spec,
            alignment=KINDS[kind].alignment,
            calibration=card.calibration if card is not None and known else (),
            kind=kind,
        )
    except WeightsError as error:
        raise WeightsError(error.message, path=path, hint=error.hint) from error


def _spec(kind: Kind, port: "Port") -> "InputSpec":
    """What a network of that kind wants, with layout and size as the file itself has them."""
    from masquerade.models.cards import InputSpec  # noqa: PLC0415 - pydantic takes a while to load

    if len(port.shape) != 4 or 3 not in (port.shape[1], port.shape[3]):
        raise WeightsError(
            f"an encoder takes colour pictures, this network's input is {port.shape}",
            hint="Its shape must be (n, 3, side, side) or (n, side, side, 3)",
        )
    first = port.shape[1] == 3
    height, width = port.shape[2:] if first else port.shape[1:3]
    if height != width:
        raise WeightsError(f"an encoder takes square pictures, this network's are {width} x {height}")
    return InputSpec(
        name=port.name,
        layout="NCHW" if first else "NHWC",
        height=height if height > 0 else kind.size,
        width=width if width > 0 else kind.size,
        colour=kind.colour,
        range=(0.0, 255.0),
        mean=(float(kind.mean),) * 3,
        std=(float(kind.std),) * 3,
        standardise=kind.standardise,
    )


def _names() -> list[str]:
    from masquerade.models.cards import cards  # noqa: PLC0415 - pydantic takes a while to load

    return sorted(name for name, card in cards().items() if card.task == "embed")
