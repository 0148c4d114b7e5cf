"""Faces → who becomes whom: tracks, fabricated identities, and the keys that choose among them."""

from masquerade.identity.anchors import Anchor, attribute_penalty, choose_anchor, safe_window, slerp_to_distance
from masquerade.identity.bank import Bank, BankInfo, IdentityModel, fit_distribution, make_bank, sample_bank
from masquerade.identity.keyring import Keyring, Policy
from masquerade.identity.motion import camera_motion, scene_cut
from masquerade.identity.tracker import START_SCORE, Tracker
from masquerade.identity.vault import Entry, Key, Vault, make_key

__all__ = [
    "START_SCORE",
    "Anchor",
    "Bank",
    "BankInfo",
    "Entry",
    "IdentityModel",
    "Key",
    "Keyring",
    "Policy",
    "Tracker",
    "Vault",
    "attribute_penalty",
    "camera_motion",
    "choose_anchor",
    "fit_distribution",
    "make_bank",
    "make_key",
    "safe_window",
    "sample_bank",
    "scene_cut",
    "slerp_to_distance",
]
