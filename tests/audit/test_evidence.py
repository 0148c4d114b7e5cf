"""What the audit sees in clips whose every face is known."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image

from masquerade.audit.compare import Pair, find_pairs
from masquerade.audit.evidence import MOST_PICTURES, Evidence, Instruments, Stray, _renamed, gather
from masquerade.audit.policy import Limits, Policy
from masquerade.audit.report_findings import conclude
from masquerade.audit.utility import gaze_error, head_pose
from masquerade.audit.utility_networks import GazeNetwork, LandmarkNetwork, PoseNetwork
from masquerade.errors import InputError, OptionError, PairError, PlanError, WeightsError
from masquerade.faces.align import template
from masquerade.faces.embed import open_encoder
from masquerade.faces.expression import open_expression
from masquerade.media import open_video, sha256
from masquerade.pipeline.analyze import analyze
from masquerade.pipeline.render import render
from masquerade.plan import ManualBox, Scope, Span, Treatment
from masquerade.types import Box
from tests.audit.networks import write_gaze_network, write_landmark_network, write_pose_network
from tests.faces.embed.networks import write_linear
from tests.scenes import placed, write_clip

pytestmark = pytest.mark.network  # the detector's weights
FAR = 1e-3


@pytest.fixture(scope="module")
def instruments(detector):
    return Instruments(detector, [open_encoder("driver", threads=1), open_encoder("guard", threads=1)])


@pytest.fixture(scope="module")
def clips(tmp_path_factory, astronaut, detector):
    """A clip of 20 frames with one face, its Plan, and what was made by it; then the same without the Plan's person."""
    folder = tmp_path_factory.mktemp("clips")
    pictures = [placed(astronaut, 0.6, 30 + 2 * i, -10, 320, 240)[0] for i in range(20)]
    clip = write_clip(folder / "clip.mp4", pictures)
    plan = analyze(clip, detector, encoder=None)
    (folder / "plan.json").write_text(plan.dumps())
    for method in ("solid", "blur"):
        made = plan.model_copy(update={"treatment": Treatment(method=method)})
        render(clip, made, folder / f"{method}.mp4")
    nobody = plan.model_copy(update={"people": ()})
    (folder / "nobody.json").write_text(nobody.dumps())
    render(clip, nobody, folder / "nothing.mp4")
    return folder


@pytest.fixture(scope="module")
def frown(clips, astronaut):
    """The clip with eyes and mouth upside down."""
    changed = astronaut.copy()
    for y1, y2, x1, x2 in ((110, 140, 180, 270), (150, 190, 190, 260)):
        changed[y1:y2, x1:x2] = changed[y1:y2, x1:x2][::-1]
    pictures = [placed(changed, 0.6, 30 + 2 * i, -10, 320, 240)[0] for i in range(20)]
    return write_clip(clips / "frown.mp4", pictures).name


def seen(clips, instruments, output, plan=None, **options):
    pair = Pair("clip.mp4", clips / "clip.mp4", clips / output, clips / plan if plan else None)
    return gather([pair], instruments, far=FAR, **options)


def test_a_covered_face_is_gone(clips, instruments):
    evidence = seen(clips, instruments, "solid.mp4", "plan.json")
    [file] = evidence.files
    assert (file.frames, file.looks, file.people, file.kind) == (20, 3, 1, "video"), "frames 3, 10 and 17"
    assert (file.faces, file.judged, file.kept, file.unfollowed) == (3, 3, 0, 0)
    assert file.original_sha256 == sha256(clips / "clip.mp4") and file.plan_sha256 == sha256(clips / "plan.json")
    assert evidence.uncovered == ()
    assert [one.time for one in evidence.sightings] == pytest.approx([3 / 25, 10 / 25, 17 / 25])
    for one in evidence.sightings:
        assert one.person == "clip.mp4#1"
        assert one.measures["found"] == 0 and one.measures["sharpness"] < 0.01 and one.measures["colour"] > 10
        assert one.measures["flicker_after"] < one.measures["flicker"], "black does not flicker"
        assert min(one.distances.values()) > 0.6
    assert evidence.vectors.keys() == {"driver", "guard"}
    for originals, anonymized in evidence.vectors.values():
        assert originals.shape == anonymized.shape and len(originals) == 3
        assert (originals @ originals.T).min() > 0.9 and np.abs((originals * anonymized).sum(1)).max() < 0.4


