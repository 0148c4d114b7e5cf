"""Findings from evidence that was made up, and the page and JSON that tell them."""

import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from masquerade.audit.attacks.linkage import Means
from masquerade.audit.evidence import Evidence, FileEvidence, Refused, Sighting, Stray, Uncovered, Weak
from masquerade.audit.intervals import mean_of, share_of
from masquerade.audit.policy import Limits, Policy
from masquerade.audit.report import NOT_PROTECTED, as_html, as_json
from masquerade.audit.report_findings import conclude
from masquerade.audit.report_markup import Markup, tag
from masquerade.models.cards import Threshold, cards
from masquerade.types import Box

NASTY = "<img src=x onerror=alert(1)>&\"'.mp4"


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def encoder(name, threshold=0.4, sha256="ab" * 32):
    entry = Threshold(
        far=1e-3, threshold=threshold, low=threshold - 0.02, high=threshold + 0.02, pairs=9000, data="crowd"
    )
    return SimpleNamespace(name=name, sha256=sha256, calibration=(entry,))


def instruments(*names, landmarks=None):
    return SimpleNamespace(
        detector=SimpleNamespace(name="centerface"),
        encoders=[encoder(name) for name in names],
        pose=None,
        landmarks=landmarks,
        expression=SimpleNamespace(name="expression", sha256="cd" * 32),
        gaze=None,
        detector_sha256="ef" * 32,
    )


def made_up(people=12, frames=6, found=0.0, names=("guard", "driver"), seed=0, **more):
    """Evidence of one file, in which a share of the people are left as they were."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(people), frames)
    originals = unit(unit(rng.normal(size=(people, 32)))[who] + 0.05 * rng.normal(size=(len(who), 32)))
    anonymized = unit(unit(rng.normal(size=(people, 32)))[who] + 0.05 * rng.normal(size=(len(who), 32)))
    left = who < round(found * people)
    anonymized[left] = originals[left]
    distances = 1 - (originals * anonymized).sum(1)
    sightings = tuple(
        Sighting(
            NASTY,
            f"{NASTY}#{p}",
            i / 4,
            dict.fromkeys(names, float(distances[i])),
            {"found": float(i % 2), "pose": 2.0 + p, "flicker": 1.0, "flicker_after": 1.5, "sharpness": math.nan},
        )
        for i, p in enumerate(who.tolist())
    )
    file = FileEvidence(
        name=NASTY,
        original=NASTY,
        output="out.mp4",
        original_sha256="1" * 64,
        output_sha256="2" * 64,
        plan_sha256="3" * 64,
        kind="video",
        frames=300,
        looks=50,
        people=people,
        faces=len(who) + 3,
        kept=0,
        kept_people=0,
        judged=len(who),
        unfollowed=0,
    )
    weak = tuple(
        Weak(NASTY, f"{NASTY}#{i}", i, "guard", float(distances[i]), float(distances[i]) / 0.4, b"before", b"after")
        for i in range(2)
    )
    vectors = dict.fromkeys(names, (originals, anonymized))
    return Evidence(**{"files": (file,), "sightings": sightings, "vectors": vectors, "weakest": weak, **more})


def broken(findings):
    return {check.key for check in findings.checks if not check.passed}


def test_strangers_faces_pass():
    findings = conclude(made_up(), instruments("guard", "driver"), Policy())
    assert findings.passed and not broken(findings)
    guard, driver = findings.recognisers
    assert (guard.decides, driver.decides) == (True, False)
    assert (guard.retrieval.id.value, guard.retrieval.gallery, guard.retrieval.gallery_people) == (0, 72, 12)
    assert guard.retrieval.id.high == pytest.approx(1 - 0.025 ** (1 / 12))
    assert sum(guard.distribution.replaced) == pytest.approx(1)
    assert sum(guard.distribution.one_person) == pytest.approx(1)


def test_faces_that_are_found_fail_and_the_driver_has_no_say():
    found = made_up(found=0.25)
    findings = conclude(found, instruments("guard", "driver"), Policy())
    assert broken(findings) == {"id", "averaged"}
    assert next(check for check in findings.checks if check.key == "id").value == 0.25
    assert findings.timelines[0].ratio < 1 < findings.timelines[-1].ratio
    by_driver = conclude(made_up(found=0.25, names=("driver",)), instruments("driver"), Policy())
    assert broken(by_driver) == {"judged"} and by_driver.timelines == ()


@pytest.mark.parametrize(
    ("sha256", "part"),
    [
        (cards()["driver"].sha256, "trained with"),
        ("6e524bb134157e6f9b3f2afd911fb66519a1a305b0e1022db02683a098e1ca93", "trained with"),
        (cards()["guard"].sha256, "guard"),
        ("ab" * 32, "none"),
    ],
)
def test_who_trained_the_swapper_is_known_by_its_weights_and_not_by_its_name(sha256, part):
    """The second is fr_feature_512d.onnx, the driver's teacher, with which `train/recipes/swapper-128.toml` trains."""
    renamed = replace_encoder(instruments("mine"), encoder("mine", sha256=sha256))
    findings = conclude(made_up(found=0.25, names=("mine",)), renamed, Policy())
    [one] = findings.recognisers
    assert (one.part, one.decides) == (part, part != "trained with")
    assert broken(findings) == ({"id", "averaged"} if one.decides else {"judged"})
    assert any("Take that seriously" in note for note in findings.notes) is not one.decides


