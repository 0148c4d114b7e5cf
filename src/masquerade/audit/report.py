"""Findings → one page for people, which needs no network, and the same numbers as JSON for machines.

The page says the verdict first, then what it rests on, in plain words. Pictures are reduced to a few colours unless
faces were asked for, because a report must not leak what it audits.
"""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import asdict
from importlib.resources import files
from string import Template
from typing import Any

from masquerade.audit.attacks.linkage import BroughtBack
from masquerade.audit.evidence import LOOKS, SURE
from masquerade.audit.intervals import Estimate
from masquerade.audit.report_charts import distribution_chart, timeline_chart
from masquerade.audit.report_findings import Check, Figure, Findings, Recogniser, allowed, amount
from masquerade.audit.report_markup import Child, Markup, inside, tag
from masquerade.audit.retrieval import Retrieval

FORMAT = "masquerade-audit/2"

NOT_PROTECTED = (
    "body, posture and gait",
    "clothes, tattoos, hair and ears outside the replaced place",
    "the voice, and what is said",
    "name tags, number plates, screens and other text",
    "places, times, and who is with whom",
    "people reflected in mirrors and windows, or shown on pictures, where no face was found",
)

_MOST_LINES = 12
_MOST_ROWS = 20

_PARTS = {
    "trained with": "took part in training masquerade's swappers: shown, but it decides nothing",
    "guard": "decides. It also checks every swapped face before that is written, so of those it finds few",
    "none": "decides. It took no part in making this that masquerade knows of",
}


def as_json(findings: Findings) -> dict[str, Any]:
    """Everything but the pictures, with the same numbers as the page."""
    return {
        "format": FORMAT,
        "verdict": "pass" if findings.passed else "fail",
        "checks": [asdict(check) for check in findings.checks],
        "notes": list(findings.notes),
        "uncovered": {
            "sure": findings.sure,
            "unsure": len(findings.uncovered) - findings.sure,
            "sure_from_score": SURE,
            "faces": [
                {
                    "file": one.file,
                    "time": round(one.time, 3),
                    "box": [round(edge, 1) for edge in one.box],
                    "score": round(one.score, 3),
                    "why": one.why,
                }
                for one in findings.uncovered
            ],
        },
        "recognisers": [{**asdict(one), "decides": one.decides} for one in findings.recognisers],
        "weakest": [
            {
                "person": one.person,
                "time": round(one.time, 3),
                "recogniser": one.recogniser,
                "distance": round(one.distance, 4),
                "ratio": round(one.ratio, 4),
            }
            for one in findings.weakest
        ],
        "timelines": [
            {
                "person": one.person,
                "recogniser": one.recogniser,
                "threshold": one.threshold,
                "times": [round(time, 3) for time in one.times],
                "distances": [round(distance, 4) for distance in one.distances],
            }
            for one in findings.timelines
        ],
        "utility": [asdict(figure) for figure in findings.utility],
        "quality": [asdict(figure) for figure in findings.quality],
        "files": [asdict(file) for file in findings.files],
        "refused": [asdict(one) for one in findings.refused],
        "strays": [asdict(one) for one in findings.strays],
        "not_measured": list(findings.not_measured),
        "not_protected": list(NOT_PROTECTED),
        "policy": findings.policy.model_dump(mode="json"),
        "detector": findings.detector,
        "detector_sha256": findings.detector_sha256,
        "networks": [{"for": task, "name": name, "sha256": digest} for task, name, digest in findings.networks],
        "versions": dict(findings.versions),
    }


# The page


def as_html(findings: Findings, *, faces_shown: bool = False) -> str:
    """The page, a whole HTML file.

    Args:
        findings: of `report_findings.conclude`.
        faces_shown: whether the pictures in the evidence were left clear; the page says which.
    """
    page = Template(files("masquerade.audit").joinpath("templates/report.html").read_text(encoding="utf-8"))
    names = [file.output for file in findings.files]
    about = names[0] if len(names) == 1 else f"{len(names)} files"
    word = "passed" if findings.passed else "failed"
    body = inside(
        [
            tag("h1", f"Audit of face anonymization: {about}"),
            _verdict(findings),
            tag(
                "p",
                tag("span", "Faces can be recognised on this page: keep it as you keep the originals.", class_="no"),
            )
            if faces_shown
            else None,
            _strays(findings),
            _uncovered(findings),
            _weakest(findings, faces_shown),
            _recognition(findings),
            _timelines(findings),
            _figures(
                "What was kept of each face",
                "Whether anonymized faces still look the same way and do the same. The policy need not limit these: a "
                "face that was blurred or painted over keeps none of it, and is not meant to.",
                findings.utility,
            )
            if findings.faces
            else None,
            _figures("How it looks", "Whether one can see that something was replaced.", findings.quality)
            if findings.faces
            else None,
            _limits(findings),
            _sources(findings),
        ]
    )
    return page.substitute(title=inside(f"Audit {word}: {about}"), body=body)