@pytest.mark.parametrize("plan", ["nobody.json", None])
def test_a_face_that_was_left_is_found_out(clips, instruments, plan):
    evidence = seen(clips, instruments, "nothing.mp4", plan)
    assert len(evidence.uncovered) == 3 and all(one.sure and one.why == "unchanged" for one in evidence.uncovered)
    assert evidence.uncovered[0].box.centre == pytest.approx((30 + 6 + 0.6 * 224, -10 + 0.6 * 131), abs=12)
    assert len(evidence.sightings) == (0 if plan else 3)
    findings = conclude(evidence, instruments, Policy())
    assert not findings.passed and findings.sure == 3
    if plan is None:
        guard = next(one for one in findings.recognisers if one.name == "guard")
        assert guard.retrieval.id.value == 1 and guard.retrieval.neg_id.value == 0
        assert {check.key for check in findings.checks if not check.passed} == {"uncovered", "id", "averaged"}
        assert len(evidence.weakest) == 1 and evidence.weakest[0].ratio < 1
        assert findings.timelines[0].ratio < 1


def test_a_face_that_was_left_is_found_out_though_the_encoder_spoilt_it(clips, instruments):
    with open_video(clips / "clip.mp4") as reader:
        pictures = [frame.thumbnail(320, 240) for frame in reader]
    write_clip(clips / "coarse.mp4", pictures, crf=36)
    assert len(seen(clips, instruments, "coarse.mp4").uncovered) == 3


def test_what_the_plan_does_not_know_is_uncovered_though_it_was_changed(clips, instruments):
    evidence = seen(clips, instruments, "solid.mp4", "nobody.json")
    assert [one.why for one in evidence.uncovered] == ["not in the plan"] * 3
    assert evidence.files[0].unfollowed == 3


def test_what_the_plan_keeps_is_told_and_in_no_figure(clips, instruments, detector, tmp_path):
    plan = analyze(clips / "clip.mp4", detector, encoder=None)
    people = tuple(person.model_copy(update={"action": "keep"}) for person in plan.people)
    (clips / "keep.json").write_text(plan.model_copy(update={"people": people}).dumps())
    evidence = seen(clips, instruments, "nothing.mp4", "keep.json")
    assert (evidence.files[0].kept, evidence.files[0].kept_people) == (3, 1)
    assert (evidence.uncovered, evidence.sightings) == ((), ())
    findings = conclude(evidence, instruments, Policy())
    assert findings.passed and any("left recognisable" in note for note in findings.notes)
    late = plan.model_copy(update={"scope": Scope(spans=(Span(start=0.3, end=9),))})
    (clips / "late.json").write_text(late.dumps())
    evidence = seen(clips, instruments, "nothing.mp4", "late.json")
    assert evidence.files[0].kept == 1 and len(evidence.uncovered) == 2


def test_a_box_by_hand_covers(clips, instruments, detector):
    plan = analyze(clips / "clip.mp4", detector, encoder=None)
    manual = (ManualBox(box=Box(60, 0, 300, 230)),)
    by_hand = plan.model_copy(update={"people": (), "manual": manual, "treatment": Treatment(method="solid")})
    (clips / "hand.json").write_text(by_hand.dumps())
    render(clips / "clip.mp4", by_hand, clips / "hand.mp4")
    assert seen(clips, instruments, "hand.mp4", "hand.json").uncovered == ()


def test_pictures_are_coarse_unless_asked_for(clips, instruments):
    def detail(evidence):
        picture = cv2.imdecode(np.frombuffer(evidence.weakest[0].before, np.uint8), cv2.IMREAD_GRAYSCALE)
        assert picture.shape == (96, 96)
        return cv2.Laplacian(picture, cv2.CV_64F).var()

    coarse = detail(seen(clips, instruments, "blur.mp4", "plan.json"))
    assert detail(seen(clips, instruments, "blur.mp4", "plan.json", show_faces=True)) > 50 * coarse


def as_file(evidence, name, sha256):
    """The same evidence as if another file had given it."""
    [file] = evidence.files
    other = replace(evidence, files=(replace(file, original_sha256=sha256),))
    return _renamed(other, {file.name: name})


def test_evidence_of_two_machines_is_that_of_one(clips, instruments):
    first = seen(clips, instruments, "blur.mp4", "plan.json")
    second = as_file(seen(clips, instruments, "nothing.mp4"), "other.mp4", "2" * 64)
    both = first + second
    assert len(first.weakest) == len(second.weakest) == 1, "one for each person"
    assert len(both.files) == 2 and len(both.sightings) == 6 and len(both.uncovered) == 3
    assert len(both.vectors["guard"][0]) == 6
    assert [weak.ratio for weak in both.weakest] == sorted(weak.ratio for weak in both.weakest)
    assert (Evidence() + first).vectors["guard"][0].shape == first.vectors["guard"][0].shape
    assert both.surroundings["guard"].counts == {"clip.mp4#1": 3, "other.mp4#1": 3}
    for one, person in ((first, "clip.mp4#1"), (second, "other.mp4#1")):
        alone, merged = (some.surroundings["guard"].sums[person] for some in (one, both))
        assert alone.shape == first.vectors["guard"][0].shape[1:]
        assert merged.tolist() == alone.tolist() and np.linalg.norm(merged) == pytest.approx(3, abs=0.5)
    many = Evidence.together([as_file(second, f"{i}.mp4", f"{i:064}") for i in range(20)])
    assert len(many.uncovered) == 60 and sum(bool(one.picture) for one in many.uncovered) == MOST_PICTURES
    assert min(one.score for one in many.uncovered if one.picture) >= sorted(o.score for o in many.uncovered)[-12]
    assert len(many.weakest) == MOST_PICTURES
    findings = conclude(both, instruments, Policy())
    guard = next(one for one in findings.recognisers if one.name == "guard")
    assert (guard.averaged.candidates, guard.averaged.faces, guard.averaged.adapted) == (2, 3, False)
    assert guard.averaged.found.value == 0.5, "the face that was left comes back, the blurred one does not"
    assert guard.averaged.threshold <= guard.threshold and guard.surroundings.found.people == 2


