"""`masquerade calibrate`: how far an encoder can be trusted, on people whose names are known."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.table import Table

from masquerade.audit.people import embed_photos, read_sample
from masquerade.audit.verification import FARS, calibrate, figures, pair_distances, pairs_needed
from masquerade.cli import common
from masquerade.cli.common import counted, out, print_json, say
from masquerade.errors import InputError, OptionError
from masquerade.faces.embed import Encoder, open_encoder
from masquerade.media import atomic_output, check_output
from masquerade.models.cards import (
    FileCard,
    Threshold,
    file_card_path,
    file_card_text,
    read_card,
    with_calibration,
)

_PLACES = 6
"""Decimals of a threshold in a card: far finer than its interval."""


def calibrate_command(
    source: common.KnownPeople,
    encoder: common.EncoderName = "driver",
    kind: common.EncoderKind = None,
    images: common.Images = None,
    aligned: common.Aligned = False,
    save: Annotated[
        bool, typer.Option("--save", help="Keep the thresholds in a card beside the encoder's own file.")
    ] = False,
    write_card: Annotated[
        Path | None, typer.Option(help="Put the thresholds into this card of the encoder.", show_default=False)
    ] = None,
    detector: common.DetectorName = "centerface",
    weights: common.Weights = None,
    engine: common.Engine = "auto",
    provider: common.Provider = None,
    threads: common.Threads = 0,
    quiet: common.Quiet = False,
    as_json: common.Json = False,
) -> None:
    """Measure an encoder's thresholds and error rates on photos of known people.

    The intervals hold 95 of 100 times; people, not pairs, are resampled for them.
    """
    judge = open_encoder(encoder, kind=kind, engine=engine, provider=provider, threads=threads)
    card = _card_to_write(judge, encoder, save, write_card)
    sample = read_sample(source, images)
    finder = None if aligned else common.build_detector(detector, weights, engine, provider, threads)
    with common.bar(quiet or as_json) as progress:
        seen = embed_photos(sample.photos, [judge], finder, lambda done, total: progress("photos", done, total))
    pairs, folds = sample.pairs(seen.found)
    distances = pair_distances(seen.vectors[0], pairs.first, pairs.second)
    found = figures(distances, pairs.same, folds=folds)
    if card is not None and not found.at:
        raise InputError(f"{found.impostors} impostor pairs show no threshold to keep", path=source, hint="Give more")
    names, people = np.unique([photo.person for photo in seen.found], return_inverse=True)
    both = np.stack([people[pairs.first], people[pairs.second]], axis=1)[~pairs.same]
    data = f"{sample.name}: {len(seen.found)} faces of {len(names)} people"
    shown = [entry.far for entry in found.at]
    thresholds = [_rounded(entry) for entry in calibrate(distances[~pairs.same], both, data=data, fars=shown)]
    refused = {far: pairs_needed(far) for far in FARS if far not in shown}
    if card is not None:
        with atomic_output(card) as temporary:
            temporary.write_text(_card_text(card, judge, thresholds, save), encoding="utf-8")
    if as_json:
        print_json(
            {
                "encoder": judge.name,
                "sha256": judge.sha256,
                "data": data,
                "faces": len(seen.found),
                "people": len(names),
                "not_found": [photo.path for photo in seen.missed],
                "genuine": found.genuine,
                "impostors": found.impostors,
                "eer": found.eer,
                "eer_threshold": found.eer_threshold,
                "accuracy": found.accuracy,
                "accuracy_error": found.accuracy_error,
                "thresholds": [
                    {**entry.model_dump(exclude={"data"}), "tar": at.tar}
                    for entry, at in zip(thresholds, found.at, strict=True)
                ],
                "refused": [{"far": far, "needs_pairs": needs} for far, needs in refused.items()],
                "card": card,
            }
        )
        return
    if quiet:
        return
    table = Table("FAR", "distance below", "95 % interval", "TAR", box=None, pad_edge=False)
    for entry, at in zip(thresholds, found.at, strict=True):
        table.add_row(
            f"{entry.far:g}", f"{entry.threshold:.4f}", f"{entry.low:.4f} – {entry.high:.4f}", f"{100 * at.tar:.2f} %"
        )
    say(f"{judge.name} on {data}; {found.genuine} genuine and {found.impostors} impostor pairs", out)
    say(f"EER {100 * found.eer:.2f} % at {found.eer_threshold:.4f}", out)
    say(f"accuracy {100 * found.accuracy:.2f} ± {100 * found.accuracy_error:.2f} %", out)
    out.print(table)
    for far, needs in refused.items():
        say(f"FAR {far:g} needs {needs} impostor pairs, and there are {found.impostors}: give more faces", out)
    if seen.missed:
        names_of = ", ".join(photo.name for photo in seen.missed[:5])
        say(f"no face was found in {counted(len(seen.missed), 'photo', 'photos')}, left out: {names_of}", out)
    if card is not None:
        say(f"wrote {card}", out)


def _card_to_write(judge: Encoder, encoder: str, save: bool, write_card: Path | None) -> Path | None:
    """Where the thresholds will be kept; what would fail then fails now."""
    if save and write_card is not None:
        raise OptionError("--save and --write-card exclude each other", hint="Give one of them")
    if write_card is not None:
        try:
            known = read_card(write_card)
        except (OSError, ValueError) as error:
            raise InputError("is no card of weights that can be read", path=write_card) from error
        if known.sha256 != judge.sha256:
            raise OptionError(f"this card is not that of {judge.name}", path=write_card, hint="Compare their sha256")
    elif save and judge.kind is None:
        raise OptionError("--save keeps a card beside an encoder's own file", hint="Here use --write-card CARD.toml")
    card = file_card_path(Path(encoder)) if save else write_card
    if card is not None:
        check_output(card)
    return card


def _card_text(card: Path, judge: Encoder, thresholds: list[Threshold], save: bool) -> str:
    if not save or judge.kind is None:  # a card beside a file is only saved for one whose kind is known
        return with_calibration(card.read_text(encoding="utf-8"), thresholds)
    return file_card_text(FileCard(sha256=judge.sha256, kind=judge.kind, calibration=tuple(thresholds)))


def _rounded(entry: Threshold) -> Threshold:
    numbers = {name: round(getattr(entry, name), _PLACES) for name in ("threshold", "low", "high")}
    return entry.model_copy(update=numbers)