def _verdict(findings: Findings) -> Markup:
    broken = [check for check in findings.checks if not check.passed]
    looked = sum(file.looks for file in findings.files)
    people = len({line.person for line in findings.timelines})
    if findings.passed and not findings.faces:
        said = "No face was found in what was to be protected, so nothing else could be checked."
    elif findings.passed:
        said = "Nothing was found that the policy forbids."
    else:
        said = (
            f"{_counted(len(broken), 'limit', 'limits')} of the policy {'is' if len(broken) == 1 else 'are'} not kept."
        )
    scope = (
        f"In {_counted(looked, 'frame', 'frames')} of {_counted(len(findings.files), 'original', 'originals')} "
        f"{_counted(findings.faces, 'face was', 'faces were')} found, each counted once a frame."
    )
    if findings.faces:
        scope += f" Recognisers could judge {findings.judged} of them, of {_counted(people, 'person', 'people')}."
    return inside(
        [
            tag(
                "div",
                tag("strong", "Passed" if findings.passed else "Failed"),
                f"Faces left uncovered: {findings.sure}. {said}",
                tag("ul", [tag("li", _say(check)) for check in broken]) if broken else None,
                class_=f"verdict {'pass' if findings.passed else 'fail'}",
                role="status",
            ),
            tag("p", scope),
            tag("ul", [tag("li", note) for note in findings.notes]) if findings.notes else None,
            _table(
                "Every limit of the policy",
                ["measured", "", "95 % interval", "allowed", "kept"],
                [
                    [
                        amount(check, check.value),
                        check.said,
                        "" if check.high is None else f"{amount(check, check.low)} to {amount(check, check.high)}",
                        allowed(check),
                        tag("span", "yes" if check.passed else "no", class_="yes" if check.passed else "no"),
                    ]
                    for check in findings.checks
                ],
                numbers={0, 2, 3},
            ),
        ]
    )


def _strays(findings: Findings) -> Markup | None:
    if not findings.strays:
        return None
    return inside(
        [
            tag("h2", "Files that nobody checked"),
            tag(
                "p",
                "These lie in the folder of the outputs and have no original. The audit did not look into them: "
                "anybody may be in them, recognisable. Take them out before the folder is passed on, or audit them "
                "with what they were made of.",
            ),
            _table(
                _first_of(len(findings.strays), _MOST_ROWS),
                ["file", "SHA-256"],
                [[one.name, tag("code", one.sha256)] for one in findings.strays[:_MOST_ROWS]],
            ),
        ]
    )


def _uncovered(findings: Findings) -> Markup:
    """Faces that nobody covered: the worst that can be found, so it comes first."""
    sure = [one for one in findings.uncovered if one.sure]
    unsure = [one for one in findings.uncovered if not one.sure]
    if not findings.uncovered:
        said = "No face was found that was left as it was."
    else:
        said = (
            f"{_counted(len(sure), 'face was left as it was, or lies', 'faces were left as they were, or lie')} where "
            f"the Plan treats nothing; of {_counted(len(unsure), 'more place', 'more places')} the detector is not "
            "sure that there is a face. Each is counted once in each frame that was looked at. Look at these moments "
            "of the output."
        )
    pictures = [
        tag(
            "figure",
            _image(one.picture, "face"),
            tag("figcaption", f"{one.file}{_when(findings, one.file, one.time)}, {one.why}"),
        )
        for one in findings.uncovered
        if one.picture
    ]
    rows = [
        [one.file, f"{one.time:.2f} s", ", ".join(f"{edge:.0f}" for edge in one.box), f"{one.score:.2f}", one.why]
        for one in (sure + unsure)[:_MOST_ROWS]
    ]
    return inside(
        [
            tag("h2", "Faces that were not covered"),
            tag("p", said),
            tag("div", pictures, class_="faces") if pictures else None,
            _table(
                _first_of(len(findings.uncovered), _MOST_ROWS),
                ["file", "at", "box (x1, y1, x2, y2)", "detector's score", "why"],
                rows,
                numbers={1, 3},
            )
            if rows
            else None,
            tag(
                "p",
                f"The audit's own detector ({findings.detector}) looked at {_looked(findings)}. A face counts as left "
                "as it was where it lost no more of its fine detail than what is around it lost to the encoder; as "
                f"sure from a score of {SURE:g}.",
                class_="soft",
            ),
        ]
    )


