"""What somebody without the key can link: two videos of one person, or a fabricated face to the person behind it.

    python benchmarks/linkage.py --encoder driver --faces FACES.zip [--bank BANK.npz] [--people 200]
    python benchmarks/linkage.py [--people 100] [--count 2048]

The attacker knows everything but the key: the encoder, the bank, the distance that was asked for, and a photo of
everyone (not the one the video shows). Each person is in two videos. Three attacks, each scored over all people:

  videos    for a fabricated face of the first video, the most alike of the second
  person    for a fabricated face, the person whose distance from it is most telling: nearest, most opposite (the
            negation attack) or nearest to the distance asked for; the best of the three counts
  circle    for a fabricated face, all great circles through it and a member of the bank, walked back by the distance
            asked for: the person nearest to any end (only where a distance was asked for)

Once with the fabricated identity itself (a leaked Plan, a perfect generator) and once as measured on an output that
lies about 0.3 from it. A cell is the share of people found first, and the AUC of true against false pairs: chance is
1 / people, and 0.5. Distance 1.3 is the thesis's margin m = 0.7, seen from the output. The last row shows what key and
vault together give away: everything.

The first form takes real people, best such as the encoder and the bank were not made from: aligned crops as
PERSON/PICTURE, five or more of each. In the second the people are made up, vectors with the spectrum and spread of a
real encoder's. "Fitting" is a face chosen to fit the person's apparent age and sex, where the bank can tell.
"""

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from masquerade.faces.embed import open_encoder
from masquerade.identity.anchors import slerp_to_distance
from masquerade.identity.bank import (
    Bank,
    EncoderInfo,
    centres,
    embed_archive,
    fit_distribution,
    open_bank,
    sample_bank,
    threshold_at,
)
from masquerade.identity.keyring import SAFETY, Keyring, Policy
from masquerade.identity.vault import Key, Vault, make_key

Vectors = NDArray[np.float32]
TOGETHER = 4
"""People in a video."""


@dataclass(frozen=True, slots=True)
class World:
    """Everyone's mean in the first video, in the second, and on the attacker's photo, row by row; and the bank."""

    videos: tuple[Vectors, Vectors]
    photos: Vectors
    bank: Bank


def unit(vectors: NDArray[np.floating]) -> Vectors:
    """Each row at length 1."""
    out: Vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return out


def made_up(people: int, count: int) -> World:
    """Identities on 128 axes of decaying length, noise of the same shape about each."""
    rng = np.random.default_rng(0)
    spectrum = np.exp(-np.arange(128) / 45)
    axes = np.sqrt(spectrum / spectrum.sum())[:, None] * np.linalg.qr(rng.standard_normal((512, 128)))[0].T

    def seen(identities: Vectors, noise: float) -> Vectors:
        return unit(identities + noise * rng.standard_normal((len(identities), 128)) @ axes)

    training = unit(rng.standard_normal((3000, 128)) @ axes)
    everyone = np.arange(len(training))
    encoder = EncoderInfo(
        name="made-up",
        sha256="0" * 64,
        far_1e3=threshold_at(training, everyone, 1e-3),
        far_1e4=threshold_at(training, everyone, 1e-4),
    )
    bank = sample_bank(
        fit_distribution(training),
        count,
        training_centres=training,
        encoder=encoder,
        min_between=encoder.far_1e3,
        seed=0,
    )
    identities = unit(rng.standard_normal((people, 128)) @ axes)
    return World((seen(identities, 0.3), seen(identities, 0.3)), seen(identities, 0.8), bank)


def from_faces(name: str, faces: Path, bank: Path | None, people: int) -> World:
    """Real people: one picture for the attacker, half of the others for each video."""
    encoder = open_encoder(name, kind="arcface" if Path(name).is_file() else None)
    opened = open_bank(bank, encoder=encoder)
    embeddings, whose = embed_archive(encoder, faces)
    near = (1 - opened.members @ embeddings.T <= opened.info.encoder.far_1e4).mean()
    print(
        f"{opened.info.count} faces of the bank held against {len(embeddings)} photos of {whose.max() + 1} people: "
        f"{near * 1e6:.1f} pairs in a million at the FAR 1e-4 threshold, where two strangers are in 100\n"
    )
    chosen = np.flatnonzero(np.bincount(whose) >= 5)[:people]
    parts: list[list[Vectors]] = [[], [], []]
    for person in chosen:
        own = embeddings[whose == person]
        for part, some in zip(parts, (own[1::2], own[2::2], own[:1]), strict=True):
            part.append(centres(some, np.zeros(len(some), np.int64)))
    first, second, photos = (np.concatenate(part) for part in parts)
    return World((first, second), photos, opened)


