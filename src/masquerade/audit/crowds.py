"""Made-up people on known ways, so that the truth of who is who is exact: for tests and benchmarks of tracking.

Nothing is drawn: a scene is what a detector and an encoder would have said of it. Embeddings have the distances that
were measured with the packaged driver: strangers about 1 apart, one person's crops about 0.22 from look to look, and
about 0.55 from shot to shot, because light and view change with the shot.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from masquerade.types import Box, Face

RATE = 24.0
"""Frames a second."""
EVERY = 3
"""Frames from look to look."""

_DIMENSIONS = 70  # of unit vectors whose cosines deviate by 0.12, as the driver's do


@dataclass(frozen=True, slots=True)
class Shades:
    """How embeddings vary; the three shares of squared length add up to 1.

    Attributes:
        person: what stays the same for ever.
        shot: what stays the same as long as somebody is in sight.
        look: what changes from look to look.
    """

    person: float = 0.445
    shot: float = 0.335
    look: float = 0.22


DRIVER = Shades()
"""The packaged driver after some minutes of training, by its distances on CelebA and on real clips."""
TEACHER = Shades(person=0.66, shot=0.22, look=0.12)
"""A well trained recogniser."""

Way = Callable[[float], tuple[float, float, float]]
"""Seconds → centre x, centre y and width of a face, pixels."""


@dataclass(frozen=True, slots=True)
class Stay:
    """One time that somebody is in the picture.

    Attributes:
        person: who.
        start, end: seconds.
        way: where.
        hidden: spans (from, to) of seconds in which nothing is to be seen of them.
        poor: spans in which light is bad: of quality 0.1, and noise instead of half of what embeddings say.
    """

    person: int
    start: float
    end: float
    way: Way
    hidden: Sequence[tuple[float, float]] = ()
    poor: Sequence[tuple[float, float]] = ()


@dataclass(frozen=True, slots=True)
class Scene:
    """Who is where when.

    Attributes:
        stays: all of them.
        seconds: length.
        cuts: seconds at which the picture changes.
        alike: person → (another, how much of that one they have), for look-alikes: 0.5 is half.
    """

    stays: Sequence[Stay]
    seconds: float
    cuts: Sequence[float] = ()
    alike: Mapping[int, tuple[int, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Glance:
    """One look at a scene.

    Attributes:
        frame: counts from 0.
        cut: the picture has changed since the look before.
        people: who each face is: the truth.
        faces: as a detector gives them.
        embeddings: unit vectors, (faces, dimensions).
        qualities: of each face.
    """

    frame: int
    cut: bool
    people: list[int]
    faces: list[Face]
    embeddings: NDArray[np.float32]
    qualities: list[float]


def glances(scene: Scene, seed: int, shades: Shades = DRIVER) -> Iterator[Glance]:
    """What is seen of a scene, look by look; the same for the same seed."""
    rng = np.random.default_rng(seed)
    people = {number: _direction(rng) for number in sorted({stay.person for stay in scene.stays})}
    for one, (other, share) in scene.alike.items():
        people[one] = _unit(math.sqrt(share) * people[other] + math.sqrt(1 - share) * people[one])
    shots = [_direction(rng) for _ in scene.stays]
    before = -1.0
    for frame in range(0, round(scene.seconds * RATE), EVERY):
        time = frame / RATE
        seen, faces, vectors, qualities = [], [], [], []
        for stay, shot in zip(scene.stays, shots, strict=True):
            if not stay.start <= time < stay.end or _within(time, stay.hidden):
                continue
            poor = _within(time, stay.poor)
            look = shades.look + (0.5 if poor else 0.0) * (1 - shades.look)
            kept = (1 - look) / (1 - shades.look)
            vectors.append(
                _unit(
                    math.sqrt(kept * shades.person) * people[stay.person]
                    + math.sqrt(kept * shades.shot) * shot
                    + math.sqrt(look) * _direction(rng)
                )
            )
            x, y, width = stay.way(time)
            dx, dy = rng.normal(0, 0.02 * width, 2)
            seen.append(stay.person)
            faces.append(_face(x + dx, y + dy, width * math.exp(rng.normal(0, 0.02)), 0.35 if poor else 0.8))
            qualities.append(0.1 if poor else float(rng.uniform(0.4, 0.9)))
        cut = any(before < second <= time for second in scene.cuts)
        embeddings = np.array(vectors, np.float32).reshape(-1, _DIMENSIONS)
        order = rng.permutation(len(seen))
        yield Glance(
            frame,
            cut,
            [seen[i] for i in order],
            [faces[i] for i in order],
            embeddings[order],
            [qualities[i] for i in order],
        )
        before = time


def straight(x: float, y: float, vx: float, vy: float = 0.0, width: float = 60.0) -> Way:
    """From (x, y) at 0 s on, (vx, vy) pixels a second."""
    return lambda time: (x + vx * time, y + vy * time, width)


def there_and_back(x: float, y: float, vx: float, turn: float, width: float = 60.0) -> Way:
    """The same, but back again from `turn` seconds on."""
    return lambda time: (x + vx * (time if time < turn else 2 * turn - time), y, width)


def crossing() -> Scene:
    """Two pass each other; the one behind is hidden for a moment."""
    return Scene([Stay(1, 0, 6, straight(60, 200, 90)), Stay(2, 0, 6, straight(600, 212, -90), hidden=[(2.6, 3.4)])], 6)


def meeting() -> Scene:
    """Two meet, both are out of sight behind a third's back, and each goes back: by motion they seem to have passed."""
    hidden = [(2.7, 3.3)]
    return Scene(
        [
            Stay(1, 0, 6, there_and_back(60, 200, 90, 3), hidden=hidden),
            Stay(2, 0, 6, there_and_back(600, 205, -90, 3), hidden=hidden),
        ],
        6,
    )


