"""How often a photo keeps the person it shows, keeps a stranger, or misses the one to replace.

    python benchmarks/by_photo.py FACES.zip [--encoder driver] [--rounds 10]

FACES.zip holds aligned crops as PERSON/PICTURE of people the encoder was not trained on, five or more of each. In every
round each person's pictures are shuffled; some are the photos handed in, three others make up the person in the video.
Every pair of different people is a stranger met. Pictures of one person in one video resemble each other more than
these do, so what is kept in truth is kept more often; a stranger is kept as often.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from masquerade.faces.embed import open_encoder
from masquerade.identity import Limits
from masquerade.identity.bank import embed_archive

SEEN = 3
"""Pictures that make up a person in the video."""


def mean(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """(people, pictures, d) → unit vectors (people, d)."""
    sums = vectors.sum(axis=1)
    unit: NDArray[np.float32] = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    return unit


def main() -> None:
    """Prints a markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path)
    parser.add_argument("--encoder", default="driver")
    parser.add_argument("--rounds", type=int, default=10)
    args = parser.parse_args()
    encoder = open_encoder(args.encoder)
    limits = Limits.of(encoder)
    embeddings, whose = embed_archive(encoder, args.faces)
    rng = np.random.default_rng(0)
    counts = np.bincount(whose)
    people = np.flatnonzero(counts >= 2 + SEEN)
    print(
        f"{len(people)} people, {args.rounds} rounds; sure up to {limits.same:.3f}, another from {limits.other:.3f}\n"
    )
    print("| photos | kept by `--exempt` | a stranger kept | missed by `--only` | strangers left alone by `--only` |")
    print("|---|---|---|---|---|")
    for photos in (1, 2):
        rates = []
        for _ in range(args.rounds):
            own = np.stack([rng.permutation(embeddings[whose == person])[: photos + SEEN] for person in people])
            distances = 1 - mean(own[:, :photos]) @ mean(own[:, photos:]).T
            genuine, strangers = np.diag(distances), distances[~np.eye(len(people), dtype=bool)]
            same, other = limits.same, limits.other
            rates.append(
                (
                    (genuine <= same).mean(),
                    (strangers <= same).mean(),
                    (genuine > other).mean(),
                    (strangers > other).mean(),
                )
            )
        kept, false, missed, left = np.mean(rates, axis=0)
        print(f"| {photos} | {kept:.0%} | {false * 1e6:.0f} in a million | {missed:.1%} | {left:.0%} |")


if __name__ == "__main__":
    main()
