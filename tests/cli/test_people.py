"""People chosen by photo, fabricated faces and the vault, as commands."""

import json
import shutil

import av
import numpy as np
import pytest
from PIL import Image

from masquerade.identity import Key, Vault, open_bank, resolve
from masquerade.plan import Plan

from ..conftest import fetched
from .command import masquerade

pytestmark = pytest.mark.network


@pytest.fixture(scope="module")
def him(tmp_path_factory, weights):
    """A photo of another man."""
    with av.open(str(fetched("carphone"))) as container:
        frame = next(container.decode(video=0)).to_image()
    path = tmp_path_factory.mktemp("him") / "him.png"
    frame.resize((352, 288)).save(path)
    return path


@pytest.fixture
def key(tmp_path):
    (tmp_path / "keys").mkdir()
    assert masquerade("vault", "key", tmp_path / "keys/key", "-q").code == 0
    return tmp_path / "keys/key"


def test_exempt_keeps_the_person_and_says_whom_it_matched(tmp_path, media, him):
    out = tmp_path / "out.png"
    both = ("--exempt", media / "face.jpg", "--exempt", him)
    said = masquerade("anonymize", media / "face.png", "-o", out, "--method", "blur", *both)
    assert said.code == 0, said
    assert (np.array(Image.open(out)) == np.array(Image.open(media / "face.png"))).all()
    what, first, second = said.err.strip().removeprefix(f"{out}: ").split("; ")
    assert what == "0 faces replaced, 1 left as they were"
    assert first.startswith("face.jpg is surely person 1 (distance 0.0")
    assert second.startswith("him.png ")
    assert "surely" not in second
    only = ("--only", media / "face.jpg", "--method", "blur", "--json")
    said = masquerade("anonymize", media / "face.png", "-o", tmp_path, *only)
    [row] = json.loads(said.out)["files"]
    [match] = row["matches"]
    assert sum(row["replaced"].values()) == 1
    assert (match["reference"], match["person"], match["verdict"]) == ("face.jpg", 1, "sure")
    assert match["distance"] < 0.1
    assert row["doubtful"] == 0


def test_analyze_writes_who_is_kept_and_who_wears_what(tmp_path, media):
    plan = tmp_path / "plan.json"
    said = masquerade("analyze", media / "face.png", "-o", plan, "--exempt", media / "face.jpg")
    assert said.err.startswith(f"{plan}: 1 person, 1 face in 1 frame; face.jpg is surely person 1"), said
    assert Plan.load(plan).people[0].action == "keep"
    said = masquerade("analyze", media / "face.png", "-o", plan, "--policy", "per-video", "--fitting", "--json")
    told = json.loads(said.out)
    assert (told["people"], told["dressed"], told["faceless"]) == (1, 1, 0)
    assert "matches" not in told
    [anchor] = resolve(Plan.load(plan), open_bank()).values()
    assert anchor.face.shape == (512,)
    said = masquerade("analyze", media / "face.png", "-o", plan, "--policy", "fixed")
    assert said.err == f"{plan}: 1 person, 1 face in 1 frame; 1 fabricated face chosen\n"


def test_a_vault_gives_the_same_face_and_finds_and_forgets_whom_a_photo_shows(tmp_path, media, him, key):
    vault = ("--vault", tmp_path / "people.vault", "--key", key)
    (tmp_path / "in").mkdir()
    for name in ("face.png", "face.jpg"):
        shutil.copy(media / name, tmp_path / "in")
    consistent = ("--policy", "consistent", *vault, "--keep", 30)
    said = masquerade("anonymize", tmp_path / "in", "-o", tmp_path / "out", *consistent)
    assert said.code == 0, said
    assert said.err.count("1 fabricated face chosen") == 2
    plans = []
    for name in ("face.png", "face.jpg"):
        masquerade("analyze", media / name, "-o", tmp_path / "plan.json", *consistent, "-q")
        plans.append(Plan.load(tmp_path / "plan.json").people[0].anchor)
    assert plans[0] == plans[1]
    [entry] = Vault(tmp_path / "people.vault", Key.from_file(key)).entries()
    assert entry.videos == 4
    assert (entry.expires - entry.created).days == 30
    assert plans[0] == f"bank {open_bank().info.sha256[:12]} member {entry.member}"

    opened = (tmp_path / "people.vault", "--key", key)
    [row] = json.loads(masquerade("vault", "find", opened[0], media / "face.jpg", *opened[1:], "--json").out)
    assert (row["id"], row["likely"]) == (entry.id, True)
    assert entry.id in masquerade("vault", "find", opened[0], media / "face.jpg", *opened[1:]).out
    assert masquerade("vault", "forget", opened[0], entry.id, *opened[1:], "-q").code == 0
    said = masquerade("vault", "find", opened[0], media / "face.jpg", *opened[1:])
    assert said.err.endswith("nobody in it looks like face.jpg\n")


def test_options_that_do_not_go_together(tmp_path, media, key):
    def refused(*options):
        blur = ("-o", tmp_path / "out.png", "--method", "blur")
        masquerade("anonymize", media / "face.png", *blur, *options).refused("bad-option")
        assert not (tmp_path / "out.png").exists()

    vault = ("--vault", tmp_path / "people.vault")
    refused("--policy", "consistent")
    refused("--policy", "consistent", *vault)
    refused("--policy", "consistent", *vault, "--key", key, "--passphrase")
    refused("--policy", "per-video", *vault, "--key", key)
    refused(*vault, "--key", key)
    refused("--key", key)
    refused("--keep", 30)
    refused("--fitting")
    refused("--any-face")
    refused("--policy", "never")
    refused("--exempt", media / "face.jpg", "--only", media / "face.jpg")
    masquerade("anonymize", media / "face.png", "-o", tmp_path / "out.png", "--exempt", tmp_path / "none.jpg").refused(
        "bad-input", "none.jpg"
    )
    assert not (tmp_path / "people.vault").exists()
