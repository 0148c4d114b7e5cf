"""All that a swap needs, opened once for many files: swapper, its encoder, fabricated identities, aligner, guard."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from masquerade.errors import OptionError
from masquerade.faces.aligner import open_aligner
from masquerade.faces.embed import open_encoder
from masquerade.identity import open_bank, resolve
from masquerade.identity.attributes import READER, Probe, coarse
from masquerade.identity.truncation import Truncator, Vectors, load_directions
from masquerade.media.files import sha256
from masquerade.models.cards import PACKAGED, cards, packaged_swapper
from masquerade.pipeline.render import Wardrobe
from masquerade.plan import Plan, Treatment
from masquerade.swap.defences import Defence, Defended
from masquerade.swap.enlarge import open_enlarger
from masquerade.swap.guard import EncoderGuard
from masquerade.swap.impose import Imposer
from masquerade.swap.neural import model_of, open_swapper, read_user_card


def usual_treatment() -> Treatment:
    """Fabricated faces where the package brings a swapper, else blur."""
    return Treatment(method="swap" if packaged_swapper() else "blur")


def swapper_for(treatment: Treatment, asked: str | None = None) -> str | None:
    """Which swapper a treatment needs; None for a redaction.

    Args:
        treatment: of a Plan, or asked for.
        asked: the swapper that was named, if one was: then it is that one, and the treatment is for who cannot wear
            a face.

    Raises:
        OptionError: it needs the package's own, and there is none.
    """
    if asked is not None or treatment.method != "swap":
        return asked
    if (own := packaged_swapper()) is None:
        raise OptionError(
            "this version brings no swapper of its own", hint="Name one with --swapper, or choose --method blur"
        )
    return own


def tailor_for(treatment: Treatment, asked: str | None, defences: Sequence[Defence]) -> "Tailor | None":
    """The tailor that a treatment needs; None for a redaction. Arguments and errors as for `swapper_for` and `Tailor`.

    Raises:
        OptionError: nobody wears a face that could be defended.
    """
    swapper = swapper_for(treatment, asked)
    if swapper is not None:
        return Tailor(swapper, defences)
    if defences:
        raise OptionError(
            f"--method {treatment.method} makes no faces to defend", hint="Leave --defence out, or choose --method swap"
        )
    return None


def truncator_of(swapper: str | Path) -> Truncator | None:
    """What a swapper is told of an identity, as its card says; None if all of it.

    Raises:
        OptionError: there is no such swapper.
        WeightsError: its directions of age and sex are missing, or another swapper's.
    """
    card = cards().get(str(swapper))
    spec = read_user_card(Path(swapper)).swap if card is None else card.swap
    amount = None if spec is None else spec.truncation
    if amount is None:
        return None
    if amount.directions is None:
        return Truncator(amount)
    folder = Path(swapper).parent if card is None else PACKAGED
    return Truncator(amount, load_directions(folder / amount.directions, sha256(model_of(swapper))))


class Tailor:
    """Fits people with the faces that a Plan gives them.

    Args:
        swapper: the name of a card, or a user's own card (see `swap.neural`).
        defences: against the reconstruction of who was there before, around the swapper.

    Attributes:
        name: of the swapper.
        swapper: makes the faces.
        encoder: the one whose identities the swapper follows; people are tracked, and their faces chosen, by it.
        bank: of fabricated identities, the only ones that it will be given.
        aligner: says how faces lie, so that the swapper sees them as it learnt to.
        enlarger: draws the detail of faces that are larger than its crops; None for a user's own swapper.
        imposer: puts faces on pictures, each only after the guard has seen it.

    Raises:
        OptionError: there is no such swapper, or its card does not say where its identities come from.
        WeightsError, EngineError: a network cannot be had or run.
        BankError: the bank is not of the swapper's encoder.
    """

    def __init__(self, swapper: str | Path, defences: Sequence[Defence] = ()) -> None:
        self.swapper = open_swapper(swapper)
        self.name = self.swapper.name
        bank: Path | None = None
        if str(swapper) in cards():
            self.encoder = open_encoder(self.swapper.encoder)
        else:
            card, folder = read_user_card(Path(swapper)), Path(swapper).parent
            if card.swap.encoder != "driver" and (card.bank is None or card.encoder_file is None):
                raise OptionError(
                    f"the card does not say where identities of the encoder {card.swap.encoder} come from",
                    path=swapper,
                    hint="Add encoder_file, encoder_kind, and a bank that `masquerade bank make` made with it",
                )
            file = None if card.encoder_file is None else folder / card.encoder_file
            self.encoder = open_encoder(file or card.swap.encoder, kind=card.encoder_kind)
            bank = None if card.bank is None else folder / card.bank
        self.bank = open_bank(bank, encoder=self.encoder)
        guard = EncoderGuard(open_encoder("guard"))
        behind = Defended(self.swapper, defences) if defences else self.swapper
        # What answers with the opposite is driven away from people by its training already.
        follows = self.encoder if self.swapper.answers == "swap" else None
        self.aligner = open_aligner()
        # It was shown faces as soft as the package's own swapper draws them.
        packaged = open_enlarger() if str(swapper) == packaged_swapper() else None
        self.enlarger = packaged if packaged is not None and packaged.side == self.swapper.side else None
        self.imposer = Imposer(behind, self.swapper.template, guard, follows, self.enlarger)
        self._guard = guard.encoder
        self._reader = Probe.load(READER, guard.encoder.sha256)
        self._truncated = truncator_of(swapper)
        self._defences = tuple(map(str, defences))

    def wardrobe(self, plan: Plan) -> Wardrobe:
        """What the people of a Plan wear.

        Raises:
            PlanError, BankError: see `identity.resolve`.
        """
        worn = resolve(plan, self.bank)
        apparent = {person.id: person.apparent for person in plan.people}
        identities = {id: self.condition(anchor.face, apparent[id]) for id, anchor in worn.items()}
        return Wardrobe(self.imposer, identities, self._defences)

    def condition(self, faces: Vectors, apparent: ArrayLike | None = None, *, truncated: bool = True) -> Vectors:
        """What the swapper is to be given so that these faces come out: unit vectors (d,) or (n, d), shaped alike.

        Args:
            faces: of the bank.
            apparent: how old and how much like a woman's they are to look, from `apparent`, (2,) or (n, 2); None for
                any age and sex.
            truncated: as the swapper's card has it (`identity.truncation`); False gives them whole.
        """
        wanted = faces
        if truncated and self._truncated is not None:
            wanted = self._truncated(faces, None if apparent is None else np.asarray(apparent, np.float32))
        return wanted if self.swapper.answers == "swap" else -wanted

    def apparent(self, crops: NDArray[np.uint8]) -> Vectors:
        """How old, and how much like a woman, somebody looks: coarse scores (2,), see `identity.attributes`.

        Args:
            crops: of that one person, RGB uint8 (n, 112, 112, 3), aligned to the ArcFace template; their mean counts.
        """
        return coarse(self._reader.scores(self._guard.embed_crops(crops)).mean(axis=0))

    @property
    def holds_attributes(self) -> bool:
        """Whether its faces are drawn as old, and as much like a man's or a woman's, as they are told to be."""
        return self._truncated is not None and self._truncated.holds