def test_files_of_one_name_are_kept_apart_and_one_file_twice_is_refused(clips, instruments):
    here = seen(clips, instruments, "nothing.mp4")
    there = as_file(here, "clip.mp4", "ab" * 32)
    third = as_file(here, "clip.mp4", "cd" * 32)
    name = f"clip.mp4 [{here.files[0].original_sha256[:12]}]"
    for both in (here + there, there + here):
        assert {file.name for file in both.files} == {name, "clip.mp4 [abababababab]"}
        assert {one.person for one in both.sightings} == {f"{name}#1", "clip.mp4 [abababababab]#1"}
        assert {one.file for one in both.uncovered} == {one.file for one in both.sightings}
        assert {(one.file, one.person) for one in both.weakest} == {(f.name, f"{f.name}#1") for f in both.files}
        assert both.surroundings["guard"].counts == dict.fromkeys((f"{f.name}#1" for f in both.files), 3)
    for all_three in ((here + there) + third, here + (there + third), Evidence.together([here, there, third])):
        assert sorted(all_three.surroundings["guard"].counts.values()) == [3, 3, 3]
        assert len({one.person for one in all_three.sightings}) == len({file.name for file in all_three.files}) == 3
    for twice in ((here, here), (here + there, here), (here, there + here), (here + there, there + third)):
        with pytest.raises(InputError, match=r"^clip.mp4 was audited twice"):
            Evidence.together(twice)


def test_what_lies_beside_the_outputs_is_named_until_another_machine_has_looked_at_it(clips, instruments):
    one = seen(clips, instruments, "blur.mp4", strays=[("b/stray.mp4", clips / "solid.mp4")])
    assert one.strays == (Stray("b/stray.mp4", sha256(clips / "solid.mp4")),)
    other = as_file(seen(clips, instruments, "nothing.mp4"), "other.mp4", "2" * 64)
    assert (one + other).strays == one.strays == (one + other + Evidence(strays=one.strays)).strays
    looked = as_file(seen(clips, instruments, "solid.mp4"), "stray.mp4", "3" * 64)
    assert (one + looked).strays == (looked + one).strays == ()


def test_photos_and_pairs_that_cannot_be_compared(clips, instruments, astronaut, tmp_path):
    for folder in ("in", "out"):
        (tmp_path / folder).mkdir()
    photo = Image.fromarray(astronaut).resize((256, 256))
    for name in ("in/a.png", "in/b.png", "in/c.png", "out/a.png"):
        photo.save(tmp_path / name)
    photo.resize((128, 128)).save(tmp_path / "out" / "b.png")
    pairs = find_pairs(tmp_path / "in", tmp_path / "out")
    told = []
    evidence = gather(pairs, instruments, far=FAR, done=lambda: told.append(1))
    assert len(told) == 3 and [file.name for file in evidence.files] == ["a.png"]
    assert [(one.name, one.code) for one in evidence.refused] == [("b.png", "bad-pair"), ("c.png", "bad-pair")]
    assert evidence.files[0].looks == 1 and len(evidence.uncovered) == 1
    assert "flicker" not in evidence.sightings[0].measures
    findings = conclude(evidence, instruments, Policy())
    assert {check.key for check in findings.checks if not check.passed} == {"uncovered", "refused", "id"}
    with pytest.raises(InputError, match="none of 2 pairs"):
        gather(pairs[1:], instruments, far=FAR)
    with pytest.raises(PairError, match="128x128"):
        gather(pairs[1:2], instruments, far=FAR)


def test_plans_and_recognisers_that_do_not_belong_are_refused(clips, instruments, detector, tmp_path):
    with pytest.raises(PlanError, match="another file"):
        pair = Pair("a", clips / "blur.mp4", clips / "clip.mp4", clips / "plan.json")
        gather([pair], instruments, far=FAR)
    write_linear(tmp_path / "mine.onnx", pool=8)
    mine = Instruments(detector, [open_encoder(tmp_path / "mine.onnx", kind="arcface", threads=1)])
    with pytest.raises(OptionError, match="no threshold"):
        seen(clips, mine, "blur.mp4", "plan.json")


