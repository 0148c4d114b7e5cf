"""Where weights come from (cards, store) and the engines that run them (runtime)."""

from masquerade.models.cards import Asset, InputSpec, MediaCard, WeightCard, asset, assets, card
from masquerade.models.runtime import (
    PROVIDERS,
    Engine,
    Parity,
    Port,
    Precision,
    Session,
    check_precision,
    compare,
    cpu_flags,
    has_bfloat16,
    open_session,
    precision_for,
)
from masquerade.models.store import State, cache_folder, fetch, is_offline, location, state

__all__ = [
    "PROVIDERS",
    "Asset",
    "Engine",
    "InputSpec",
    "MediaCard",
    "Parity",
    "Port",
    "Precision",
    "Session",
    "State",
    "WeightCard",
    "asset",
    "assets",
    "cache_folder",
    "card",
    "check_precision",
    "compare",
    "cpu_flags",
    "fetch",
    "has_bfloat16",
    "is_offline",
    "location",
    "open_session",
    "precision_for",
    "state",
]
