"""Photos of people, and what becomes of them in a video with two: a public-domain portrait and a man in a car."""

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from masquerade.errors import InputError, OptionError
from masquerade.faces.embed import open_encoder
from masquerade.identity import Key, Limits, Policy, Vault, make_key, open_bank, resolve
from masquerade.pipeline import Settings, analyze, anonymize
from masquerade.pipeline.batch import MANIFEST
from masquerade.pipeline.people import Director, Wishes
from masquerade.pipeline.references import embed_photo, read_references
from masquerade.plan import Treatment

from ..conftest import fetched
from ..scenes import background, write_clip

pytestmark = pytest.mark.network


@pytest.fixture(scope="module")
def encoder():
    return open_encoder()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, astronaut):
    """Photos of her (her.jpg, more/), of him, of both, of a wall, of hers too small; and clip.mp4 with both."""
    path = tmp_path_factory.mktemp("people")
    with av.open(str(fetched("carphone"))) as container:
        him = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    her = cv2.resize(astronaut, (256, 256), interpolation=cv2.INTER_AREA)

    def both(i):
        picture = background(480, 272)
        picture[8:264, 2 + i : 258 + i] = her
        picture[64:208, 290:466] = him[0]
        return picture

    save(path / "her.jpg", astronaut[:, ::-1])
    (path / "more").mkdir()
    save(path / "more/1.png", (astronaut * 0.7).astype(np.uint8))
    save(path / "more/2.jpg", cv2.resize(astronaut, (300, 300)))
    (path / "more/notes.txt").write_text("no photo")
    save(path / "him.png", cv2.resize(him[40], None, fx=2, fy=2))
    save(path / "both.png", both(0))
    save(path / "wall.png", background(300, 300))
    small = background(200, 200)
    small[50:150, 50:150] = cv2.resize(astronaut, (100, 100), interpolation=cv2.INTER_AREA)
    save(path / "small.png", cv2.GaussianBlur(small, (0, 0), 1.5))
    (path / "empty").mkdir()
    write_clip(path / "clip.mp4", [both(i) for i in range(10)])
    return path


def save(path, picture):
    Image.fromarray(np.ascontiguousarray(picture)).save(path, quality=95)


def frames(path):
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]).astype(int)


HER, HIM = np.s_[:, 40:100, 100:140], np.s_[:, 110:150, 355:385]
"""Frames, rows and columns well inside their faces in the clip."""


def changed(folder, out, face):
    return np.abs(frames(folder / "clip.mp4")[face] - frames(out)[face]).mean()


class TestReferences:
    def test_photos_of_one_person_are_near_each_other_and_far_from_others(self, folder, detector, encoder):
        her, more, him = read_references([folder / n for n in ("her.jpg", "more", "him.png")], detector, encoder)
        assert [r.name for r in (her, more, him)] == ["her.jpg", "more", "him.png"]
        limits = Limits.of(encoder)
        assert 1 - her.identity @ more.identity < limits.same
        assert 1 - her.identity @ him.identity > limits.same
        each = [embed_photo(folder / "more" / n, detector, encoder) for n in ("1.png", "2.jpg")]
        mean = np.sum(each, axis=0)
        np.testing.assert_allclose(more.identity, mean / np.linalg.norm(mean), atol=1e-6)

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("both.png", "2 faces were found"),
            ("wall.png", "no face was found"),
            ("small.png", "too small"),
            ("empty", "no photo in this folder"),
            ("gone.jpg", "no such file"),
        ],
    )
    def test_what_shows_nobody_well_is_refused_by_name(self, folder, detector, encoder, name, said):
        with pytest.raises(InputError, match=said) as caught:
            read_references([folder / "her.jpg", folder / name], detector, encoder)
        assert caught.value.path == folder / name