def test_named_networks_measure_pose_and_landmarks(clips, detector, tmp_path, instruments):
    write_pose_network(tmp_path / "pose.onnx", [10.0, -20.0, 30.0])
    marks = write_landmark_network(tmp_path / "marks.onnx")
    own = Instruments(
        detector,
        instruments.encoders[1:],
        PoseNetwork(tmp_path / "pose.onnx"),
        LandmarkNetwork(tmp_path / "marks.onnx"),
    )
    image = np.zeros((100, 100, 3), np.uint8)
    assert own.pose(image, Box(10, 10, 60, 70)) == pytest.approx([10, -20, 30], abs=0.1)
    expected = (marks - 0.5) * 66 + [35, 40]
    assert own.landmarks(image, Box(10, 10, 60, 70)) == pytest.approx(expected, abs=0.01)
    evidence = seen(clips, own, "nothing.mp4")
    assert len(evidence.sightings) == 3
    for one in evidence.sightings:
        assert one.measures["pose"] == pytest.approx(0, abs=1e-3)
        assert one.measures["landmarks"] < 0.05 and one.measures["mouth"] == pytest.approx(one.measures["mouth_after"])
    findings = conclude(evidence, own, Policy(limits=Limits(pose=4, mouth=0.5)))
    by_key = {figure.key: figure for figure in findings.utility}
    assert by_key["pose"].how == "pose" and by_key["landmarks"].how == "marks"
    assert not next(check for check in findings.checks if check.key == "mouth").passed, "a mouth that never moves"


def test_what_a_face_expresses_is_measured_where_something_reads_it(clips, instruments, frown):
    with_reader = replace(instruments, expression=open_expression(threads=1))
    without = seen(clips, instruments, "nothing.mp4").sightings
    assert len(without) == 3 and not any("expression" in one.measures for one in without)
    untouched, frowning = (
        [one.measures["expression"] for one in seen(clips, with_reader, output).sightings]
        for output in ("nothing.mp4", frown)
    )
    assert len(untouched) == len(frowning) == 3
    assert max(untouched) < 0.3 and min(frowning) > 0.6, "half the way to somebody else's expression"
    gone = seen(clips, with_reader, "solid.mp4").sightings
    assert [one.measures["found"] for one in gone] == [0, 0, 0] and len(gone[0].distances) == 2
    assert not any("expression" in one.measures for one in gone), "of no face nothing is read"


def test_gaze_is_asked_of_upright_eyes_and_measured_where_a_network_is_named(clips, instruments, tmp_path):
    write_gaze_network(tmp_path / "gaze.onnx")
    network = GazeNetwork(tmp_path / "gaze.onnx", threads=1)
    upright = template(112).astype(np.float64)
    angle = np.radians(30)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = ((upright - 56) @ turn.T + 100).astype(np.float32)
    # A bright square about each eye, turned with the head and as large as what is looked at.
    across, x = points[1] - points[0], np.stack(np.meshgrid(np.arange(200), np.arange(200)), -1)
    image = np.full((200, 200, 3), 10, np.uint8)
    for eye, channel in ((points[1], 2), (points[0], 0)):
        inside = (np.abs((x - eye) @ turn) < 0.4 * np.linalg.norm(across) + 1).all(-1)
        image[inside, channel] = 200
    pitch = head_pose(points)[1]
    expected = np.array([200, 200, -pitch])
    assert network(image, points) == pytest.approx(expected / np.linalg.norm(expected), abs=2e-3)
    assert gaze_error([0, 0, 1], [0, 1, 0]) == pytest.approx(90)

    looking = replace(instruments, gaze=network)
    without = seen(clips, instruments, "nothing.mp4").sightings
    assert len(without) == 3 and not any("gaze" in one.measures for one in without)
    evidence = seen(clips, looking, "nothing.mp4")
    assert len(evidence.sightings) == 3 and all(one.measures["gaze"] < 2 for one in evidence.sightings)
    findings = conclude(evidence, looking, Policy(limits=Limits(gaze=5)))
    [figure] = [figure for figure in findings.utility if figure.key == "gaze"]
    assert figure.how == "gaze" and figure.estimate.value < 2
    assert not any(said.startswith("gaze") for said in findings.not_measured)
    assert any(said.startswith("gaze") for said in conclude(evidence, instruments, Policy()).not_measured)
    write_pose_network(tmp_path / "pose.onnx", [1.0, 2.0, 3.0])
    with pytest.raises(WeightsError, match="gaze"):
        GazeNetwork(tmp_path / "pose.onnx")
