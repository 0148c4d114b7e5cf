"""What an adversary tries who has the anonymized picture: each attack a pure function of vectors or crops.

`train.attack` is the one that has to be trained, the reconstruction attack; what it trained is run here.
"""

from masquerade.audit.attacks.detection import Roc, embedding_change, picture_change, roc
from masquerade.audit.attacks.gallery import Guesses, nearest_neighbour, parrot
from masquerade.audit.attacks.leakage import outside_only
from masquerade.audit.attacks.linkage import Averaged, BroughtBack, Means, averaging, brought_back
from masquerade.audit.attacks.matching import found_at_far, negation
from masquerade.audit.attacks.reconstruction import Adversary, open_adversary
from masquerade.audit.attacks.translation import fit_translation, translated

__all__ = [
    "Adversary",
    "Averaged",
    "BroughtBack",
    "Guesses",
    "Means",
    "Roc",
    "averaging",
    "brought_back",
    "embedding_change",
    "fit_translation",
    "found_at_far",
    "nearest_neighbour",
    "negation",
    "open_adversary",
    "outside_only",
    "parrot",
    "picture_change",
    "roc",
    "translated",
]