class TestWhom:
    def run(self, folder, out, detector, **wishes):
        settings = Settings(Treatment(method="solid"), wishes=Wishes(**wishes))
        [result] = anonymize(folder / "clip.mp4", out, settings, detector=detector)
        assert result.status == "done", result.error
        return result.report

    def test_who_is_exempt_stays_as_they_are_and_the_other_is_gone(self, folder, tmp_path, detector):
        report = self.run(folder, tmp_path / "out.mp4", detector, exempt=(folder / "her.jpg",))
        assert changed(folder, tmp_path / "out.mp4", HER) < 6
        assert frames(tmp_path / "out.mp4")[HIM].mean() < 6
        assert (report.kept, sum(report.replaced.values())) == (10, 10)
        [match] = report.remarks.matches
        assert (match.reference, match.verdict) == ("her.jpg", "sure")

    def test_only_who_is_sought_is_certain_to_be_gone(self, folder, tmp_path, detector, encoder):
        report = self.run(folder, tmp_path / "out.mp4", detector, only=(folder / "more",))
        assert frames(tmp_path / "out.mp4")[HER].mean() < 6
        him, more = read_references([folder / "him.png", folder / "more"], detector, encoder)
        if 1 - him.identity @ more.identity > Limits.of(encoder).other + 0.1:
            assert changed(folder, tmp_path / "out.mp4", HIM) < 6
        assert report.remarks.matches[0].verdict == "sure"

    def test_a_photo_of_one_keeps_nobody_else(self, folder, tmp_path, detector):
        report = self.run(folder, tmp_path / "out.mp4", detector, exempt=(folder / "him.png",))
        [match] = report.remarks.matches
        assert frames(tmp_path / "out.mp4")[HER].mean() < 6
        assert (changed(folder, tmp_path / "out.mp4", HIM) < 6) == (match.verdict == "sure")

    def test_a_photo_is_cast_too(self, folder, tmp_path, detector):
        settings = Settings(Treatment(method="solid"), wishes=Wishes(exempt=(folder / "more",)))
        [result] = anonymize(folder / "both.png", tmp_path / "out.png", settings, detector=detector)
        assert (result.report.kept, sum(result.report.replaced.values())) == (1, 1)
        before, after = (np.array(Image.open(p)).astype(int) for p in (folder / "both.png", tmp_path / "out.png"))
        assert (before[HER[1:]] == after[HER[1:]]).all()
        assert after[HIM[1:]].max() == 0

    def test_wishes_that_do_not_go_together_are_refused_before_any_work(self, folder, tmp_path, detector, encoder):
        (tmp_path / "keys").mkdir()
        make_key(tmp_path / "keys/key")
        vault = Vault(tmp_path / "vault", Key.from_file(tmp_path / "keys/key"), create=True)
        for wrong in (
            {"exempt": (folder / "her.jpg",), "only": (folder / "him.png",)},
            {"policy": Policy.CONSISTENT},
            {"policy": Policy.PER_VIDEO, "vault": vault},
            {"vault": vault},
            {"fitting": True},
        ):
            with pytest.raises(OptionError):
                Director(Wishes(**wrong), detector, encoder=encoder)

    def test_other_wishes_do_every_file_anew_and_leave_no_names_behind(self, folder, tmp_path, detector):
        photo = tmp_path / "in" / "a.png"
        photo.parent.mkdir()
        photo.write_bytes((folder / "both.png").read_bytes())

        def status(**wishes):
            settings = Settings(Treatment(method="solid"), wishes=Wishes(**wishes))
            return anonymize([photo.parent], tmp_path / "out", settings, detector=detector)[0].status

        assert [status(), status()] == ["done", "unchanged"]
        exempt = {"exempt": (folder / "her.jpg",)}
        assert [status(**exempt), status(**exempt)] == ["done", "unchanged"]
        assert status(exempt=(folder / "him.png",)) == "done"
        text = (tmp_path / "out" / MANIFEST).read_text()
        assert "him" not in text
        assert "matches" not in text


class TestFaces:
    def plan(self, folder, detector, encoder, name="clip.mp4", **wishes):
        director = Director(Wishes(**wishes), detector, encoder=encoder)
        return analyze(folder / name, detector, cast=director.cast, encoder=encoder), director.remarks

    def test_the_plan_names_a_safe_face_of_the_bank_for_each(self, folder, detector, encoder):
        plan, remarks = self.plan(folder, detector, encoder, policy=Policy.PER_VIDEO)
        bank = open_bank()
        worn = resolve(plan, bank)
        assert len(worn) == len(plan.people) == remarks.dressed == 2
        t = encoder.threshold(1e-3)
        for name in ("her.jpg", "more"):
            [reference] = read_references([folder / name], detector, encoder)
            for anchor in worn.values():
                assert t < 1 - float(reference.identity @ anchor.face) < 2 - t
        first, second = worn.values()
        assert 1 - float(first.face @ second.face) > t
        assert {p.anchor for p in self.plan(folder, detector, encoder, policy=Policy.PER_VIDEO)[0].people} != {
            p.anchor for p in plan.people
        }
        assert "[" not in plan.people[0].anchor  # a name, no vector

    def test_faces_fit_age_and_sex_unless_any_will_do(self, folder, detector, encoder):
        bank = open_bank()
        [her] = read_references([folder / "more"], detector, encoder)
        misfit = bank.misfit(her.identity)

        def worn(**wishes):
            plans = [
                self.plan(folder, detector, encoder, "more/2.jpg", policy=Policy.PER_VIDEO, **wishes)[0]
                for _ in range(8)
            ]
            return misfit[[anchor.member for plan in plans for anchor in resolve(plan, bank).values()]]

        assert (worn() < np.quantile(misfit, 0.25)).all()
        assert len(worn()) == 8
        assert worn(fitting=False).max() > np.quantile(misfit, 0.25)  # by chance in 15 of a million runs

    def test_with_a_vault_everyone_has_the_same_face_in_every_file(self, folder, tmp_path, detector, encoder):
        (tmp_path / "keys").mkdir()
        make_key(tmp_path / "keys/key")
        vault = Vault(tmp_path / "vault", Key.from_file(tmp_path / "keys/key"), create=True)
        consistent = {"policy": Policy.CONSISTENT, "vault": vault}
        first, _ = self.plan(folder, detector, encoder, **consistent)
        again, _ = self.plan(folder, detector, encoder, "both.png", **consistent)
        assert {p.anchor for p in first.people} == {p.anchor for p in again.people}
        alone, _ = self.plan(folder, detector, encoder, "her.jpg", **consistent)
        assert alone.people[0].anchor in {p.anchor for p in first.people}
        assert sorted(entry.videos for entry in vault.entries()) == [2, 3]