def _looked(findings: Findings) -> str:
    kinds = {file.kind for file in findings.files}
    said = {"image": "each photo", "video": f"each video about {LOOKS:g} times a second"}
    return " and ".join(words for kind, words in said.items() if kind in kinds)


def _weakest(findings: Findings, faces_shown: bool) -> Markup | None:
    if not findings.weakest:
        return None
    faces = [
        tag(
            "figure",
            tag("div", _image(one.before, "before"), _image(one.after, "after"), class_="pair"),
            tag(
                "figcaption",
                f"{one.person}{_when(findings, one.file, one.time)}, by {one.recogniser}: ",
                tag("span", f"recognised, at {one.ratio:.2f} of its threshold", class_="no")
                if one.ratio < 1
                else f"at {one.ratio:.2f} times its threshold",
            ),
        )
        for one in findings.weakest
    ]
    coarse = (
        "The pictures are coarse on purpose, so that this report can be passed on, as far as its file names can; "
        "--show-faces makes them clear."
    )
    return inside(
        [
            tag("h2", "The weakest faces"),
            tag(
                "p",
                "Of each person the face that came nearest to being recognised, before and after. Below 1 times its "
                "threshold a recogniser takes the two for one person. A number behind a file's name is that of the "
                "person in the Plan, or in what the audit found itself. ",
                None if faces_shown else coarse,
            ),
            tag("div", faces, class_="faces"),
        ]
    )


def _recognition(findings: Findings) -> Markup | None:
    judges = sorted((one for one in findings.recognisers if one.retrieval), key=lambda one: not one.decides)
    if not judges:
        return None
    parts: list[Child] = [
        tag("h2", "Can the people be found again?"),
        tag(
            "p",
            "A recogniser turns a face into a direction; the cosine distance of two directions is 0 for the same "
            "picture, larger the less two faces are alike, and 2 for opposites. How far strangers are apart differs "
            "from recogniser to recogniser, so each has a threshold: below it it takes two faces for one person. Each "
            "anonymized face was searched for among all original faces.",
        ),
    ]
    for one in judges:
        parts.append(_judge(one))
    return inside(parts)


def _judge(one: Recogniser) -> Markup:
    found = one.retrieval
    assert found is not None
    rows: list[Sequence[Child]] = [
        _estimated("Found (ID)", "the nearest original is the person, and nearer than the threshold", found.id),
        _estimated("Found by an adapted threshold", _adapted(one, found), found.adapted),
        _estimated("Found by negation (¬ID)", "the same with the direction turned round", found.neg_id),
        _estimated(
            "Verified", "an original of the person is nearer than the threshold, whoever else is", found.verified
        ),
        _estimated(
            "Nearest, threshold or not (rank-1)", f"chance is about {100 / found.gallery_people:.0f} %", found.rank1
        ),
        _estimated(
            "People recognised at least once", "in any frame that was looked at, plainly or by negation", found.people
        ),
        *_averaged(one),
        _estimated(
            "Taken for somebody else", "an original of another person is nearer than the threshold", found.others
        ),
        _estimated("Linked between files", "tracks of one person whose anonymized faces match", one.links.linked),
        _estimated("Strangers linked between files", "what to compare that with", one.links.strangers),
    ]
    if one.drift is not None:
        after, before = (f"standard deviation {std:.3f}" for std in one.drift_std or ())
        rows.append(_estimated("Change over time (M_tc)", f"{one.drift.gloss}; {after}", one.drift.estimate, ""))
        rows.append(
            _estimated("Change over time of the original", f"what to compare that with; {before}", one.drift.before, "")
        )
    shown = one.distribution
    return inside(
        [
            tag("h3", f"By {one.name}"),
            tag(
                "p",
                f"It {_PARTS[one.part]}. Threshold {one.threshold:.3f} ({one.low:.3f} to {one.high:.3f}), at which it "
                f"takes {100 * one.far:g} % of pairs of strangers for one person (measured on {one.data}). Gallery: "
                f"{found.gallery} original faces of {_counted(found.gallery_people, 'person', 'people')}.",
                class_="soft",
            ),
            distribution_chart(shown, one.threshold) if shown else None,
            _table(None, ["", "measured", "95 % interval", "counted", "people"], rows, numbers={1, 2, 3, 4}),
        ]
    )


