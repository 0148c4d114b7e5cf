"""What a Plan calls a fabricated face, and the face that a name stands for.

A Plan names the bank by the first digits of its hash and the face by its row, and holds no vector: with the bank in
hand anybody may render it, and without the bank it says nothing.
"""

import re

import numpy as np

from masquerade.errors import BankError, PlanError
from masquerade.identity.anchors import Anchor
from masquerade.identity.bank import Bank
from masquerade.plan import Plan

_DIGITS = 12
_NAME = re.compile(rf"bank ([0-9a-f]{{{_DIGITS}}}) member (0|[1-9][0-9]{{0,8}})")


def anchor_name(anchor: Anchor, bank: Bank) -> str:
    """`bank <sha12> member <row>`.

    Raises:
        BankError: the face is no member of the bank but was moved to an exact distance; only the person's embedding
            could find it again, and a Plan holds none.
    """
    # Not to the last bit: a vault may have been filled by another machine's arithmetic.
    if anchor.member >= len(bank.members) or not np.allclose(anchor.face, bank.members[anchor.member], atol=1e-5):
        raise BankError(
            f"the face drawn toward member {anchor.member} is none of the bank's own, and a Plan cannot name it",
            hint="Choose faces without an exact distance",
        )
    return f"bank {bank.info.sha256[:_DIGITS]} member {anchor.member}"


def resolve(plan: Plan, bank: Bank) -> dict[int, Anchor]:
    """The face of everyone in the Plan who is to wear one, by person id.

    Who is kept is not in it, nor who has no anchor: those are redacted.

    Raises:
        PlanError: an anchor is no name, or no member of the bank.
        BankError: it is of another bank.
    """
    named = {p.id: p.anchor for p in plan.people if p.anchor is not None and p.action == "replace"}
    return {id: _read(name, id, bank) for id, name in named.items()}


def _read(name: str, person: int, bank: Bank) -> Anchor:
    match = _NAME.fullmatch(name)
    if match is None:
        raise PlanError(f"person {person} has the anchor {name!r}", hint="Write 'bank <12 digits> member <number>'")
    if not bank.info.sha256.startswith(match[1]):
        raise BankError(
            f"person {person} wears a face of the bank {match[1]}, and this is {bank.info.sha256[:_DIGITS]}",
            hint="Give the bank that the Plan was made with, or run `masquerade analyze` again",
        )
    member = int(match[2])
    if member >= len(bank.members):
        raise PlanError(f"person {person} wears member {member} of a bank of {len(bank.members)}")
    return Anchor(member, bank.members[member])
