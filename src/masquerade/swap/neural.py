"""Swappers from ONNX files: our own, and anybody's whose card says how it is fed.

A user's card is a TOML file beside the network, with the same two tables as the cards of this package:

    file = "network.onnx"
    name = "what-people-call-it"

    [input]                 # how the target is fed: see models.cards.InputSpec
    name = "target"
    layout = "NCHW"
    height = 128
    width = 128
    colour = "RGB"
    range = [-1.0, 1.0]
    mean = [0.0, 0.0, 0.0]
    std = [1.0, 1.0, 1.0]

    [swap]                  # whose face to show, and what comes back: see models.cards.SwapSpec
    identity = "identity"
    crop = "crop"
    range = [-1.0, 1.0]
    encoder = "driver"

Where identities are not the driver's, `bank`, `encoder_file` and `encoder_kind` beside `file` name the fabricated
identities and the encoder; see models.cards.UserSwapper.
"""

import json
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from masquerade.errors import EngineError, FaceError, OptionError, WeightsError
from masquerade.faces.align import template
from masquerade.swap.base import Swapped

if TYPE_CHECKING:
    from masquerade.models.cards import InputSpec, SwapAlignment, SwapSpec, UserSwapper
    from masquerade.models.runtime import Engine, Session

_FFHQ_512 = ((192.98, 239.95), (318.90, 240.19), (256.63, 314.02), (201.26, 371.41), (313.09, 371.15))


def swap_template(alignment: "SwapAlignment", side: int) -> NDArray[np.float32]:
    """Where the five landmarks lie in a swapper's crop of `side` pixels, shape (5, 2).

    "arcface" fills the crop with the template of `faces.align`. "arcface-128" keeps 8 more pixels to either side in a
    crop of 128 (as InsightFace's `norm_crop` does for multiples of 128). "ffhq" is the wider portrait crop of face
    restoration networks (as facexlib aligns for them).
    """
    if alignment == "arcface-128":
        return (template(112) + np.array([8, 0], np.float32)) * np.float32(side / 128)
    if alignment == "ffhq":
        return np.array(_FFHQ_512, np.float32) * np.float32(side / 512)
    return template(side)


