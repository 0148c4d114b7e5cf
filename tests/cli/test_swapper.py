"""A swapper of one's own through the whole product: a clip in, fabricated faces out, each seen by the guard."""

import hashlib
import json
import re

import av
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from masquerade.models import cards, store
from masquerade.pipeline import Settings

from ..media.test_disclosure import COMPOSITE, source_type
from ..pipeline.test_render import frames_of
from ..scenes import placed, write_clip
from .command import masquerade

pytestmark = pytest.mark.network

SIDE = 64
CARD = f"""
file = "network.onnx"
name = "upside-down"
[input]
name = "target"
layout = "NCHW"
height = {SIDE}
width = {SIDE}
colour = "RGB"
range = [-1.0, 1.0]
mean = [0.0, 0.0, 0.0]
std = [1.0, 1.0, 1.0]
[swap]
identity = "identity"
crop = "crop"
range = [-1.0, 1.0]
encoder = "driver"
"""


def write_swapper(folder, *, turn=True):
    """A network that turns the face upside down, or gives it back as it is; whoever it is to show."""
    shape = ["n", 3, SIDE, SIDE]
    constants = {"start": [-1], "end": [-1000], "axis": [2], "step": [-1], "one": [1], "wide": [-1, 1, 1, 1]}
    stored = [numpy_helper.from_array(np.array(value, np.int64), name) for name, value in constants.items()]
    stored.append(numpy_helper.from_array(np.float32(0), "nothing"))
    slices = ["target", "start", "end", "axis", "step"]
    nodes = [
        helper.make_node("Slice", slices, ["turned"]) if turn else helper.make_node("Identity", slices[:1], ["turned"]),
        helper.make_node("ReduceMean", ["identity"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Mul", ["mean", "nothing"], ["zero"]),
        helper.make_node("Reshape", ["zero", "wide"], ["zeros"]),
        helper.make_node("Add", ["turned", "zeros"], ["crop"]),
    ]
    inputs = [
        helper.make_tensor_value_info("target", TensorProto.FLOAT, shape),
        helper.make_tensor_value_info("identity", TensorProto.FLOAT, ["n", 512]),
    ]
    outputs = [helper.make_tensor_value_info("crop", TensorProto.FLOAT, shape)]
    graph = helper.make_graph(nodes, "swapper", inputs, outputs, stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "network.onnx")
    (folder / "card.toml").write_text(CARD)
    return folder / "card.toml"


@pytest.fixture
def clip(tmp_path, detector, astronaut):
    pictures = [placed(astronaut, 0.7, 100 + 3 * i, 20, 640, 360)[0] for i in range(24)]
    return write_clip(tmp_path / "clip.mp4", pictures)


def test_people_wear_faces_and_a_plan_says_the_same(tmp_path, clip):
    card = write_swapper(tmp_path)
    once = masquerade("anonymize", clip, "-o", tmp_path / "once.mp4", "--swapper", card, "--json")
    assert once.code == 0, once
    [row] = json.loads(once.out)["files"]
    assert row["outcomes"]["swapped"] >= 20
    assert sum(row["outcomes"].values()) == sum(row["replaced"].values())
    plan = tmp_path / "plan.json"
    assert masquerade("analyze", clip, "-o", plan, "--swapper", card, "--quiet").code == 0
    assert masquerade("render", clip, "-p", plan, "-o", tmp_path / "two.mp4", "--swapper", card, "--quiet").code == 0
    # A Plan has hundredths of pixels, so the two are the same to the eye and not to the bit.
    for first, second in zip(frames_of(tmp_path / "once.mp4"), frames_of(tmp_path / "two.mp4"), strict=True):
        assert np.abs(first - second).mean() < 0.5
    [person] = json.loads(plan.read_text())["people"]
    assert person["anchor"].startswith("bank ")
    # Turned, not blurred: as much detail as before, and another face.
    before, after = frames_of(clip)[12], frames_of(tmp_path / "once.mp4")[12]
    face = np.s_[70:150, 265:315]
    assert np.abs(before - after)[face].mean() > 15
    assert np.abs(np.diff(after[face], axis=0)).mean() > 0.5 * np.abs(np.diff(before[face], axis=0)).mean()


def test_a_swapper_that_changes_nothing_is_overruled(tmp_path, clip):
    card = write_swapper(tmp_path, turn=False)
    said = masquerade("anonymize", clip, "-o", tmp_path / "out.mp4", "--swapper", card, "--json")
    [row] = json.loads(said.out)["files"]
    assert row["outcomes"].get("swapped", 0) == 0
    assert row["outcomes"]["recognised"] >= 20
    blurred = masquerade("anonymize", clip, "-o", tmp_path / "blurred.mp4", "--method", "blur", "--quiet")
    assert blurred.code == 0
    face = np.s_[80:140, 270:310]
    pairs = list(zip(frames_of(tmp_path / "out.mp4"), frames_of(tmp_path / "blurred.mp4"), strict=True))
    assert len(pairs) == 24
    for swapped, redacted in pairs:
        assert np.abs(swapped - redacted)[face].mean() < 12


def test_a_defence_stands_around_the_swapper_and_is_told(tmp_path, clip):
    card = write_swapper(tmp_path)
    plain, defended, folder = tmp_path / "plain.mp4", tmp_path / "defended.mp4", tmp_path / "all"
    assert masquerade("anonymize", clip, "-o", plain, "--swapper", card, "--quiet").code == 0
    said = masquerade("anonymize", clip, "-o", defended, "--swapper", card, "--defence", "low-resolution-6")
    assert said.code == 0 and "swapped behind low-resolution-6" in said.err
    # What the swapper did not see, it cannot have passed on.
    eyes = np.s_[85:125, 270:310]
    detail = [np.abs(np.diff(frames_of(path)[12][eyes], axis=0)).mean() for path in (plain, defended)]
    assert detail[1] < 0.5 * detail[0]

    plan = tmp_path / "plan.json"
    assert masquerade("analyze", clip, "-o", plan, "--swapper", card, "--quiet").code == 0
    again = tmp_path / "again.mp4"
    drawn = masquerade(
        *("render", clip, "-p", plan, "-o", again, "--swapper", card, "--defence", "low_resolution-6", "--json")
    )
    assert json.loads(drawn.out)["defences"] == ["low-resolution-6"]
    for first, second in zip(frames_of(defended), frames_of(again), strict=True):
        assert np.abs(first - second).mean() < 0.5

    # A folder is done anew behind another defence.
    (tmp_path / "in").mkdir()
    clip.rename(tmp_path / "in" / "clip.mp4")
    for defence, done in ((), False), ((), True), (("--defence", "jpeg-30"), False):
        asked = ("anonymize", tmp_path / "in", "-o", folder, "--swapper", card, *defence)
        [row] = json.loads(masquerade(*asked, "--dry-run", "--json").out)["files"]
        assert row["done"] is done
        assert masquerade(*asked, "--quiet").code == 0


def test_a_defence_without_a_swap_or_without_sense_is_refused(tmp_path, clip):
    out, card = tmp_path / "out.mp4", write_swapper(tmp_path)
    asked = ("anonymize", clip, "-o", out, "--defence")
    masquerade(*asked, "jpeg-30", "--method", "blur").refused("bad-option", "--defence", "blur")
    masquerade(*asked, "fgsm-0.15", "--swapper", card).refused("bad-option", "fgsm-0.15")
    assert not out.exists()


def test_cards_that_lead_nowhere_are_refused(tmp_path, clip):
    out = tmp_path / "out.mp4"
    masquerade("anonymize", clip, "-o", out, "--swapper", "nobody").refused("bad-option", "nobody")
    card = write_swapper(tmp_path)
    card.write_text(CARD.replace('"driver"', '"arcface"'))
    masquerade("anonymize", clip, "-o", out, "--swapper", card).refused("bad-option", "bank", card)
    card.write_text(CARD.replace("network.onnx", "gone.onnx"))
    masquerade("anonymize", clip, "-o", out, "--swapper", card).refused("no-weights", "gone.onnx")
    assert not out.exists()


PACKAGED_CARD = """
type = "weights"
name = "swapper"
task = "swap"
sha256 = "{sha256}"
size = {size}
licence = "Nobody but the tests may use it"
commercial_use = false
origin = "a test"
training_data = "none"
limits = "does not know whom to show"
source = {{ kind = "packaged", file = "swapper.onnx" }}
"""


@pytest.fixture
def packaged(tmp_path, monkeypatch):
    """The package as it is with a swapper of its own dropped in: `swapper.onnx` and `swapper.toml`, nothing else."""

    def drop(*, turn=True):
        folder = tmp_path / "packaged"
        folder.mkdir()
        for file in cards.PACKAGED.iterdir():
            if not file.name.startswith("swapper."):
                (folder / file.name).symlink_to(file)
        own = (write_swapper(folder, turn=turn).parent / "network.onnx").rename(folder / "swapper.onnx").read_bytes()
        (folder / "card.toml").unlink()
        head = PACKAGED_CARD.format(sha256=hashlib.sha256(own).hexdigest(), size=len(own))
        tables = CARD[CARD.index("[input]") :]
        (folder / "swapper.toml").write_text(head + tables)
        for module in (cards, store):
            monkeypatch.setattr(module, "PACKAGED", folder)
        cards._read_all.cache_clear()

    yield drop
    monkeypatch.undo()
    cards._read_all.cache_clear()


@pytest.fixture
def bare(packaged):
    """The package without a swapper, whether it has one or not."""
    packaged()
    (cards.PACKAGED / "swapper.toml").unlink()
    cards._read_all.cache_clear()


def comment(path):
    with av.open(str(path)) as container:
        return container.metadata.get("comment")


def test_two_files_dropped_into_the_package_make_swapping_the_default(tmp_path, clip, packaged):
    packaged()
    assert Settings().treatment.method == "swap"
    said = masquerade("anonymize", clip, "-o", tmp_path / "once.mp4")
    assert said.code == 0, said
    summary, terms = said.err.splitlines()
    assert "Nobody but the tests may use it" in terms
    assert "--method blur" in terms
    assert "24 faces replaced" in summary
    swapped = int(re.search(r"(\d+) swapped", summary)[1])
    redacted = re.search(r"(\d+) redacted instead", summary)
    assert swapped >= 20 and swapped + (int(redacted[1]) if redacted else 0) == 24, summary
    assert "1 fabricated face chosen" in summary
    assert comment(tmp_path / "once.mp4").endswith(COMPOSITE)
    plan = tmp_path / "plan.json"
    assert masquerade("analyze", clip, "-o", plan, "--quiet").code == 0
    assert json.loads(plan.read_text())["treatment"]["method"] == "swap"
    two = masquerade("render", clip, "-p", plan, "-o", tmp_path / "two.mp4", "--quiet")
    assert (two.code, two.err) == (0, "")
    for first, second in zip(frames_of(tmp_path / "once.mp4"), frames_of(tmp_path / "two.mp4"), strict=True):
        assert np.abs(first - second).mean() < 0.5


def test_redaction_stays_what_it_was_beside_a_packaged_swapper(tmp_path, clip, packaged):
    packaged()
    (cards.PACKAGED / "driver.onnx").unlink()  # whoever redacts everyone needs no encoder
    said = masquerade("anonymize", clip, "-o", tmp_path / "out.mp4", "--method", "blur", "--visible-mark", "--json")
    assert said.code == 0, said
    [row] = json.loads(said.out)["files"]
    assert "outcomes" not in row
    assert comment(tmp_path / "out.mp4") is None
    before, after = frames_of(clip)[12], frames_of(tmp_path / "out.mp4")[12]
    assert np.abs(before - after)[-30:, :200].mean() < 3, "nothing is synthetic, so nothing says so"


def test_a_photo_says_that_its_face_is_synthetic_if_it_is(tmp_path, astronaut, packaged, detector):
    packaged()
    Image.fromarray(astronaut).save(tmp_path / "in.png")
    said = masquerade("anonymize", tmp_path / "in.png", "-o", tmp_path / "out.png", "--visible-mark", "--json")
    [row] = json.loads(said.out)["files"]
    assert row["outcomes"] == {"swapped": 1}
    assert source_type(tmp_path / "out.png") == [COMPOSITE]
    out = np.array(Image.open(tmp_path / "out.png"))
    assert (out != astronaut)[-25:, :100].mean() > 0.9, "the mark"
    assert (out == astronaut)[-25:, 300:].all()


def test_a_photo_whose_face_was_redacted_after_all_says_nothing(tmp_path, astronaut, packaged, detector):
    packaged(turn=False)
    Image.fromarray(astronaut).save(tmp_path / "in.png")
    said = masquerade("anonymize", tmp_path / "in.png", "-o", tmp_path / "out.png", "--visible-mark", "--json")
    [row] = json.loads(said.out)["files"]
    assert row["outcomes"] == {"recognised": 1}
    assert (row["dressed"], row["exchanged"]) == (1, 1)
    assert source_type(tmp_path / "out.png") is None
    assert (np.array(Image.open(tmp_path / "out.png")) == astronaut)[-25:].all()


def test_without_a_swapper_everything_is_blurred_and_asking_for_one_is_refused(tmp_path, clip, bare):
    assert Settings().treatment.method == "blur"
    out = tmp_path / "out.mp4"
    masquerade("anonymize", clip, "-o", out, "--method", "swap").refused("bad-option", "--swapper")
    plan = tmp_path / "plan.json"
    masquerade("analyze", clip, "-o", plan, "--method", "swap").refused("bad-option", "--swapper")
    assert masquerade("analyze", clip, "-o", plan, "--quiet").code == 0
    plan.write_text(plan.read_text().replace('"method": "blur"', '"method": "swap"'))
    masquerade("render", clip, "-p", plan, "-o", out).refused("bad-option", "--swapper")
    assert not out.exists()
