"""Detections → tracks, by motion and appearance. Tracking only ever adds coverage.

A detector looks at some frames and now and then misses a face; a missed face is a person exposed, a blur too many costs
nothing. So every detection that starts or joins a track is kept, gaps between detections are filled, and both ends are
prolonged, since detectors see a face late and lose it early.

Motion decides what *may* be one face; appearance decides among what may, refuses who is clearly somebody else, and
knows people again who come back. What is one person is thought over once more at the end, when everything has been seen
(`merging`). None of it takes coverage away: faces are also tracked by motion alone, and whatever that covers stays
covered, whoever is there.
"""

import math
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from masquerade.errors import FaceError
from masquerade.identity.merging import merge
from masquerade.identity.running import GOOD, Likeness, Running
from masquerade.identity.trails import COAST, Array, Scene, Trail, hull, move, row, united
from masquerade.types import Box, Embedding, Face, Track, TrackedFace

START_SCORE = 0.25
KEEP_SCORE = 0.2

LONGEST_GAP = 3.0
"""Seconds that a face may be lost and still be the same track, if it comes back where it is expected."""

UNSURE_GAP = 1.0
"""The same for a track of which no detection was sure."""

# Costs are in faces; see `association_cost`.
_FARTHEST = 2.6
_FARTHEST_WEAK = 1.0
_COST_OF_A_SECOND = 0.3
_COST_OF_A_STRANGER = 2.5
"""What somebody who has nothing in common with the one expected is farther away. Between two looks the same face moves
by a third of a face or so; the same person's crops are then about 0.25 apart and strangers' 0.95, where the threshold
is 0.55. With 2.5 a face that stands where it stood may look strange for once, another that comes near is refused."""

_LITTLE = 1e-6
"""What a pair gains at least that is not clearly two people: better than nothing."""

_LEAST = 1e-3
"""Quality below which a crop is not looked at."""

_MOMENT = 0.5
"""Seconds after which who stands where another stood is refused, not only put farther away."""

_STAYED = 3
"""Good looks on end at a stranger after which the person has changed: one or two may be a bad moment."""

_AT_ONCE, _A_SECOND = 1.6, 12.0
"""Faces that somebody may be from where they were seen, and more for each second since: at two metres a second."""


def association_cost(expected: Array, found: Array, lost: Array) -> Array:
    """How badly detections fit tracks: 0 is a perfect fit.

    The sum of the distance of the centres in face sizes, 1 - intersection over union, twice the absolute logarithm of
    the ratio of sizes, and a little for the time a track has been lost, so that it yields to one just seen.

    Args:
        expected: where each track should be now, shape (n, 4), each row (centre x, centre y, width, height) in pixels.
        found: the detections alike, shape (m, 4).
        lost: seconds since each track was last seen, shape (n,).

    Returns:
        Shape (n, m), 0 or more; does not change when all coordinates are scaled.
    """
    a, b = expected[:, None, :], found[None, :, :]
    size_a, size_b = np.sqrt(a[..., 2] * a[..., 3]), np.sqrt(b[..., 2] * b[..., 3])
    distance = np.hypot(*np.moveaxis(a[..., :2] - b[..., :2], -1, 0)) * 2 / (size_a + size_b)
    overlap = np.minimum(a[..., :2] + a[..., 2:] / 2, b[..., :2] + b[..., 2:] / 2) - np.maximum(
        a[..., :2] - a[..., 2:] / 2, b[..., :2] - b[..., 2:] / 2
    )
    common = np.prod(np.maximum(overlap, 0), axis=-1)
    iou = common / (size_a**2 + size_b**2 - common)
    cost: Array = distance + (1 - iou) + 2 * np.abs(np.log(size_a / size_b)) + _COST_OF_A_SECOND * lost[:, None]
    return cost