class OnnxSwapper:
    """A swapper of any make behind the one protocol (`swap.base.Swapper`).

    Args:
        session: the network: the target and an identity go in.
        name: what people call it.
        target: how the target is fed.
        spec: how the identity is, and what comes back.
        projection: (d, e), what identities are multiplied by first.

    Attributes:
        side, dimensions: see `swap.base.Swapper`.
        template: where the five landmarks lie in its crops, shape (5, 2).
        encoder: in whose space identities lie.
        answers: "swap" if the face of the identity comes out, "fiva" if that of its negation does.
        truncation: how much of an identity it is to be given, see `identity.truncation`; None for all of it.

    Raises:
        WeightsError: the network has other inputs and outputs than the card says.
    """

    def __init__(
        self,
        session: "Session",
        *,
        name: str,
        target: "InputSpec",
        spec: "SwapSpec",
        projection: NDArray[np.float32] | None = None,
    ) -> None:
        inputs = {port.name: port.shape for port in session.inputs}
        outputs = {port.name for port in session.outputs}
        if inputs.keys() != {target.name, spec.identity}:
            raise WeightsError(
                f"{name} takes {' and '.join(inputs)}; its card speaks of {target.name} and {spec.identity}"
            )
        if missing := {spec.crop, spec.mask} - {None} - outputs:
            raise WeightsError(f"{name} gives {', '.join(sorted(outputs))}, but no {missing.pop()}")
        if target.height is None or target.height != target.width or target.colour == "grey":
            raise WeightsError(f"the card of {name} must give one size of square colour crops")
        if projection is not None and projection.ndim != 2:
            raise WeightsError(f"the projection of {name} is no matrix but has shape {projection.shape}")
        width = inputs[spec.identity][-1]
        if width <= 0 and projection is None:
            raise WeightsError(
                f"{name} does not say how long its identities are", hint="Export it with that size fixed"
            )
        if projection is not None and width not in (-1, projection.shape[1]):
            raise WeightsError(f"the projection of {name} gives {projection.shape[1]} numbers, it takes {width}")
        self.name, self.encoder, self.answers = name, spec.encoder, spec.answers
        self.truncation = spec.truncation
        self.side = target.height
        self.dimensions = int(width) if projection is None else len(projection)
        self.template = swap_template(spec.alignment, self.side)
        self._session, self._target, self._spec, self._projection = session, target, spec, projection
        self._single = inputs[target.name][0] == 1

    def swap(self, crops: NDArray[np.float32], identities: NDArray[np.float32]) -> Swapped:
        """See `swap.base.Swapper`. What comes back is clipped to its range.

        Raises:
            FaceError: crops or identities of other shapes.
            EngineError: the engine failed, or the network gave something that is no picture.
        """
        n = len(crops)
        if crops.shape != (n, 3, self.side, self.side) or identities.shape != (n, self.dimensions):
            raise FaceError(
                f"{self.name} takes crops (n, 3, {self.side}, {self.side}) and identities (n, {self.dimensions}), "
                f"not {crops.shape} and {identities.shape}"
            )
        targets, vectors = self._fed(crops), self._projected(identities)
        each = 1 if self._single else max(n, 1)
        parts = [self._run(targets[i : i + each], vectors[i : i + each]) for i in range(0, n, each)]
        made = np.concatenate([crop for crop, _ in parts]) if parts else crops
        masks = [mask for _, mask in parts if mask is not None]
        return Swapped(made, np.concatenate(masks) if masks else None)

    def _run(
        self, targets: NDArray[np.float32], identities: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        spec = self._spec
        outputs = self._session.run({self._target.name: targets, spec.identity: identities})
        crop = outputs[spec.crop].astype(np.float32)
        if crop.shape != targets.shape or not np.isfinite(crop).all():
            raise EngineError(f"{self.name} gave {crop.shape} for {targets.shape}, or values that are not finite")
        if self._target.layout == "NHWC":
            crop = crop.transpose(0, 3, 1, 2)
        if self._target.colour == "BGR":
            crop = crop[:, ::-1]
        low, high = spec.range
        crop = np.clip((crop - np.float32(low)) * np.float32(2 / (high - low)) - 1, -1, 1)
        mask = None
        if spec.mask is not None:
            mask = np.clip(outputs[spec.mask].astype(np.float32).reshape(len(crop), 1, self.side, self.side), 0, 1)
        return np.ascontiguousarray(crop), mask

    def _fed(self, crops: NDArray[np.float32]) -> NDArray[np.float32]:
        target = self._target
        low, high = target.range
        pixels = (crops + 1) * np.float32((high - low) / 2) + np.float32(low)
        if target.colour == "BGR":
            pixels = pixels[:, ::-1]
        shape = (1, 3, 1, 1)
        pixels = (pixels - np.reshape(target.mean, shape)) / np.reshape(target.std, shape)
        if target.layout == "NHWC":
            pixels = pixels.transpose(0, 2, 3, 1)
        return np.ascontiguousarray(pixels, np.float32)

    def _projected(self, identities: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._projection is None:
            return identities
        vectors = identities @ self._projection
        unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit


def open_swapper(
    name_or_card: str | Path,
    *,
    engine: "Engine" = "auto",
    provider: str | None = None,
    threads: int = 0,
    accept_noncommercial: bool = False,
) -> OnnxSwapper:
    """A swapper ready to run.

    Args:
        name_or_card: the name of a card, or a user's own card (a TOML file, see this module).
        engine, provider, threads: as for `models.runtime.open_session`.
        accept_noncommercial: needed to fetch weights whose licence forbids commercial use.

    Raises:
        OptionError: there is no such swapper, or the card says something that makes no sense.
        WeightsError: the weights cannot be had, or are not what the card says.
        EngineError: what was asked for is not what would run.
    """
    from masquerade.models.cards import cards  # noqa: PLC0415 - pydantic takes a while to load
    from masquerade.models.runtime import open_session, precision_for  # noqa: PLC0415 - as above

    card = cards().get(str(name_or_card))
    if card is None:
        own = read_user_card(Path(name_or_card))
        name, target, spec = own.name, own.input, own.swap
        model = model_of(name_or_card)
        session = open_session(model, engine=engine, provider=provider, threads=threads)
    else:
        if card.swap is None:
            raise OptionError(f"{card.name} is no swapper", hint=f"Swappers are {_names()}, or a card of your own")
        name, target, spec = card.name, card.input, card.swap
        model = model_of(name_or_card, accept_noncommercial=accept_noncommercial)
        session = open_session(model, engine=engine, provider=provider, precision=precision_for(card), threads=threads)
    projection = None if spec.projection is None else _initializer(model, spec.projection)
    return OnnxSwapper(session, name=name, target=target, spec=spec, projection=projection)


def model_of(name_or_card: str | Path, *, accept_noncommercial: bool = False) -> Path:
    """The ONNX file of a swapper; arguments and errors as for `open_swapper`."""
    from masquerade.models.cards import cards  # noqa: PLC0415 - pydantic takes a while to load
    from masquerade.models.store import fetch  # noqa: PLC0415 - as above

    card = cards().get(str(name_or_card))
    if card is None:
        return Path(name_or_card).parent / read_user_card(Path(name_or_card)).file
    return fetch(card, accept_noncommercial=accept_noncommercial or card.source.kind == "packaged")


def read_user_card(path: Path) -> "UserSwapper":
    """A user's card of a swapper.

    Raises:
        OptionError: there is none, or it says something that makes no sense.
    """
    from pydantic import ValidationError  # noqa: PLC0415 - takes a while to load

    from masquerade.models.cards import UserSwapper  # noqa: PLC0415 - as above

    if not path.is_file():
        raise OptionError(f"there is no swapper {str(path)!r}", hint=f"Name one of {_names()}, or a card (TOML)")
    try:
        return UserSwapper.model_validate_json(json.dumps(tomllib.loads(path.read_text("utf-8"))))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        hint = "A swapper is opened by its card, a TOML file"
        raise OptionError(f"not a card: {error}", path=path, hint=hint) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise OptionError(f"not a swapper's card: {where}: {first['msg']}", path=path) from error


def _initializer(model: Path, name: str) -> NDArray[np.float32]:
    """A constant of an ONNX file. Engines drop those that no node uses, so the file itself is read."""
    try:
        import onnx  # noqa: PLC0415 - only networks with a projection need it
        from onnx import numpy_helper  # noqa: PLC0415 - as above
    except ImportError as error:
        raise OptionError(
            "this network's projection is read with the package onnx, which is not installed",
            path=model,
            hint="Run: pip install onnx",
        ) from error
    stored: dict[str, Any] = {constant.name: constant for constant in onnx.load(model).graph.initializer}
    if name not in stored:
        raise WeightsError(f"has no constant {name!r} to project identities with", path=model)
    return np.asarray(numpy_helper.to_array(stored[name]), np.float32)


def _names() -> str:
    from masquerade.models.cards import cards  # noqa: PLC0415 - pydantic takes a while to load

    return ", ".join(sorted(name for name, card in cards().items() if card.swap is not None)) or "none in the package"
