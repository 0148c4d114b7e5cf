"""The probe that reads age and sex off an encoder's embeddings (`identity.attributes`), as it travels with the package.

python -m masquerade.train.attributes guard utkface-128.zip -o src/masquerade/models/packaged/guard-attributes.npz
"""

import argparse
import sys
from pathlib import Path

from masquerade.faces.embed import open_encoder
from masquerade.identity.bank import learn_probe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoder", help="a card of the package")
    parser.add_argument("archive", type=Path, help="zip of aligned square crops, named as UTKFace names them")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    encoder = open_encoder(options.encoder)
    probe = learn_probe(encoder, options.archive)
    probe.save(options.output, encoder.sha256)
    sys.stdout.write(probe.info.model_dump_json(indent=1) + "\n")


if __name__ == "__main__":
    main()
