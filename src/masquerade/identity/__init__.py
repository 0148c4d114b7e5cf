"""Faces → who becomes whom: tracks, fabricated identities, and the keys that choose among them."""

from masquerade.identity.anchors import Anchor, attribute_penalty, choose_anchor, safe_window, slerp_to_distance
from masquerade.identity.bank import (
    Bank,
    BankInfo,
    IdentityModel,
    fit_distribution,
    make_bank,
    open_bank,
    sample_bank,
)
from masquerade.identity.casting import Casting, Limits, Match, Reference, Remarks, cast
from masquerade.identity.keyring import KEEP, Keyring, Policy
from masquerade.identity.motion import camera_motion, scene_cut
from masquerade.identity.naming import anchor_name, resolve
from masquerade.identity.running import GOOD, Likeness
from masquerade.identity.tracker import START_SCORE, Tracker
from masquerade.identity.vault import Entry, Key, Vault, make_key

__all__ = [
    "GOOD",
    "KEEP",
    "START_SCORE",
    "Anchor",
    "Bank",
    "BankInfo",
    "Casting",
    "Entry",
    "IdentityModel",
    "Key",
    "Keyring",
    "Likeness",
    "Limits",
    "Match",
    "Policy",
    "Reference",
    "Remarks",
    "Tracker",
    "Vault",
    "anchor_name",
    "attribute_penalty",
    "camera_motion",
    "cast",
    "choose_anchor",
    "fit_distribution",
    "make_bank",
    "make_key",
    "open_bank",
    "resolve",
    "safe_window",
    "sample_bank",
    "scene_cut",
    "slerp_to_distance",
]
