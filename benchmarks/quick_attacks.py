"""What can be told of anonymized faces without training a network: the attacks of `audit.attacks`, on real faces.

    python benchmarks/quick_attacks.py FACES [--encoder guard --encoder dlib.onnx] [--people 40]

FACES are aligned crops as PERSON/PHOTO, a folder or a zip, of people nobody trained on; those with four photos or more
are taken. Half of them are candidates: of each the adversary has the first two photos, and is shown the third and
fourth, anonymized under a key that she does not know, each photo with a face of its own. She has the tool, so she
anonymizes her own photos, also each with a face of its own. The other half are people of hers, from whom she learns
what the tool does to a recogniser's vectors. Their photos serve as tracks, too: each person's wear one face, and the
means of what recognisers say of them are compared, as `masquerade audit` compares the means over a track.
"""

import argparse
from collections import Counter
from pathlib import Path

import numpy as np

from masquerade.audit.attacks import (
    Means,
    brought_back,
    fit_translation,
    found_at_far,
    nearest_neighbour,
    negation,
    outside_only,
    parrot,
    translated,
)
from masquerade.audit.intervals import Estimate
from masquerade.audit.reproduction import find_faces, look
from masquerade.audit.reproduction.faces import Seen, Vectors, cropped, fabricated, put_on
from masquerade.audit.retrieval import Probes, linkability
from masquerade.faces.embed import Encoder, open_encoder
from masquerade.models.cards import packaged_swapper
from masquerade.pipeline.tailor import Tailor

PHOTOS = 4
FAR = 1e-3


def anonymized(tailor: Tailor, seen: Seen, key: str, *, one_each: bool = False) -> tuple[Seen, Seen]:
    """(before, after) of the faces that can be swapped, each photo or each person with a fabricated face of its own."""
    subjects = [f"{key} {name} {0 if one_each else number}" for number, name in enumerate(seen.people)]
    faces = fabricated(tailor, tailor.encoder.embed_crops(seen.crops), subjects)
    pictures, done = put_on(tailor, seen, faces)
    before = seen.only(done)
    return before, Seen(pictures[done], before.people, before.files, 0)


def shown(what: str, share: Estimate | None, chance: float) -> None:
    if share is not None:
        print(f"| {what} | {share.value:.3f} ({share.low:.3f}–{share.high:.3f}) | {chance:.3f} | {share.count} |")


def attack(
    judge: Encoder,
    photos: Seen,
    probes: tuple[Seen, Seen],
    lessons: tuple[Seen, Seen],
    strangers: tuple[Seen, Seen],
    tracks: tuple[Seen, Seen],
) -> None:
    """One recogniser's table."""

    def vectors(seen: Seen) -> Vectors:
        return judge.embed_crops(cropped(seen.pictures))

    before, after = (vectors(one) for one in probes)
    whose, gallery = probes[0].people, vectors(photos)
    threshold = judge.threshold(FAR)
    known = set(lessons[1].people.tolist())
    listed = np.array([name in known for name in whose])
    print(f"\n{judge.name}\n\n| attack | right | by chance | faces |\n|---|---|---|---|")
    if (found := nearest_neighbour(before, whose, gallery, photos.people)) is not None:
        shown("nearest photo, of the original itself", found.right, found.chance)
    if (found := nearest_neighbour(after, whose, gallery, photos.people)) is not None:
        shown("nearest photo", found.right, found.chance)
        shown("among the nearest ten", found.among_first, min(1.0, 10 * found.chance))
    if (found := nearest_neighbour(-after, whose, gallery, photos.people)) is not None:
        shown("nearest photo, negated", found.right, found.chance)
    found = parrot(vectors(lessons[1]), lessons[1].people, after[listed], whose[listed])
    if found is not None:
        shown("parrot", found.right, found.chance)
        shown("parrot, among the first ten", found.among_first, min(1.0, 10 * found.chance))
    learnt = fit_translation(vectors(strangers[1]), vectors(strangers[0]))
    if (found := nearest_neighbour(translated(learnt, after), whose, gallery, photos.people)) is not None:
        shown("nearest photo, after translation", found.right, found.chance)
    shown("own photo at FAR 1e-3", found_at_far(after, before, whose, FAR)[0], FAR)
    shown("own photo at the recogniser's threshold, negated", negation(after, before, whose, threshold), FAR)
    around = judge.embed_crops(outside_only(photos.crops)), judge.embed_crops(outside_only(probes[0].crops))
    if (found := nearest_neighbour(around[1], whose, around[0], photos.people)) is not None:
        shown("nearest photo, by hair, ears and background alone", found.right, found.chance)
    # Two photos of one person under two faces: can it be seen that they are one person's?
    single = np.array([f"{name} {i}" for i, name in enumerate(whose)])
    links = linkability(Probes(single, single, before, after), threshold)
    strange = links.strangers.value if links.strangers else 0.0
    shown("two photos of one person linked", links.linked, strange)
    originals, swapped = (vectors(one) for one in tracks)
    blank = judge.embed_crops(outside_only(cropped(tracks[1].pictures)))
    names = tracks[0].people
    for what, rows in (("untouched", originals), ("swapped", swapped), ("swapped, without the face", blank)):
        means = Means.of(names, rows), Means.of(names, originals)
        back = brought_back(*means, threshold, FAR, least=2)
        if back is not None and back.adapted:
            shown(f"means of a person's photos, {what}, at FAR 1e-3", back.found, FAR)
        # At a rate that no number of people shows, the threshold stays the recogniser's.
        back = brought_back(*means, threshold, 1e-9, least=2)
        if back is not None and back.strangers is not None:
            shown("the same at the recogniser's threshold", back.found, back.strangers.value)


def main() -> None:
    """Print a table for each recogniser."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path)
    parser.add_argument("--encoder", action="append", help="guard, driver, or a file with a card")
    parser.add_argument("--people", type=int, default=40, help="candidates; as many others are learnt from")
    options = parser.parse_args()
    swapper = packaged_swapper()
    assert swapper is not None, "this package brings no swapper"
    tailor = Tailor(swapper)
    items = find_faces(options.faces).items
    many = sorted(name for name, count in Counter(item.person for item in items).items() if count >= PHOTOS)
    people = [many[i] for i in np.linspace(0, len(many) - 1, 2 * options.people).round().astype(int)]
    by_person = {name: [item for item in items if item.person == name][:PHOTOS] for name in people}

    def seen(names: list[str], photos: slice) -> Seen:
        some = [item for name in names for item in by_person[name][photos]]
        return look(some, tailor.swapper.side, None, lambda done, total: None)

    candidates, others = people[::2], people[1::2]
    photos = seen(candidates, slice(0, 2))
    probes = anonymized(tailor, seen(candidates, slice(2, 4)), "the key")
    hers = seen(others, slice(0, PHOTOS))
    lessons, strangers = (anonymized(tailor, one, "hers") for one in (photos, hers))
    tracks = anonymized(tailor, hers, "tracks", one_each=True)
    print(
        f"{len(candidates)} candidates, {len(photos)} of their photos, {len(probes[1])} anonymized ones; "
        f"{len(strangers[1])} faces of {len(others)} others"
    )
    for name in options.encoder or ["guard"]:
        attack(open_encoder(name), photos, probes, lessons, strangers, tracks)


if __name__ == "__main__":
    main()