def dress(
    world: World, policy: Policy, distance: float | None, fitting: bool, folder: Path
) -> tuple[list[Vectors], Vault | None]:
    """What everyone wears in each of the two videos (each many short ones of a few people)."""
    vault = None
    if policy is Policy.CONSISTENT:
        (folder / "keys").mkdir(parents=True)
        make_key(folder / "keys/key")
        vault = Vault(folder / "vault", Key.from_file(folder / "keys/key"), create=True)
    worn = []
    for video in world.videos:
        faces = np.empty_like(video)
        for start in range(0, len(video), TOGETHER):
            some = {n: video[n] for n in range(start, min(start + TOGETHER, len(video)))}
            keyring = Keyring(
                world.bank, policy, vault=vault, distance=distance, safety=SAFETY if distance is None else 0
            )
            penalties = {n: world.bank.misfit(z) for n, z in some.items()} if fitting else None
            for n, anchor in keyring.assign(some, penalties).items():
                faces[n] = anchor.face
        worn.append(faces)
    return worn, vault


def judge(scores: NDArray[np.floating]) -> tuple[float, float]:
    """(share found first, AUC) of a square matrix of scores whose diagonal holds the true pairs."""
    n = len(scores)
    first = float((scores.argmax(axis=1) == np.arange(n)).mean())
    ranks = rankdata(scores).reshape(n, n)
    auc = (float(np.trace(ranks)) - n * (n + 1) / 2) / (n * (n * n - n))
    return first, auc


def attacks(world: World, faces: tuple[Vectors, Vectors], distance: float | None) -> Iterator[tuple[float, float]]:
    """Videos, person, circle."""
    yield judge(faces[0] @ faces[1].T)
    alike = faces[0] @ world.photos.T
    telling = [alike, -alike] + ([] if distance is None else [-np.abs(1 - alike - distance)])
    yield max((judge(scores) for scores in telling), key=lambda result: result[1])
    if distance is not None:
        best = np.empty_like(alike)
        for i, face in enumerate(faces[0]):
            # Either side: the person may lie before the face or beyond the member.
            for members in (world.bank.members, -world.bank.members):
                ends = slerp_to_distance(face, members[np.abs(members @ face) < 0.9999], distance)
                nearest = (ends @ world.photos.T).max(axis=0)
                best[i] = nearest if members is world.bank.members else np.maximum(best[i], nearest)
        yield judge(best)


def main() -> None:
    """Prints a markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", help="a name or an ONNX file")
    parser.add_argument("--faces", type=Path)
    parser.add_argument("--bank", type=Path, help="of the encoder, where it is not the packaged driver")
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--count", type=int, default=2048, help="faces in the bank of made-up people")
    args = parser.parse_args()
    if (args.encoder is None) != (args.faces is None):
        parser.error("--encoder and --faces go together")
    if args.encoder is None:
        world = made_up(args.people, args.count)
    else:
        world = from_faces(args.encoder, args.faces, args.bank, args.people)
    rng = np.random.default_rng(1)
    encoder, people = world.bank.info.encoder, len(world.photos)
    print(
        f"{people} people (chance {1 / people:.1%}, AUC .50), bank of {world.bank.info.count}, encoder {encoder.name}, "
        f"thresholds {encoder.far_1e3:.3f} (FAR 1e-3) and {encoder.far_1e4:.3f} (FAR 1e-4)\n"
    )
    print("| policy | distance | attacker sees | videos | person | circle |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            (policy, distance, fitting)
            for policy in (Policy.PER_VIDEO, Policy.CONSISTENT)
            for distance, fitting in ((None, False), (None, True), (1.0, False), (1.3, False))
            if world.bank.probe is not None or not fitting
        ]
        for policy, distance, fitting in rows:
            worn, vault = dress(world, policy, distance, fitting, Path(folder) / f"{policy}{distance}{fitting}")
            model = fit_distribution(world.bank.members)
            for sees in ("the identity", "an output"):
                seen = worn
                if sees == "an output":
                    seen = [unit(face + model.sample(people, rng)) for face in worn]
                cells = [f"{first:.0%} / {auc:.2f}" for first, auc in attacks(world, (seen[0], seen[1]), distance)]
                cells += ["–"] * (3 - len(cells))
                asked = f"any{', fitting' if fitting else ''}" if distance is None else f"{distance}"
                print(f"| {policy} | {asked} | {sees} | {' | '.join(cells)} |", flush=True)
        assert vault is not None
        known = {entry.face.tobytes(): entry.embedding for entry in vault.entries()}
        first, auc = judge(np.stack([known[face.tobytes()] for face in worn[1]]) @ world.photos.T)
        print(f"| consistent | {distance} | the identity, key and vault | – | {first:.0%} / {auc:.2f} | – |")


if __name__ == "__main__":
    main()