class Tracker:
    """Puts the faces of a video's frames together into tracks, and tracks of one person into one.

    Args:
        frame_rate: frames a second, above 0.
        likeness: how near embeddings of one person are; needed where embeddings are handed in.
        start_score: a detection at least this sure starts a track, even if it is the only one.
        keep_score: one at least this sure continues a track, or is kept if it leads to one that starts a track without
            a gap of more than a second; others are dropped.
    """

    def __init__(
        self,
        *,
        frame_rate: float,
        likeness: Likeness | None = None,
        start_score: float = START_SCORE,
        keep_score: float = KEEP_SCORE,
    ) -> None:
        if not (math.isfinite(frame_rate) and frame_rate > 0):
            raise ValueError(f"a frame rate of {frame_rate}")
        self._rate = frame_rate
        self._likeness = likeness
        self._start_score = start_score
        self._keep_score = keep_score
        self._scenes = [Scene(0)]
        self._alive: list[Trail] = []
        self._tracks: list[Trail] = []
        self._last = -1
        alone = Tracker(frame_rate=frame_rate, start_score=start_score, keep_score=keep_score) if likeness else None
        self._by_motion = alone

    def update(
        self,
        frame: int,
        faces: Sequence[Face],
        *,
        cut: bool = False,
        motion: NDArray[np.floating] | None = None,
        embeddings: NDArray[np.float32] | None = None,
        qualities: Sequence[float] | None = None,
    ) -> list[int]:
        """Takes the faces found in a frame. Frames ascend and may be skipped.

        Args:
            frame: counts from 0.
            faces: in pixels of this frame; boxes may reach outside.
            cut: this frame opens a new scene: nobody is where they were.
            motion: camera motion, shape (2, 3): maps points of the frame of the previous call to this one. None: none.
            embeddings: a unit vector for each face, shape (n, dimensions); rows of NaN where nobody looked.
            qualities: of each face, 0 to 1 (`faces.quality`).

        Returns:
            For each face the id of its person as far as is known now, or 0 if it is not, or not yet, in a track.
            Somebody who returns has the id they had. `finish` sees more and may yet join two people, under the smaller
            id, or part them.

        Raises:
            FaceError: a box is not finite or is empty, or there are not as many embeddings and qualities as faces.
            ValueError: the frame does not come after the one before.
        """
        if frame <= self._last:
            raise ValueError(f"frame {frame} after frame {self._last}")
        looks = self._looks(len(faces), embeddings, qualities)
        found = np.array([row(face) for face in faces]).reshape(-1, 4)
        if self._by_motion is not None:
            self._by_motion.update(frame, faces, cut=cut, motion=motion)
        self._last = frame
        if cut and frame > 0:
            self._scenes[-1].end = frame
            self._scenes.append(Scene(frame))
            self._alive = []
        scene = self._scenes[-1]
        scene.add(frame, motion)
        self._alive = [
            one for one in self._alive if self._lost(one, frame) <= (LONGEST_GAP if one.sure else UNSURE_GAP)
        ]

        places = move(np.linalg.inv(scene.cameras[-1:]), found)
        strong = [i for i, face in enumerate(faces) if face.score >= self._start_score]
        weak = [i for i, face in enumerate(faces) if self._keep_score <= face.score < self._start_score]
        owners = self._owners(frame, places, strong, weak, looks)
        for index in strong + weak:
            if index in owners:
                owners[index].add(frame, faces[index], places[index])
            else:
                owners[index] = Trail.of(scene, frame, faces[index], places[index])
                self._alive.append(owners[index])
            if (look := looks[index]) is not None:
                self._look(owners[index], *look)
        here = owners.values()
        for index in strong:
            if not owners[index].id:
                self._start(owners[index], frame, here)
        _told_apart(here)
        return [owners[index].person if index in owners else 0 for index in range(len(faces))]

    def finish(self, frames: int) -> list[Track]:
        """The tracks, one a person, gaps filled and ends prolonged, in the order of their ids.

        Who left and returned, or was seen in several scenes, has one track in several stretches.

        Args:
            frames: how many the video has; nothing reaches beyond.

        Raises:
            ValueError: there are frames beyond.
        """
        if frames <= self._last:
            raise ValueError(f"frame {self._last} of {frames}")
        self._scenes[-1].end = frames
        people = self._people()
        covered = [_covered(person, self._rate) for person in people]
        if self._by_motion is not None:
            self._by_motion.finish(frames)
            covered = _with(covered, people, self._by_motion._people(), self._rate)
        tracks = []
        for person, faces in zip(people, covered, strict=True):
            identity = _identity(person)
            unit = identity.unit if identity is not None and identity.good else None
            tracks.append(Track(person[0].id, tuple(faces), unit, any(trail.mixed for trail in person)))
        return tracks

    def _looks(
        self, count: int, embeddings: NDArray[np.float32] | None, qualities: Sequence[float] | None
    ) -> list[tuple[Embedding, float] | None]:
        """For each face its embedding and quality, None where nobody looked."""
        if embeddings is None or not count:
            return [None] * count
        if self._likeness is None:
            raise ValueError("embeddings, but no likeness to compare them by")
        if qualities is None or len(embeddings) != count or len(qualities) != count:
            raise FaceError(f"{count} faces need as many embeddings and qualities")
        return [
            (embedding, quality) if quality >= _LEAST and np.isfinite(embedding).all() else None
            for embedding, quality in zip(embeddings, qualities, strict=True)
        ]

    def _look(self, trail: Trail, embedding: Embedding, quality: float) -> None:
        """Adds a look, and notes whether somebody else has taken the place: in a cross-fade nobody moves."""
        before = trail.identity
        if self._likeness is not None and before is not None and before.good and quality >= GOOD:
            if trail.strange == 0 or trail.usual is None:
                trail.usual = before.unit
            strange = 1 - float(trail.usual @ embedding) > self._likeness.apart
            trail.strange = trail.strange + 1 if strange else 0
            trail.mixed |= trail.strange >= _STAYED
        trail.look(embedding, quality)

    def _owners(
        self,
        frame: int,
        places: Array,
        strong: list[int],
        weak: list[int],
        looks: Sequence[tuple[Embedding, float] | None],
    ) -> dict[int, Trail]:
        """Which detection goes on from which trail. Doubtful ones go by motion alone: they show too little."""
        owners: dict[int, Trail] = {}
        free = self._alive
        for candidates, farthest in ((strong, _FARTHEST), (weak, _FARTHEST_WEAK)):
            if not free or not candidates:
                continue
            gain = self._gain(frame, free, places[candidates], farthest)
            if candidates is strong:
                gain = self._liked(frame, gain, free, [looks[index] for index in candidates])
            rows, columns = linear_sum_assignment(gain, maximize=True)
            for r, c in zip(rows.tolist(), columns.tolist(), strict=True):
                if gain[r, c] > 0:
                    owners[candidates[c]] = free[r]
            free = [trail for trail in free if trail not in owners.values()]
        return owners

    def _gain(self, frame: int, trails: Sequence[Trail], places: Array, farthest: float) -> Array:
        """What each pair (trail, place) gains over leaving both alone, 0 where they are too far apart.

        Were every near pair worth the same, two poor pairs would beat a perfect one, and tracks would change persons.
        """
        expected = np.array([trail.expected(frame, COAST * self._rate) for trail in trails])
        lost = np.array([self._lost(trail, frame) for trail in trails])
        gain: Array = np.maximum(farthest - association_cost(expected, places, lost), 0)
        return gain

    def _liked(
        self, frame: int, gain: Array, trails: Sequence[Trail], looks: Sequence[tuple[Embedding, float] | None]
    ) -> Array:
        """The gains where appearance has its say too: more for the like, less for strangers, 0 for who is refused.

        The longer somebody is lost, the less motion says, and the more alike they must be.
        """
        known = [number for number, look in enumerate(looks) if look is not None]
        if self._likeness is None or not known:
            return gain
        match, apart = self._likeness.match, self._likeness.apart
        embeddings = np.array([look[0] for look in looks if look is not None])
        good = np.array([look[1] >= GOOD for look in looks if look is not None])
        liked = gain.copy()
        for number, trail in enumerate(trails):
            if trail.identity is None:
                continue
            lost = self._lost(trail, frame)
            distance = trail.identity.distance(embeddings)
            other = (distance > apart + (match - apart) * min(lost / UNSURE_GAP, 1)) & good & trail.identity.good
            stranger = _COST_OF_A_STRANGER * np.clip((distance - match) / (1 - match), -1, 1)
            may = gain[number, known]
            changed = np.where(may > 0, np.maximum(may - stranger, np.where(other, 0, _LITTLE)), 0)
            liked[number, known] = np.where(other & (lost > _MOMENT), 0, changed)
        return liked

    def _start(self, trail: Trail, frame: int, here: Collection[Trail]) -> None:
        """Gives a trail its id, and the person's that it seems to belong to."""
        self._tracks.append(trail)
        trail.id = len(self._tracks)
        leader = self._leader(trail, here)
        if leader is not None:
            trail.way = leader.seen[-1], trail.seen[0]
            if self._lost(leader, trail.seen[0][0]) <= UNSURE_GAP and not self._differ(leader, trail):
                trail.led_by, trail.person = leader, leader.person
        if trail.led_by is None:
            trail.person = self._returned(trail, frame, here) or trail.id

    def _leader(self, trail: Trail, here: Collection[Trail]) -> Trail | None:
        """The trail that was lost before this one's doubtful beginning, and that its first detection would have joined
        had it not been doubtful."""
        first = trail.seen[0][0]
        lost = [
            one
            for one in self._alive
            if one.id
            and one is not trail
            and one not in here
            and one.seen[-1][0] < first
            and not self._differ(one, trail)
        ]
        if not lost or len(trail.seen) == 1:
            return None
        gain = self._gain(first, lost, trail.first[None], _FARTHEST)[:, 0]
        best = int(gain.argmax())
        return lost[best] if gain[best] > 0 else None

    def _returned(self, trail: Trail, frame: int, here: Collection[Trail]) -> int | None:
        """Who of those not in this frame a new trail shows; None where that is not clear."""
        if self._likeness is None or trail.identity is None or not trail.identity.good:
            return None
        present = {one.person for one in here if one is not trail}
        people: dict[int, list[Trail]] = {}
        for one in self._tracks:
            if one is not trail and one.person not in present:
                people.setdefault(one.person, []).append(one)
        known = {person: identity for person, trails in people.items() if (identity := _identity(trails)) is not None}
        nearest = sorted(
            (1 - float(one.unit @ trail.identity.unit), person) for person, one in known.items() if one.good
        )
        if not nearest or nearest[0][0] >= self._likeness.same_among(len(nearest) + 1):
            return None
        if len(nearest) > 1 and nearest[1][0] < nearest[0][0] + self._likeness.margin:
            return None
        person = nearest[0][1]
        return None if any(self._apart(one, trail) for one in people[person]) else person

    def _people(self) -> list[list[Trail]]:
        """The trails of each person, in the order of the first ones' ids."""
        people: list[list[Trail]] = []
        whose: dict[int, list[Trail]] = {}
        for trail in self._tracks:
            own = whose[trail.led_by.id] if trail.led_by is not None else []
            if not own or any(self._apart(one, trail) for one in own):
                own = []
                people.append(own)
            own.append(trail)
            whose[trail.id] = own
        known = [(person, one) for person in people if (one := _identity(person)) is not None and one.good]
        if self._likeness is None:
            return people

        def apart(a: int, b: int) -> bool:
            return any(self._apart(x, y) for x in known[a][0] for y in known[b][0])

        groups = merge([identity for _, identity in known], self._likeness, apart)
        others = [person for person in people if all(person is not one for one, _ in known)]
        joined = [[trail for number in group for trail in known[number][0]] for group in groups]
        return sorted((sorted(person, key=lambda one: one.id) for person in others + joined), key=lambda one: one[0].id)

    def _differ(self, a: Trail, b: Trail) -> bool:
        """Whether two trails, both seen well, do not show one person for sure."""
        if self._likeness is None or a.identity is None or b.identity is None:
            return False
        distance = float(a.identity.distance(b.identity.last[None])[0])
        return a.identity.good and b.identity.good and distance > self._likeness.match

    def _apart(self, a: Trail, b: Trail) -> bool:
        """Whether one person cannot be both: at the same time, or too far away too soon."""
        if b.seen[0][0] < a.seen[0][0]:
            a, b = b, a
        if a.seen[-1][0] >= b.seen[0][0]:
            return True
        if a.scene is not b.scene:
            return False
        size = math.sqrt(math.sqrt(math.prod([*a.place[2:], *b.first[2:]])))
        reach = _AT_ONCE + _A_SECOND * (b.seen[0][0] - a.seen[-1][0]) / self._rate
        return math.dist(a.place[:2], b.first[:2]) > reach * size

    def _lost(self, trail: Trail, frame: int) -> float:
        """Seconds since a trail was last seen."""
        return (frame - trail.seen[-1][0]) / self._rate


