"""`masquerade reproduce`: the thesis's tables on the data and with the networks that somebody has."""

from masquerade.audit.reproduction.data import Collection, Item, find_faces
from masquerade.audit.reproduction.faces import Seen, look
from masquerade.audit.reproduction.published import PUBLISHED, Published
from masquerade.audit.reproduction.tables import Reproduction, Setting, reproduce

__all__ = [
    "PUBLISHED",
    "Collection",
    "Item",
    "Published",
    "Reproduction",
    "Seen",
    "Setting",
    "find_faces",
    "look",
    "reproduce",
]