def _averaged(one: Recogniser) -> list[Sequence[Child]]:
    """What the mean of a person's frames gives away."""
    found = one.averaged
    if found is None:
        return []
    at = f"at {found.threshold:.3f}" + (
        f", where such means match {100 * one.far:g} % of the strangers"
        if found.adapted
        else ": too few people to say at which distance strangers' means match, so hold it against the next row"
    )
    return [
        _estimated(
            "People found by averaging",
            f"the mean of a person's anonymized faces, {found.faces} of each (median), is nearest to the mean of their "
            f"originals and nearer than the threshold; {at}",
            found.found,
        ),
        _estimated("Strangers who match so", "pairs of two people: what chance gives", found.strangers),
        _estimated("Nearest by averaging", _chance(found), found.nearest),
    ]


def _chance(found: BroughtBack) -> str:
    return f"threshold or not; chance is about {100 / found.candidates:.0f} %"


def _adapted(one: Recogniser, found: Retrieval) -> str:
    if found.adapted_threshold is None:
        return "there are too few faces of different people for one"
    said = (
        f"at {found.adapted_threshold:.3f}, where these very faces match {100 * one.far:g} % of the pairs of strangers"
    )
    return f"{said}; the verdict goes by this" if found.own is found.adapted else said


def _timelines(findings: Findings) -> Markup | None:
    lines = [line for line in findings.timelines if len(line.times) > 1]
    if not lines:
        return None
    return inside(
        [
            tag("h2", "Person by person"),
            tag(
                "p",
                f"How far each person's face is from itself before, moment by moment: of {len(lines)} people the "
                f"{min(len(lines), _MOST_LINES)} who come nearest to being recognised. In a shaded zone they are, "
                "above by negation. Of each person the recogniser is shown that came nearest.",
            ),
            [
                tag("figure", tag("figcaption", f"{line.person}, by {line.recogniser}"), timeline_chart(line))
                for line in lines[:_MOST_LINES]
            ],
        ]
    )


def _figures(title: str, said: str, figures: Sequence[Figure]) -> Markup:
    rows: list[Sequence[Child]] = []
    for figure in figures:
        name = inside([figure.title, tag("small", f"{figure.gloss}. By {figure.how}.")])
        if figure.estimate is None:
            rows.append([name, "not measured", "", "", "", ""])
            continue
        before = "" if figure.before is None else _number(figure.before.value, figure.unit)
        rows.append([name, _number(figure.estimate.value, figure.unit), before, *_spread(figure.estimate, figure.unit)])
    heads = ["", "measured", "original", "95 % interval", "counted", "people"]
    return inside([tag("h2", title), tag("p", said), _table(None, heads, rows, numbers={1, 2, 3, 4, 5})])


def _limits(findings: Findings) -> Markup:
    return inside(
        [
            tag("h2", "What this audit does not say"),
            tag("h3", "Not measured"),
            tag("ul", [tag("li", one) for one in findings.not_measured]),
            tag("h3", "Not protected by replacing faces"),
            tag("ul", [tag("li", one) for one in NOT_PROTECTED]),
            _surroundings(findings),
            tag(
                "p",
                "That no recogniser here finds a person does not prove that none can. Intervals hold in 95 of 100 "
                "cases, for people like these.",
            ),
        ]
    )


def _surroundings(findings: Findings) -> Markup | None:
    """What no swap touches: told, and in no verdict."""
    rows: list[Sequence[Child]] = []
    for one in findings.recognisers:
        found = one.surroundings
        if found is None or not one.decides:
            continue
        at = f"{one.name}, at {found.threshold:.3f}" + (
            f", where {100 * one.far:g} % of the strangers match" if found.adapted else ", its threshold for faces"
        )
        rows += [
            _estimated("People found by hair, ears and background", at, found.found),
            _estimated("Strangers who match so", "pairs of two people: what chance gives", found.strangers),
            _estimated("Nearest by hair, ears and background", _chance(found), found.nearest),
        ]
    if not rows:
        return None
    return inside(
        [
            tag(
                "p",
                "Hair, ears and background can be measured: of each output the face is painted over, and what is left "
                "is compared with the originals of the same frames, by the mean of each person's. It decides nothing, "
                "since replacing a face does not change it. Who paints over the faces of their own photos, too, finds "
                "more.",
            ),
            _table(None, ["", "measured", "95 % interval", "counted", "people"], rows, numbers={1, 2, 3, 4}),
        ]
    )


