"""Whether our FaceDancer computes what another implementation computed with the same weights.

    python benchmarks/facedancer_parity.py WEIGHTS.h5 REFERENCE.npz [--tolerance 1e-4]

The weights are a Keras file of the generator (`model.save("weights.h5")`, random or trained, any configuration of table
5.4). The reference holds what that model was given and what it gave, as it stands in Keras (channels last):

    numpy.savez("reference.npz", target=target, identity=identity, output=model([target, identity]).numpy())

Prints the largest and the mean difference and exits with 1 where the largest is above the tolerance.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

from masquerade.nets.import_keras import import_facedancer


def main() -> None:
    """Prints one row of a markdown table for the pair of files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("reference", type=Path)
    parser.add_argument("--tolerance", type=float, default=1e-4)
    args = parser.parse_args()
    name, net = import_facedancer(args.weights)
    with np.load(args.reference) as reference:
        target, identity, output = (reference[key] for key in ("target", "identity", "output"))
    with torch.inference_mode():
        crops = torch.from_numpy(target.transpose(0, 3, 1, 2).copy())
        ours = net.eval()(crops, torch.from_numpy(identity)).crops.permute(0, 2, 3, 1).numpy()
    difference = np.abs(ours - output)
    print("| configuration | pictures | reference, standard deviation | largest difference | mean difference |")
    print("|---|---|---|---|---|")
    print(f"| {name} | {len(target)} | {output.std():.3f} | {difference.max():.1e} | {difference.mean():.1e} |")
    sys.exit(int(difference.max() > args.tolerance))


if __name__ == "__main__":
    main()