def _identity(trails: Sequence[Trail]) -> Running | None:
    """All that is known of whose faces these are."""
    identity: Running | None = None
    for trail in trails:
        if trail.identity is not None:
            identity = trail.identity if identity is None else identity.joined(trail.identity)
    return identity


def _covered(person: Sequence[Trail], rate: float) -> list[TrackedFace]:
    return united(*(trail.covered(rate) for trail in person))


def _with(
    covered: Sequence[list[TrackedFace]], people: Sequence[list[Trail]], others: Sequence[list[Trail]], rate: float
) -> list[list[TrackedFace]]:
    """What is covered for people, and beside it all that is covered where others made people of the same detections.

    What nobody covers yet is given to one of those whose detections the other has: to one who is not in that frame if
    there is one, else to whom it is nearest.
    """
    whose = {(f, id(face)): i for i, person in enumerate(people) for trail in person for f, face in trail.seen}
    here: dict[int, dict[int, Box]] = {}
    for number, faces in enumerate(covered):
        for one in faces:
            here.setdefault(one.frame, {})[number] = one.face.box
    more: list[list[TrackedFace]] = [[] for _ in people]
    for other in others:
        seen = [(frame, id(face)) for trail in other for frame, face in trail.seen]
        owners = sorted({whose[sighting] for sighting in seen if sighting in whose})
        for one in _covered(other, rate):
            boxes, box = here.setdefault(one.frame, {}), one.face.box
            if any(hull((held, box)) == held for held in boxes.values()):
                continue
            number = min(owners, key=lambda n: _area(hull((boxes[n], box))) if n in boxes else 0.0)
            boxes[number] = hull((boxes[number], box)) if number in boxes else box
            more[number].append(one)
    return [united(faces, extra) for faces, extra in zip(covered, more, strict=True)]


def _area(box: Box) -> float:
    return box.width * box.height


def _told_apart(here: Collection[Trail]) -> None:
    """Nobody is in a frame twice: of two trails called one person, the later becomes its own."""
    told: dict[int, Trail] = {}
    for trail in sorted(here, key=lambda one: one.id):
        if trail.id and told.setdefault(trail.person, trail) is not trail:
            trail.person = trail.id