def replace_encoder(some, one):
    return SimpleNamespace(**{**vars(some), "encoders": [one]})


def test_faces_that_nobody_followed_are_not_called_unclear():
    file = replace(made_up().files[0], unfollowed=1)
    notes = conclude(replace(made_up(), files=(file,)), instruments("guard"), Policy()).notes
    assert any(note.startswith("Of 75 faces 2 are too small") for note in notes)
    assert any(note.startswith("Of 75 faces 1 belong to nobody") for note in notes)


def test_telling_people_apart_better_than_by_chance_is_said_though_no_threshold_is_reached():
    """Nearest to its own original, but far beyond the threshold."""
    evidence = made_up()
    originals, other = evidence.vectors["guard"]
    near = unit(0.6 * originals + unit(other - (other * originals).sum(1, keepdims=True) * originals))
    told = replace(evidence, vectors={"guard": (originals, near)})
    findings = conclude(told, instruments("guard"), Policy())
    [guard] = findings.recognisers
    assert findings.passed and guard.retrieval.id.value == 0 and guard.retrieval.rank1.value > 0.9
    assert any("by chance for about 8 %" in note for note in findings.notes)
    assert not any("by chance" in note for note in conclude(evidence, instruments("guard"), Policy()).notes)


def faint(evidence, trace=0.14):
    """Faces that hide their person behind noise drawn for each frame, which averages out."""
    originals, _ = evidence.vectors["guard"]
    noise = unit(np.random.default_rng(5).normal(size=originals.shape))
    return replace(evidence, vectors=dict.fromkeys(evidence.vectors, (originals, unit(trace * originals + noise))))


def test_averages_that_lead_back_are_told_and_decide_where_the_policy_limits_them():
    evidence = faint(made_up(frames=60, people=8))
    told = conclude(evidence, instruments("guard", "driver"), Policy(limits=Limits(averaged=None)))
    guard = told.recognisers[0]
    assert guard.retrieval.own.value < 0.01 and guard.averaged.found.value > 0.5
    assert (guard.averaged.faces, guard.averaged.candidates, guard.averaged.adapted) == (60, 8, False)
    assert told.passed and sum("Averaging all frames" in note for note in told.notes) == 1, "the driver has no say"
    count = round(8 * guard.averaged.found.value)
    assert any(f"leads guard back to {count} of 8 people. Of pairs of strangers" in note for note in told.notes)
    limited = conclude(evidence, instruments("guard"), Policy())
    assert broken(limited) == {"averaged"} and not any("Averaging" in note for note in limited.notes)
    text = " ".join(" ".join(Page(as_html(limited)).text).split())
    shown = f"{100 * guard.averaged.found.value:.1f} % of the people are found by averaging their frames, and"
    assert f"{shown} 0.0 % of strangers match so (guard); allowed: at most 1.0 %." in text
    for part in ("People found by averaging", "60 of each (median)", "too few people to say", "chance is about 12 %"):
        assert part in text, part
    row = json.loads(json.dumps(as_json(limited), allow_nan=False))["recognisers"][0]["averaged"]
    assert row["found"]["value"] == guard.averaged.found.value and row["threshold"] == guard.averaged.threshold
    nothing = conclude(made_up(), instruments("guard"), Policy(limits=Limits(averaged=0)))
    assert nothing.passed and nothing.recognisers[0].averaged.found.value == 0


