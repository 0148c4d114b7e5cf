"""Tables 5.6 to 5.8: people wear fabricated faces. Is the person found again, also after a reconstruction attack?

"+ ITM" is one face for one person of one file, as the tracker follows them, which is what the product does;
"+ Sampling" a face drawn anew for every frame. Retrieval is `audit.retrieval`'s: the nearest of all originals, the
face's own frame among them, is the person and nearer than the recogniser's threshold.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from masquerade.audit.attacks.reconstruction import Adversary
from masquerade.audit.evidence import trained_with
from masquerade.audit.intervals import Estimate
from masquerade.audit.reproduction.faces import Faces, Seen, Vectors, cropped, fabricated, put_on
from masquerade.audit.retrieval import Probes, drift, retrieve
from masquerade.audit.temporal import Spread
from masquerade.errors import InputError
from masquerade.faces.embed import Encoder
from masquerade.pipeline.tailor import Tailor
from masquerade.swap.defences import Defence, Defended

FAR = 1e-3


@dataclass(frozen=True, slots=True)
class Anonymized:
    """What one recogniser finds in anonymized faces.

    Attributes:
        how: "ITM", "Sampling", or a defence.
        recogniser: who looked.
        took_part: whether it took part in training swappers.
        threshold: its cosine distance at FAR 1e-3.
        id, neg_id: shares of the faces in which the person is found, plainly and by negation.
        attacked: the same in what an adversary makes of them; None where none was asked.
        steps: M_tc; None where nobody was seen twice in one video.
        failed: faces that could not be swapped, and are in no figure.
    """

    how: str
    recogniser: str
    took_part: bool
    threshold: float
    id: Estimate
    neg_id: Estimate
    attacked: Estimate | None
    steps: Spread | None
    failed: int


def real_steps(seen: Seen, judges: list[Encoder]) -> list[Spread | None]:
    """M_tc of the originals, for each recogniser."""
    return [_steps(seen.people, judge.embed_crops(seen.crops)) for judge in judges]


def measure_anonymized(
    tailor: Tailor,
    seen: Seen,
    how: str,
    judges: list[Encoder],
    *,
    adversary: Adversary | None = None,
    defences: tuple[Defence, ...] = (),
    timed: bool = False,
) -> list[Anonymized]:
    """One for each recogniser.

    Args:
        seen: faces of people whose names are unique over all files.
        how: "Sampling" draws a fabricated face for each picture, everything else one for each person.
        adversary: who tries to undo it.
        defences: that the swapper stands behind.
        timed: whether one person's faces follow each other in time.

    Raises:
        InputError: no face can be swapped.
        OptionError: a recogniser is not calibrated at FAR 1e-3.
    """
    subjects = [f"{who} {i}" for i, who in enumerate(seen.people)] if how == "Sampling" else list(seen.people)
    identities = fabricated(tailor, tailor.encoder.embed_crops(seen.crops), subjects)
    # The noise of a benchmark may be known, so that it can be repeated.
    behind = Defended(tailor.swapper, defences, seed=0) if defences else None
    pictures, done = put_on(tailor, seen, identities, behind=behind)
    if not done.any():
        raise InputError(f"none of {len(done)} faces could be swapped")
    before, after = seen.only(done), cropped(pictures[done])
    guesses = None if adversary is None else adversary.guess(after)
    return [_found(how, judge, before, after, guesses, timed=timed, failed=int((~done).sum())) for judge in judges]


def _found(
    how: str, judge: Encoder, before: Seen, after: Faces, guesses: Faces | None, *, timed: bool, failed: int
) -> Anonymized:
    originals, anonymized = judge.embed_crops(before.crops), judge.embed_crops(after)
    threshold = judge.threshold(FAR)

    def searched(vectors: Vectors) -> tuple[Estimate, Estimate]:
        found = retrieve(Probes(before.people, before.files, originals, vectors), threshold, FAR)
        assert found is not None  # there are faces
        return found.id, found.neg_id

    plain, negated = searched(anonymized)
    return Anonymized(
        how=how,
        recogniser=judge.name,
        took_part=trained_with(judge),
        threshold=threshold,
        id=plain,
        neg_id=negated,
        attacked=None if guesses is None else searched(judge.embed_crops(guesses))[0],
        steps=_steps(before.people, anonymized) if timed else None,
        failed=failed,
    )


def _steps(people: NDArray[np.str_], vectors: Vectors) -> Spread | None:
    found = drift(people, vectors)
    return None if found is None else found[0].steps
