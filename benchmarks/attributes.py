"""Off whose embeddings can age and sex be read? Probes learnt on UTKFace, asked about faces of another archive.

    python benchmarks/attributes.py utkface-128.zip celeba-val-128.zip --encoder driver --encoder guard [--encoder ONNX]

The archive asked about has no labels, so probes are held against each other: two encoders that were never taught age
or sex agree only by what the faces show. About a minute an encoder on one core.
"""

import argparse
from itertools import combinations
from pathlib import Path

import numpy as np

from masquerade.faces.embed import open_encoder
from masquerade.identity.bank import embed_archive, learn_probe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labelled", type=Path, help="zip of crops named as UTKFace names them")
    parser.add_argument("archive", type=Path, help="zip of crops, <person>/<picture>")
    parser.add_argument("--encoder", action="append", required=True, help="a card of the package, or your own file")
    options = parser.parse_args()
    read = {}
    print("| encoder | age, error in years (chance) | sex right (chance) |\n|---|---|---|")
    for name in options.encoder:
        encoder = open_encoder(name)
        probe = learn_probe(encoder, options.labelled)
        info = probe.info
        read[encoder.name] = probe.scores(embed_archive(encoder, options.archive)[0])
        print(
            f"| {encoder.name} | {info.age_error:.1f} ({info.age_chance:.1f}) | {info.sex_right:.3f} "
            f"({info.sex_chance:.3f}) |",
            flush=True,
        )
    print(f"\nOf {len(next(iter(read.values())))} other faces:\n\n| encoders | the same sex | age, r |\n|---|---|---|")
    for (one, a), (other, b) in combinations(read.items(), 2):
        same = ((a[:, 1] > 0.5) == (b[:, 1] > 0.5)).mean()
        print(f"| {one}, {other} | {same:.3f} | {np.corrcoef(a[:, 0], b[:, 0])[0, 1]:.2f} |")


if __name__ == "__main__":
    main()