def bar() -> Scene:
    """Somebody walks behind a wide bar and is hidden for longer than motion is believed; another stands beside."""
    return Scene([Stay(1, 0, 9, straight(60, 200, 60), hidden=[(2.5, 6.2)]), Stay(2, 0, 9, straight(560, 90, 0))], 9)


def returning() -> Scene:
    """Two leave and come back from the other side, in the other order."""
    return Scene(
        [
            Stay(1, 0, 3, straight(300, 200, 110)),
            Stay(2, 0.5, 4, straight(250, 120, -90)),
            Stay(2, 9, 13, straight(1500, 200, -100)),
            Stay(1, 10, 14, straight(-900, 120, 90)),
        ],
        14,
    )


def cuts() -> Scene:
    """Three people in four shots, each time elsewhere and of another size."""
    stays = [
        Stay(person, 3.0 * shot, 3.0 * (shot + 1), straight(*places[shot], 4, width=60 + 25 * ((person + shot) % 3)))
        for person, places in enumerate(
            (
                [(100, 150), (420, 200), (250, 160), (120, 220)],
                [(300, 170), (150, 180), (500, 150), (330, 190)],
                [(500, 160), (600, 170), (90, 170), (560, 150)],
            ),
            start=1,
        )
        for shot in range(4)
    ]
    return Scene(stays, 12, cuts=(3, 6, 9))


def light() -> Scene:
    """The light goes while two who stand close change places, and comes back."""
    poor = [(2.0, 4.0)]

    def one(time: float) -> tuple[float, float, float]:
        return 200 + 25 * min(max(time - 2, 0), 2), 200, 60

    def other(time: float) -> tuple[float, float, float]:
        return 250 - 25 * min(max(time - 2, 0), 2), 215, 60

    return Scene([Stay(1, 0, 7, one, poor=poor), Stay(2, 0, 7, other, poor=poor)], 7)


def lookalikes() -> Scene:
    """Two who resemble each other side by side, who leave, and come back one after the other."""
    return Scene(
        [
            Stay(1, 0, 4, straight(200, 200, 3)),
            Stay(2, 0, 4, straight(290, 200, 3)),
            Stay(2, 8, 10, straight(300, 180, 3)),
            Stay(1, 14, 16, straight(300, 180, 3)),
        ],
        16,
        alike={2: (1, 0.5)},
    )


def crowd(people: int, seed: int) -> Scene:
    """Seven to twelve people who move around, cross, leave and return (thesis 1.2.2), for half a minute.

    Where two are nearer than half a face, the one farther away is hidden.
    """
    rng = np.random.default_rng(seed)
    seconds = 30.0
    stays: list[Stay] = []
    for person in range(1, people + 1):
        time = float(rng.uniform(0, 4))
        while time < seconds - 2:
            end = min(time + float(rng.uniform(4, 10)), seconds)
            speed = float(rng.uniform(40, 110)) * float(rng.choice([-1, 1]))
            middle = float(rng.uniform(250, 1030))
            x = middle - speed * (time + end) / 2
            width = float(rng.uniform(40, 80))
            stays.append(Stay(person, time, end, straight(x, 100 + 2.5 * width, speed, width=width)))
            time = end + float(rng.uniform(2, 8))
    return Scene([_behind(stay, stays) for stay in stays], seconds)


SCENES: Mapping[str, Callable[[int], Scene]] = {
    "crossing": lambda seed: crossing(),
    "meeting and turning back": lambda seed: meeting(),
    "behind a bar": lambda seed: bar(),
    "leaving and returning": lambda seed: returning(),
    "cuts": lambda seed: cuts(),
    "the light goes": lambda seed: light(),
    "look-alikes": lambda seed: lookalikes(),
    "crowd of 7": lambda seed: crowd(7, seed),
    "crowd of 12": lambda seed: crowd(12, seed),
}
"""By name; from a seed."""


def _behind(stay: Stay, stays: Sequence[Stay]) -> Stay:
    """The stay, hidden where somebody larger stands before it."""
    hidden = []
    for frame in range(math.ceil(stay.start * RATE), math.ceil(stay.end * RATE)):
        time = frame / RATE
        x, y, width = stay.way(time)
        for other in stays:
            if other is not stay and other.start <= time < other.end:
                ox, oy, wide = other.way(time)
                if wide > width and math.hypot(ox - x, oy - y) < wide / 2:
                    hidden.append((time - 0.5 / RATE, time + 0.5 / RATE))
                    break
    return Stay(stay.person, stay.start, stay.end, stay.way, hidden, stay.poor)


def _within(time: float, spans: Sequence[tuple[float, float]]) -> bool:
    return any(start <= time < end for start, end in spans)


def _face(x: float, y: float, width: float, score: float) -> Face:
    half_w, half_h = width / 2, width * 0.65
    points = np.array([[-0.2, -0.1], [0.2, -0.1], [0, 0.1], [-0.15, 0.3], [0.15, 0.3]])
    landmarks = (points * [width, 1.3 * width] + [x, y]).astype(np.float32)
    return Face(Box(x - half_w, y - half_h, x + half_w, y + half_h), score, landmarks)


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    unit: NDArray[np.float64] = vector / np.linalg.norm(vector)
    return unit


def _direction(rng: np.random.Generator) -> NDArray[np.float64]:
    return _unit(rng.standard_normal(_DIMENSIONS))