def test_averages_that_chance_finds_as_often_break_no_limit_and_prove_nothing():
    """Two people whose faces, before and after, are all alike to the recogniser."""
    rng = np.random.default_rng(4)
    originals = unit(unit(rng.normal(size=(1, 32))) + 0.02 * rng.normal(size=(6, 32)))
    evidence = made_up(people=2, frames=3)
    alike = replace(evidence, vectors={"guard": (originals, unit(originals[::-1] + originals))})
    findings = conclude(alike, instruments("guard"), Policy())
    [guard] = findings.recognisers
    assert guard.averaged.found.value >= 0.5 and guard.averaged.strangers.value == guard.averaged.luck == 1
    [check] = [check for check in findings.checks if check.key == "averaged"]
    assert check.passed and check.value == guard.averaged.found.value and "100.0 % of strangers match so" in check.said
    assert "averaged" in broken(conclude(alike, instruments("guard"), Policy(by="interval")))
    unlimited = conclude(alike, instruments("guard"), Policy(limits=Limits(averaged=None)))
    assert not any("Averaging" in note for note in unlimited.notes)


def test_a_photo_is_no_average():
    findings = conclude(made_up(frames=1), instruments("guard"), Policy(limits=Limits(averaged=0)))
    assert findings.passed and findings.recognisers[0].averaged is None
    assert "averaged" not in {check.key for check in findings.checks}
    assert "by averaging" not in as_html(findings)


def test_where_single_faces_resemble_everybody_so_do_their_averages():
    evidence = made_up(people=12, frames=10)
    rng = np.random.default_rng(2)
    base = unit(rng.normal(size=(1, 32)))
    originals = unit(np.repeat(unit(base + 0.1 * rng.normal(size=(12, 32))), 10, 0) + 0.02 * rng.normal(size=(120, 32)))
    alike = replace(evidence, vectors={"guard": (originals, np.repeat(base, 120, 0))})
    [guard] = conclude(alike, instruments("guard"), Policy()).recognisers
    assert guard.retrieval.others.value == 1 and guard.averaged.threshold == guard.retrieval.adapted_threshold
    assert guard.averaged.strangers.value < 0.05


def test_what_is_around_the_face_is_told_under_what_is_not_protected_and_decides_nothing():
    evidence = made_up()
    originals, _ = evidence.vectors["guard"]
    people = np.array([one.person for one in evidence.sightings])
    told = replace(evidence, surroundings=dict.fromkeys(("guard", "driver"), Means.of(people, originals)))
    findings = conclude(told, instruments("guard", "driver"), Policy(limits=Limits(averaged=0, people=0, linked=0)))
    guard = findings.recognisers[0].surroundings
    assert findings.passed and (guard.found.value, guard.nearest.value, guard.candidates) == (1, 1, 12)
    text = " ".join(" ".join(Page(as_html(findings)).text).split())
    after = text[text.index("Not protected by replacing faces") :]
    assert "People found by hair, ears and background guard, at 0.400" in after and "by driver" not in after
    assert "100.0 %" in after and "hair, ears and background" not in text[: -len(after)]
    row = json.loads(json.dumps(as_json(findings), allow_nan=False))
    assert row["recognisers"][0]["surroundings"]["found"]["value"] == 1
    without = conclude(evidence, instruments("guard"), Policy())
    assert without.recognisers[0].surroundings is None and "Who paints over" not in as_html(without)


def test_files_without_an_original_fail_and_are_named():
    evidence = made_up(strays=(Stray(NASTY, "4" * 64), Stray("sub/b.mp4", "5" * 64)))
    findings = conclude(evidence, instruments("guard"), Policy())
    assert broken(findings) == {"strays"} and not findings.passed
    text = " ".join(" ".join(Page(as_html(findings)).text).split())
    assert "2 photos or videos beside the outputs have no original" in text and "sub/b.mp4 " + "5" * 64 in text
    assert text.index("Files that nobody checked") < text.index("Faces that were not covered")
    assert as_json(findings)["strays"][1] == {"name": "sub/b.mp4", "sha256": "5" * 64}
    allowed = conclude(evidence, instruments("guard"), Policy(limits=Limits(strays=2)))
    assert allowed.passed and "sub/b.mp4" in as_html(allowed)
    clean = as_html(conclude(made_up(), instruments("guard"), Policy()))
    assert "Files that nobody checked" not in clean


