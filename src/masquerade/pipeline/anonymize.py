"""The whole walk for files: analyze, then render."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from masquerade.faces.detect import Detector, open_detector
from masquerade.media import IMAGE_FORMATS, check_output, check_video_output, codec_of, make_folder
from masquerade.models.cards import cards
from masquerade.pipeline.analyze import analyze
from masquerade.pipeline.batch import MANIFEST, Job, Manifest, Result, find_jobs, run_batch
from masquerade.pipeline.fitting import fit
from masquerade.pipeline.people import Wishes, director_for
from masquerade.pipeline.progress import Progress, silent
from masquerade.pipeline.refine import refine
from masquerade.pipeline.render import Report, render
from masquerade.pipeline.tailor import swapper_for, tailor_for, usual_treatment
from masquerade.plan import Scope, Treatment
from masquerade.swap.defences import Defence
from masquerade.version import __version__


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that decides what the outputs look like.

    Attributes:
        treatment: how faces are replaced; by fabricated ones where the package brings a swapper, else by blur.
        scope: where and when.
        encoder: FFmpeg's name of the video encoder; None chooses one like the source's.
        quality: on that encoder's own scale, smaller is better; None is close to the source.
        wishes: about people: who is kept, and who has which face.
        swapper: puts fabricated faces on people: the name of a card, or a user's own card. The treatment is then for
            who cannot wear one. None: the package's own where the treatment is "swap", and none where it is not.
        mark: whether pictures in which faces are fabricated say so in a corner, for everyone to see.
        defences: around the swapper, against the reconstruction of who was there before.
    """

    treatment: Treatment = field(default_factory=usual_treatment)
    scope: Scope = field(default_factory=Scope)
    encoder: str | None = None
    quality: int | None = None
    wishes: Wishes = field(default_factory=Wishes)
    swapper: str | None = None
    mark: bool = False
    defences: tuple[Defence, ...] = ()


def anonymize(
    inputs: Path | str | Sequence[Path | str],
    output: Path | str,
    settings: Settings | None = None,
    *,
    detector: Detector | None = None,
    progress: Progress = silent,
    tell: Callable[[Result], None] = lambda result: None,
) -> list[Result]:
    """Replaces every face in photos, videos and folders of them.

    Args:
        inputs: files and folders.
        output: a file for one input file, else a folder. Finished files of an earlier run are skipped.
        settings: how, where and when; the default puts a fabricated face on everyone, or blurs where the package
            brings no swapper.
        detector: finds the faces; CenterFace by default, whose weights are fetched once.
        progress: called with (stage, frames done, frames in all) while a file is worked on.
        tell: called after each file.

    Returns:
        One result a file. A file that fails does not stop the others; its result says why.

    Raises:
        InputError: an input does not exist.
        OutputError: the output cannot be used.
        OptionError: there is no such encoder or swapper, or wishes or defences do not go together with the rest.
        WeightsError: the weights of the detector or the swapper cannot be had.

    Example:
        >>> masquerade.anonymize("holiday.jpg", "holiday-masked.jpg")  # doctest: +SKIP
    """
    paths = [inputs] if isinstance(inputs, Path | str) else list(inputs)
    settings = settings or Settings()
    jobs, folder = find_jobs([Path(path) for path in paths], Path(output))
    if settings.encoder is not None:
        codec_of(settings.encoder)
    if folder:
        make_folder(folder)
    check_output(folder / MANIFEST if folder else jobs[0].output)
    detector = detector or open_detector()
    manifest = open_manifest(folder, settings, detector) if folder else None
    tailor = tailor_for(settings.treatment, settings.swapper, settings.defences)
    director = director_for(settings.wishes, detector, tailor)

    def work(job: Job) -> Report:
        check_job(job, settings)
        # Where everyone is redacted alike nobody needs to know who is who: motion will do.
        asked: dict[str, Any] = {"cast": director.cast, "encoder": director.encoder} if director else {"encoder": None}
        plan = analyze(
            job.source, detector, treatment=settings.treatment, scope=settings.scope, progress=progress, **asked
        )
        if tailor and director:
            plan = refine(job.source, plan, detector, tailor.aligner, progress=progress)
            plan = fit(job.source, plan, tailor, director, progress=progress)
        report = render(
            job.source,
            plan,
            job.output,
            encoder=settings.encoder,
            quality=settings.quality,
            wardrobe=tailor.wardrobe(plan) if tailor else None,
            mark=settings.mark,
            progress=progress,
        )
        return replace(report, remarks=director.remarks) if director else report

    return run_batch(jobs, work, manifest, tell=tell)


def check_job(job: Job, settings: Settings) -> None:
    """Find out now, not after hours of analysis, that the output could not be written.

    Raises:
        InputError: the source cannot be opened.
        OutputError: the place or the container cannot hold the output.
        OptionError: the encoder or its quality cannot be had.
    """
    if job.source.suffix.lower() in IMAGE_FORMATS:
        check_output(job.output, inputs=[job.source])
    else:
        check_video_output(job.source, job.output, encoder=settings.encoder, quality=settings.quality)


def open_manifest(folder: Path, settings: Settings, detector: Detector) -> Manifest:
    """The manifest of an output folder, for these settings and this version."""
    swapper = swapper_for(settings.treatment, settings.swapper)
    card = cards().get(swapper) if swapper is not None else None
    decisive = {
        "version": __version__,
        "detector": detector.name,
        "treatment": settings.treatment.model_dump(mode="json"),
        "scope": settings.scope.model_dump(mode="json"),
        "encoder": settings.encoder,
        "quality": settings.quality,
        "wishes": settings.wishes.decisive(),
        "swapper": swapper if card is None else card.sha256,
        "mark": settings.mark,
        "defences": [str(defence) for defence in settings.defences],
    }
    return Manifest(folder, decisive)
