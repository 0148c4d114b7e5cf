"""In which directions identities move the age and the sex of the face that a swapper draws (`identity.truncation`).

python -m masquerade.train.directions swapper celeba-train-128.zip \\
    -o src/masquerade/models/packaged/swapper-directions.npz

Not asked of the identities, in which an encoder may hold little of either, but of what comes out: many faces are given
many identities, and the packaged guard's probe reads the results. Of no face that anything is measured on.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from masquerade.faces.embed import open_encoder
from masquerade.identity.attributes import READER, Probe
from masquerade.identity.bank import open_bank
from masquerade.identity.truncation import save_directions
from masquerade.media.files import sha256
from masquerade.swap.blend import to_pixels
from masquerade.swap.impose import GUARD_SIDE
from masquerade.swap.neural import model_of, open_swapper
from masquerade.train.data import at_side, read_archive

_BATCH = 16
_HELD_OUT = 4
"""One target in so many says how well the directions foretell what is drawn."""
_RIDGE = 1.0
_SEED = 5

Vectors = NDArray[np.float32]


def slopes(told: Vectors, drawn: Vectors, ridge: float = _RIDGE) -> Vectors:
    """How the scores of what is drawn follow what was told, whatever the target is: ridge regression, (d, k).

    Args:
        told: (rounds, targets, d); in each round every target is told something else.
        drawn: scores, (rounds, targets, k).
    """
    x, y = (np.reshape(values - values.mean(axis=0), (-1, values.shape[-1])) for values in (told, drawn))
    return np.asarray(np.linalg.solve(x.T @ x + ridge * np.eye(x.shape[1]), x.T @ y), np.float32)


def explained(slope: Vectors, told: Vectors, drawn: Vectors) -> Vectors:
    """Share of the variance of the scores that the slopes foretell, (k,); arguments as for `slopes`."""
    x, y = (values - values.mean(axis=0) for values in (told, drawn))
    return np.asarray(1 - ((y - x @ slope) ** 2).sum(axis=(0, 1)) / (y**2).sum(axis=(0, 1)), np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("swapper", help="a card of the package, or your own file")
    parser.add_argument("archive", type=Path, help="zip of aligned crops, <person>/<picture>")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"), help="folder of decoded archives")
    parser.add_argument("--targets", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=12, help="identities that each target is given")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    swapper, bank, guard = open_swapper(options.swapper), open_bank(), open_encoder("guard")
    weights = Probe.load(READER, guard.sha256).weights.astype(np.float32)
    rng = np.random.default_rng(_SEED)
    archive = read_archive(options.archive, options.cache, labelled=True)
    rows = np.sort(rng.choice(len(archive), options.targets, replace=False))
    crops = at_side(archive.faces[rows], swapper.side).astype(np.float32).transpose(0, 3, 1, 2) / 127.5 - 1
    share = 1.0 if swapper.truncation is None else swapper.truncation.identity
    told = share * bank.members[rng.integers(len(bank.members), size=(options.rounds, options.targets))]

    def drawn(identities: Vectors) -> Vectors:
        made = [
            to_pixels(swapper.swap(np.ascontiguousarray(crops[i : i + _BATCH]), identities[i : i + _BATCH]).crops)
            for i in range(0, len(crops), _BATCH)
        ]
        faces = at_side(np.concatenate(made).transpose(0, 2, 3, 1), GUARD_SIDE)
        # Unclipped, so that what looks very much like a man still differs from what looks more so.
        return np.asarray(guard.embed_crops(faces) @ weights[:, :-1].T + weights[:, -1], np.float32)

    scores = np.stack([drawn(identities) for identities in told])
    held = np.arange(options.targets) % _HELD_OUT == 0
    foretold = explained(slopes(told[:, ~held], scores[:, ~held]), told[:, held], scores[:, held])
    slope = slopes(told, scores)
    save_directions(options.output, (slope / np.linalg.norm(slope, axis=0)).T, sha256(model_of(options.swapper)))
    sys.stdout.write(f"of the variance of what is drawn: age {foretold[0]:.2f}, sex {foretold[1]:.2f}\n")


if __name__ == "__main__":
    main()