def test_by_the_interval_few_people_prove_nothing():
    strict = Policy(by="interval")
    assert broken(conclude(made_up(), instruments("guard"), strict)) == {"id", "neg_id", "averaged"}
    lenient = Policy(by="interval", limits=Limits(id=0.5, neg_id=0.5, averaged=0.5))
    assert conclude(made_up(), instruments("guard"), lenient).passed


def test_uncovered_faces_come_first():
    def one(score):
        return Uncovered(NASTY, 1.0, Box(1, 2, 3, 4), score, "unchanged", b"picture")

    evidence = made_up(uncovered=(one(0.9), one(0.3)))
    findings = conclude(evidence, instruments("guard"), Policy())
    said = " ".join(" ".join(Page(as_html(findings)).text).split())
    assert "1 face of the original was left as it was, or lies in no treated place; allowed: at most 0." in said
    assert "1 face was left as it was, or lies where the Plan treats nothing; of 1 more place the detector" in said
    assert findings.checks[0].key == "uncovered" and broken(findings) == {"uncovered"}
    assert conclude(evidence, instruments("guard"), Policy(limits=Limits(uncovered=1))).passed
    unsure = Policy(limits=Limits(uncovered=1, uncovered_unsure=0))
    assert broken(conclude(evidence, instruments("guard"), unsure)) == {"uncovered_unsure"}


def test_nothing_judged_is_no_pass():
    evidence = made_up(sightings=(), vectors={"guard": (np.zeros((0, 32), np.float32),) * 2}, weakest=())
    evidence = Evidence(
        files=tuple(
            type(file)(**{**{f: getattr(file, f) for f in file.__slots__}, "judged": 0}) for file in evidence.files
        ),
        vectors=evidence.vectors,
    )
    findings = conclude(evidence, instruments("guard"), Policy())
    assert broken(findings) == {"judged"}
    assert conclude(evidence, instruments("guard"), Policy(judged=0)).passed
    as_html(findings)
    json.dumps(as_json(findings), allow_nan=False)


def test_limits_on_utility_count_what_could_be_measured():
    people = np.repeat([f"{NASTY}#{i}" for i in range(12)], 6)
    poses = np.repeat(2.0 + np.arange(12), 6)
    findings = conclude(made_up(), instruments("guard"), Policy(limits=Limits(pose=7.4, found=0.6, boundary=1)))
    assert broken(findings) == {"pose", "found", "boundary"}, "an edge that nobody measured is not kept"
    by_key = {figure.key: figure for figure in (*findings.utility, *findings.quality)}
    assert by_key["pose"].estimate == mean_of(poses, people)
    assert by_key["found"].estimate == share_of(np.arange(72) % 2 > 0, people)
    assert by_key["flicker"].estimate.value == 0.5 and by_key["flicker"].before.value == 1
    assert by_key["sharpness"].estimate is None
    said = " ".join(" ".join(Page(as_html(findings)).text).split())
    assert "Head pose, off by 7.500; allowed: at most 7.400." in said
    assert "Visible edge: could not be measured." in said


class Page(HTMLParser):
    """Reads a page strictly: every element that is opened is closed."""

    def __init__(self, page):
        super().__init__()
        self.open, self.text, self.attributes, self.names = [], [], [], []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, name, attributes):
        self.names.append(name)
        self.attributes += attributes
        if name not in ("meta", "img", "br"):
            self.open.append(name)

    def handle_endtag(self, name):
        assert self.open.pop() == name

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.text.append(data)


def test_the_page_is_whole_offline_and_safe():
    evidence = made_up(
        found=0.25,
        uncovered=(Uncovered(NASTY, 1.0, Box(1, 2, 3, 4), 0.9, "unchanged", b"picture"),),
        refused=(Refused(NASTY, "bad-pair", NASTY),),
    )
    findings = conclude(evidence, instruments("guard", "driver"), Policy())
    html = as_html(findings)
    page = Page(html)
    said = " ".join(" ".join(page.text).split())
    assert NASTY in said and "onerror" not in dict(page.attributes)
    assert "script" not in page.names and "link" not in page.names
    assert not re.search(r"https?:|url\(|@import", html)
    sources = [value for name, value in page.attributes if name == "src"]
    assert len(sources) == 5, "one face that was left, and two before and after"
    for source in sources:
        assert source.startswith("data:image/jpeg;base64,")
    assert said.index("Failed") < said.index("Faces left uncovered: 1") < said.index("25.0 % of the anonymized faces")
    assert said.index("Faces that were not covered") < said.index("The weakest faces") < said.index("found again?")
    for thing in (
        *NOT_PROTECTED,
        "1" * 64,
        "2" * 64,
        "3" * 64,
        "ab" * 32,
        "cd" * 32,
        "ef" * 32,
        "gaze",
        "recognised, at 0.00 of its threshold",
    ):
        assert thing in said, thing
    assert page.names.count("svg") >= 3
    shown = " ".join(Page(as_html(findings, faces_shown=True)).text)
    assert "Faces can be recognised on this page" in shown and "Faces can be recognised on this page" not in said
    assert "coarse on purpose" in said and "coarse on purpose" not in shown