def _sources(findings: Findings) -> Markup:
    files_ = [
        [
            inside([file.name, tag("small", f"of {file.original}, made: {file.output}")]),
            str(file.frames),
            str(file.looks),
            str(file.faces),
            str(file.judged),
            inside(
                [
                    tag("div", "original ", tag("code", file.original_sha256)),
                    tag("div", "output ", tag("code", file.output_sha256)),
                    tag("div", "Plan ", tag("code", file.plan_sha256 or "none was given")),
                ]
            ),
        ]
        for file in findings.files
    ]
    weights = [[one.name, "recogniser", tag("code", one.sha256)] for one in findings.recognisers]
    weights.append([findings.detector, "detector", tag("code", findings.detector_sha256 or "not known")])
    weights += [[name, task, tag("code", digest)] for task, name, digest in findings.networks]
    made = ", ".join(f"{name} {number}" for name, number in findings.versions.items())
    return inside(
        [
            tag("h2", "What was looked at, and with what"),
            _table(
                "Files, and the SHA-256 of each", ["file", "frames", "looked at", "faces", "judged", "SHA-256"], files_
            ),
            _table(
                "Pairs that could not be compared, and are in no figure",
                ["file", "code", "why"],
                [[one.name, tag("code", one.code), one.message] for one in findings.refused],
            )
            if findings.refused
            else None,
            _table("Networks, and the SHA-256 of their weights", ["name", "for", "SHA-256"], weights),
            tag(
                "details",
                tag("summary", "The policy"),
                tag("pre", tag("code", findings.policy.model_dump_json(indent=2))),
            ),
            tag("footer", tag("p", f"{FORMAT}; {made}; detector {findings.detector}", class_="soft")),
        ]
    )


# Pieces


def _table(
    caption: str | None,
    heads: Sequence[str],
    rows: Sequence[Sequence[Child]],
    numbers: frozenset[int] | set[int] = frozenset(),
) -> Markup:
    def kind(column: int) -> str | None:
        return "n" if column in numbers else None

    return tag(
        "div",
        tag(
            "table",
            tag("caption", caption) if caption else None,
            tag("thead", tag("tr", [tag("th", head, scope="col", class_=kind(i)) for i, head in enumerate(heads)])),
            tag("tbody", [tag("tr", [tag("td", cell, class_=kind(i)) for i, cell in enumerate(row)]) for row in rows]),
        ),
        class_="scroll",
    )


def _image(picture: bytes, said: str) -> Markup:
    return tag("img", src=f"data:image/jpeg;base64,{b64encode(picture).decode()}", alt=said)


def _estimated(title: str, gloss: str, estimate: Estimate | None, unit: str = "share") -> Sequence[Child]:
    name = inside([title, tag("small", gloss)])
    if estimate is None:
        return [name, "–", "", "", ""]
    return [name, _number(estimate.value, unit), *_spread(estimate, unit)]


def _spread(estimate: Estimate, unit: str) -> list[Child]:
    if estimate.low is None or estimate.high is None:
        interval = "too few people"
    else:
        low, high = (_number(end, unit if unit in ("share", "°") else "") for end in (estimate.low, estimate.high))
        interval = f"{low} to {high}"
    return [interval, str(estimate.count), str(estimate.people)]


def _number(value: float, unit: str) -> str:
    if unit == "share":
        said = f"{100 * value:.1f} %"
    elif unit == "°":
        said = f"{value:.1f}°"
    else:
        places = 1 if abs(value) >= 10 else 3 if abs(value) >= 0.1 else 5  # kernel distances are small
        said = f"{value:.{places}f} {unit}"
    return said.strip().replace("-", "−")


def _say(check: Check) -> str:
    """A broken limit as a sentence."""
    if check.value is None:
        return f"{check.said}."
    if check.said[0].isupper():  # the title of a figure, not the end of a sentence
        return f"{check.said} {amount(check, check.value)}; allowed: {allowed(check)}."
    return f"{amount(check, check.value)} {check.said}; allowed: {allowed(check)}."


def _when(findings: Findings, file: str, time: float) -> str:
    photos = {one.name for one in findings.files if one.kind == "image"}
    return "" if file in photos else f" at {time:.2f} s"


def _counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _first_of(count: int, most: int) -> str | None:
    return f"The first {most} of {count}; all are in the JSON" if count > most else None
