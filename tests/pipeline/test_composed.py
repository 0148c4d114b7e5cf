"""People keep their numbers from pixels to Plan: clips composed of photos of known people moving on known ways.

Each person is one photo, moved, resized, dimmed and hidden, so that the truth is exact and unambiguous: these are
people whom the encoder tells apart. What it does with photos of different days stands in docs/concepts/who-is-who.md.
"""

import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from masquerade.audit.tracking import tracking_figures
from masquerade.faces.embed import open_encoder
from masquerade.pipeline import analyze
from masquerade.types import Box

from ..scenes import background, write_clip

PHOTOS = Path(__file__).resolve().parents[3] / "shared/data/celeba-val-128.zip"
pytestmark = [
    pytest.mark.network,
    pytest.mark.skipif(not PHOTOS.is_file(), reason="needs ../shared/data/celeba-val-128.zip"),
]

RATE = 24
SIDE = 128
APART = 0.85  # cosine distance
MASK = cv2.GaussianBlur(
    cv2.ellipse(np.zeros((SIDE, SIDE), np.float32), (64, 62), (58, 64), 0, 0, 360, 1, -1), (0, 0), 2
)


@pytest.fixture(scope="module")
def encoder():
    return open_encoder()


@pytest.fixture(scope="module")
def people(encoder, detector):
    """Seven photos, uint8 RGB (128, 128, 3), of people who are strangers to each other."""
    chosen, known = [], []
    with zipfile.ZipFile(PHOTOS) as zipped:
        first = {}
        for name in sorted(zipped.namelist()):
            first.setdefault(name.split("/")[0], name)
        for name in first.values():
            photo = cv2.imdecode(np.frombuffer(zipped.read(name), np.uint8), cv2.IMREAD_COLOR_RGB)
            small = cv2.resize(photo, (112, 112), interpolation=cv2.INTER_AREA)
            [vector] = encoder.embed_crops(small[None])
            faces = detector.detect([picture(320, 240, [(photo, (160, 120, 90), 1.0)])])[0]
            if len(faces) == 1 and faces[0].score > 0.7 and all(1 - vector @ other > APART for other in known):
                chosen.append(photo)
                known.append(vector)
            if len(chosen) == 7:
                return chosen
    raise AssertionError("too few strangers")


def picture(width, height, shown, behind=0):
    """Photos on a background: (photo, (centre x, centre y, width), brightness), those behind first."""
    scene = np.roll(background(width, height), 97 * behind, axis=1)
    scene = (255 - scene if behind % 2 else scene).astype(np.float32)
    for photo, (x, y, size), light in shown:
        matrix = np.array([[size / SIDE, 0, x - size / 2], [0, size / SIDE, y - size / 2]])
        weight = cv2.warpAffine(MASK, matrix, (width, height))[..., None]
        scene += weight * (cv2.warpAffine(photo, matrix, (width, height)) * np.float32(light) - scene)
    return scene.clip(0, 255).astype(np.uint8)


def followed(tmp_path, detector, encoder, pictures, truth):
    """Figures of the Plan against the truth: for each frame a person → (x, y, width)."""
    plan = analyze(write_clip(tmp_path / "clip.mp4", pictures, rate=RATE), detector, encoder=encoder)
    found = [{} for _ in pictures]
    for person in plan.people:
        for seen in person.faces:
            found[seen.frame][person.id] = seen.face.box
    there = [{who: Box(x - w / 2, y - w / 2, x + w / 2, y + w / 2) for who, (x, y, w) in one.items()} for one in truth]
    return plan, tracking_figures(there, found, overlap=0.15)


def everybody(figures):
    """Nobody ever had another's number, and hardly anybody was without their own."""
    assert figures.switches == 0
    assert figures.both >= 0.98 * figures.true


def test_two_who_turn_back_behind_a_bar(tmp_path, detector, encoder, people):
    pictures, truth = [], []
    for frame in range(84):
        way = 3.2 * min(frame, 84 - frame)
        places = {0: (130 + way, 180, 90), 1: (510 - way, 186, 90)}
        scene = picture(640, 360, [(people[who], place, 1.0) for who, place in places.items()])
        cv2.rectangle(scene, (240, 60), (400, 320), (90, 80, 70), -1)
        pictures.append(scene)
        truth.append({who: place for who, place in places.items() if not 200 < place[0] < 440})
    everybody(followed(tmp_path, detector, encoder, pictures, truth)[1])


def test_one_passes_in_front_of_the_other_while_the_light_changes(tmp_path, detector, encoder, people):
    pictures, truth = [], []
    for frame in range(72):
        light = 1 - 0.5 * np.sin(np.pi * frame / 72)
        places = {2: (560 - 6 * frame, 186, 80), 3: (80 + 6 * frame, 180, 100)}
        pictures.append(picture(640, 360, [(people[who], place, light) for who, place in places.items()]))
        hidden = abs(places[2][0] - places[3][0]) < 80
        truth.append({who: place for who, place in places.items() if who == 3 or not hidden})
    everybody(followed(tmp_path, detector, encoder, pictures, truth)[1])


def test_three_in_three_shots_and_one_who_leaves_and_returns(tmp_path, detector, encoder, people):
    pictures, truth = [], []
    columns = [(110, 320, 530), (530, 110, 320), (320, 530, 110)]
    for frame in range(108):
        shot, time = divmod(frame, 36)
        places = {
            who: (columns[shot][who] + time * (who - 1), 180 + 8 * shot, 80 + 12 * ((shot + who) % 3))
            for who in range(3)
        }
        if shot == 1:
            del places[2]
        light = (1.0, 0.8, 1.1)[shot]
        shown = [(people[who], place, light) for who, place in places.items()]
        pictures.append(picture(640, 360, shown, behind=shot))
        truth.append(places)
    plan, figures = followed(tmp_path, detector, encoder, pictures, truth)
    everybody(figures)
    assert len(plan.people) == 3


def test_seven_who_walk_about_cross_leave_and_return(tmp_path, detector, encoder, people):
    """The scene of thesis 1.2.2. Who is larger walks in front."""
    rng = np.random.default_rng(4)
    sizes = np.linspace(46, 76, 7)
    starts, speeds = rng.uniform(40, 600, 7), rng.uniform(6, 10, 7) * rng.choice([-1, 1], 7)
    pictures, truth = [], []
    for frame in range(108):
        places = {}
        for who, size in enumerate(sizes.tolist()):
            x = (starts[who] + speeds[who] * frame + 200) % 1040 - 200  # leaves on one side, returns on the other
            places[who] = (float(x), 3.2 * size, size)
        pictures.append(picture(640, 360, [(people[who], place, 1.0) for who, place in places.items()]))
        truth.append({who: place for who, place in places.items() if in_sight(who, places)})
    everybody(followed(tmp_path, detector, encoder, pictures, truth)[1])


def in_sight(who, places):
    """Wholly in the picture, and nobody larger before them."""
    x, y, size = places[who]
    before = [places[other] for other in places if other > who]
    return size / 2 < x < 640 - size / 2 and not any(abs(a - x) < 0.75 * size and abs(b - y) < 70 for a, b, _ in before)