def test_many_files_are_told_for_what_they_are():
    other = made_up(seed=1)
    other = replace(other, files=(replace(other.files[0], original_sha256="7" * 64),))
    alone, two = (conclude(some, instruments("guard"), Policy()) for some in (made_up(), made_up() + other))
    assert not any("two files" in note for note in alone.notes)
    assert any("counts as two people" in note for note in two.notes)
    photos = replace(made_up(), files=tuple(replace(file, kind="image") for file in made_up().files))
    assert not any("could be judged in" in note or "No face was found in" in note for note in two.notes)
    silent = [replace(other.files[0], name=f"{i}.mp4", original_sha256=f"{i:064}", judged=0) for i in range(7)]
    empty = replace(silent[0], name="nobody.mp4", original_sha256="8" * 64, faces=0)
    kept = replace(silent[0], name="kept.mp4", original_sha256="9" * 64, kept=silent[0].faces)
    some = made_up() + Evidence(files=(*silent, empty, kept))
    notes = conclude(some, instruments("guard"), Policy()).notes
    [told] = [note for note in notes if note.startswith("No face could be judged in")]
    assert "in 0.mp4, 1.mp4, 2.mp4, 3.mp4, 4.mp4 and 2 more files: there" in told
    assert any(note.startswith("No face was found in nobody.mp4: ") for note in notes)
    for evidence, said in ((made_up(), "at each video about 4 times a second."), (photos, "at each photo.")):
        assert said in as_html(conclude(evidence, instruments("guard"), Policy()), faces_shown=False)


def test_where_no_face_was_the_page_says_so_and_shows_no_empty_tables():
    file = replace(made_up().files[0], faces=0, judged=0, people=0)
    nobody = Evidence(files=(file,), vectors={"guard": (np.zeros((0, 32), np.float32),) * 2})
    findings = conclude(nobody, instruments("guard"), Policy())
    said = " ".join(Page(as_html(findings, faces_shown=False)).text)
    assert findings.passed and "No face was found in what was to be protected" in said
    assert "not measured" not in said and "How it looks" not in said


def test_page_and_json_say_the_same():
    findings = conclude(made_up(found=0.25), instruments("guard", "driver"), Policy())
    row = json.loads(json.dumps(as_json(findings), allow_nan=False))
    assert row["verdict"] == "fail" and row["format"] == "masquerade-audit/2"
    guard = row["recognisers"][0]
    assert guard["retrieval"]["id"] == {
        "value": 0.25,
        "low": pytest.approx(0.0, abs=0.2),
        "high": pytest.approx(0.5, abs=0.2),
        "count": 72,
        "people": 12,
    }
    assert (guard["threshold"], guard["far"], guard["decides"]) == (0.4, 0.001, True)
    text = " ".join(Page(as_html(findings)).text)
    for name in ("value", "low", "high"):
        assert f"{100 * guard['retrieval']['id'][name]:.1f} %" in text
    check = next(one for one in row["checks"] if one["key"] == "id")
    assert (check["low"], check["high"]) == tuple(guard["retrieval"]["id"][end] for end in ("low", "high"))
    after, before = guard["drift_std"]
    assert f"standard deviation {after:.3f}" in text and f"standard deviation {before:.3f}" in text
    assert len(row["timelines"]) == 12 and len(row["timelines"][0]["times"]) == 6
    assert not {"originals", "anonymized", "vectors"} & set(re.findall(r'"(\w+)":', json.dumps(row)))


@given(st.text(), st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]), max_size=30))
def test_text_is_only_ever_text(inner, value):
    made = tag("p", inner, [tag("b", inner)], title=value)
    assert isinstance(made, Markup)
    assert made.count("<") == 4 and "<script" not in made
    assert dict(Page(made).attributes)["title"] == value
