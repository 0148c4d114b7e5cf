import subprocess
import sys
import textwrap
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from masquerade.errors import InputError, OptionError, OutputError
from masquerade.media import VideoWriter, open_video, probe
from tests.media.clips import Clip, decoded, luma, moving, packets, planes, times

SHARED = Path(__file__).resolve().parents[3] / "shared"
HDR = {"colorspace": 9, "color_primaries": 9, "color_trc": 16, "color_range": 1}
QUIET = {"x265-params": "log-level=none"}


def copied(source: Path, out: Path, **options) -> VideoWriter:
    with open_video(source) as reader, VideoWriter(out, reader, **options) as writer:
        for frame in reader:
            writer.write(frame)
    return writer


def psnr(one: Path, other: Path) -> float:
    pairs = zip(decoded(one), decoded(other), strict=True)
    deep = decoded(one)[0].format.components[0].bits
    error = np.mean([((luma(a).astype(float) - luma(b)) ** 2).mean() for a, b in pairs])
    return float(10 * np.log10((2**deep - 1) ** 2 / max(error, 1e-9)))


STEADY = {
    "b-frames": Clip(frames=20, options={"crf": "10", "bf": "3", "b-adapt": "0"}),
    "varying rate": Clip(times=[0, 512, 530, 3000, 9000, 9100, 20000]),
    "late start": Clip(times=[12800 + 512 * i for i in range(5)]),
    "odd start": Clip(times=[377 + 512 * i for i in range(5)]),
    "fine time base": Clip(time_base=Fraction(1, 90000), times=[3003 * i for i in range(6)]),
    "one frame": Clip(frames=1),
}


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".ts"])
@pytest.mark.parametrize("name", STEADY)
def test_every_frame_keeps_its_timestamp(tmp_path, name, suffix):
    source = STEADY[name].write(tmp_path / f"a{suffix}")
    out = tmp_path / f"out{suffix}"
    copied(source, out)
    assert times(out) == times(source)
    assert len(times(out)) == len(STEADY[name].pts)
    assert psnr(source, out) > 34


@pytest.mark.parametrize("encoder", ["mpeg4", "libx264"])
def test_avi_keeps_a_steady_rate_and_refuses_another(tmp_path, encoder):
    clip = Clip(encoder=encoder, time_base=Fraction(1, 25), options={"bf": "0"}, audio="pcm_s16le")
    source = clip.write(tmp_path / "a.avi")
    copied(source, tmp_path / "out.avi")
    assert times(tmp_path / "out.avi") == [Fraction(i, 25) for i in range(6)]
    assert [p for p, _ in packets(tmp_path / "out.avi", "audio")] == [p for p, _ in packets(source, "audio")]
    varying = STEADY["varying rate"].write(tmp_path / "b.mp4")
    with pytest.raises(OutputError, match="only a steady rate"):
        copied(varying, tmp_path / "b.avi")
    assert not (tmp_path / "b.avi").exists()


def test_reading_gives_what_ffmpeg_decodes(tmp_path):
    path = STEADY["b-frames"].write(tmp_path / "a.mp4")
    with open_video(path) as reader:
        frames = list(reader)
    assert [f.index for f in frames] == list(range(20))
    assert [f.time for f in frames] == pytest.approx([float(t) for t in times(path)])
    for ours, theirs in zip(frames, decoded(path), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(planes(ours.picture), planes(theirs), strict=True))


@pytest.mark.parametrize(
    ("suffix", "audio"),
    [
        (".mp4", "aac"),
        (".mov", "pcm_s16le"),
        (".mkv", "pcm_s16le"),
        (".mkv", "libopus"),
        (".webm", "libopus"),
        (".ts", "aac"),
    ],
)
def test_sound_is_copied_bit_by_bit_and_in_time(tmp_path, suffix, audio):
    video = {"encoder": "libvpx-vp9", "options": {"crf": "20"}} if suffix == ".webm" else {}
    source = Clip(frames=30, audio=audio, **video).write(tmp_path / f"a{suffix}")
    out = tmp_path / f"out{suffix}"
    copied(source, out)
    assert packets(out, "audio") == packets(source, "audio") != []
    assert times(out) == times(source)
    assert probe(out).has_audio
    with av.open(str(source)) as one, av.open(str(out)) as other:
        language = one.streams.audio[0].language
        assert other.streams.audio[0].language == language
        assert language == (None if suffix == ".mov" else "deu")  # QuickTime has no code for it


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_subtitles_are_copied(tmp_path, suffix):
    source = Clip(subtitles=True).write(tmp_path / f"a{suffix}")
    out = tmp_path / f"out{suffix}"
    assert copied(source, out).dropped == ()
    assert packets(out, "subtitle") == packets(source, "subtitle")
    with av.open(str(out)) as container:
        assert container.streams.subtitles[0].language == "fra"


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_rotation_is_honoured_once(tmp_path, suffix, rotation):
    """`rotation` is FFmpeg's: counter-clockwise."""
    source = Clip(rotation=rotation, width=96, height=64).write(tmp_path / "a.mp4")
    upright = np.rot90(moving(0, 96, 64), rotation // 90)
    info = probe(source)
    assert (info.height, info.width) == upright.shape[:2]
    assert info.rotation == -rotation % 360
    out = tmp_path / f"out{suffix}"
    with open_video(source) as reader, VideoWriter(out, reader) as writer:
        for frame in reader:
            if frame.index == 0:
                assert np.abs(frame.thumbnail(frame.width, frame.height).astype(int) - upright).mean() < 6
            mark = frame.read(4, 8, 16, 12)
            mark[:] = (250, 10, 10)
            frame.write(4, 8, mark)
            writer.write(frame)
    first = decoded(out)[0]
    assert first.rotation in (rotation, -rotation if rotation == 180 else rotation)
    assert (first.width, first.height) == (96, 64)  # stored as it was
    shown = np.rot90(first.to_ndarray(format="rgb24"), first.rotation // 90)
    assert np.abs(shown[10:18, 6:18].astype(int) - (250, 10, 10)).mean() < 12
    assert np.abs(np.delete(shown, np.s_[:24], axis=0).astype(int) - upright[24:]).mean() < 8


def test_a_mirrored_video_is_read_as_it_is_shown(tmp_path):
    one = 1 << 16
    source = Clip(matrix=[-one, 0, 0, 0, one, 0, 0, 0, 1 << 30]).write(tmp_path / "a.mp4")
    with open_video(source) as reader:
        frame = next(iter(reader))
    assert np.abs(frame.thumbnail(96, 64).astype(int) - moving(0, 96, 64)[:, ::-1]).mean() < 6


def test_a_container_that_cannot_say_the_rotation_is_refused(tmp_path):
    source = Clip(rotation=90).write(tmp_path / "a.mp4")
    with open_video(source) as reader, pytest.raises(OutputError, match="cannot say that the video is turned"):
        VideoWriter(tmp_path / "out.avi", reader)


@pytest.mark.parametrize(
    ("suffix", "clip"),
    [
        (".mp4", Clip(encoder="libx265", pix_fmt="yuv420p10le", options=QUIET | {"crf": "4"}, colour=HDR)),
        (".mkv", Clip(encoder="libx265", pix_fmt="yuv422p10le", options=QUIET | {"crf": "4"}, colour=HDR)),
        (".mov", Clip(encoder="libx264", pix_fmt="yuv420p10le", colour=HDR | {"color_trc": 18})),
        (".mkv", Clip(encoder="libx265", pix_fmt="yuv420p12le", options=QUIET | {"crf": "4"}, colour=HDR)),
        (".mkv", Clip(encoder="libsvtav1", pix_fmt="yuv420p10le", options={"crf": "10", "preset": "12"}, colour=HDR)),
        (".mp4", Clip(colour={"colorspace": 1, "color_primaries": 1, "color_trc": 1, "color_range": 1})),
        (".mp4", Clip(colour={"colorspace": 5, "color_primaries": 5, "color_trc": 6, "color_range": 1})),
        (".mp4", Clip(pix_fmt="yuv444p")),
        (".mkv", Clip(pix_fmt="gray")),
        (".mp4", Clip()),
    ],
    ids=lambda value: (
        value if isinstance(value, str) else f"{value.encoder}-{value.pix_fmt}-{value.colour.get('color_trc')}"
    ),
)
def test_depth_and_colour_tags_are_kept(tmp_path, suffix, clip, monkeypatch):
    monkeypatch.setenv("SVT_LOG", "1")
    source = clip.write(tmp_path / f"a{suffix}")
    out = tmp_path / f"out{suffix}"
    copied(source, out)
    before, after = decoded(source)[0], decoded(out)[0]
    for name in ("colorspace", "color_primaries", "color_trc", "color_range"):
        assert getattr(after, name) == getattr(before, name), name
    assert after.format.name == before.format.name
    assert psnr(source, out) > 36


def test_hdr10_still_says_what_it_was_graded_on(tmp_path):
    said = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50):max-cll=1000,400"
    options = {"x265-params": f"log-level=none:{said}", "crf": "4"}
    source = Clip(encoder="libx265", pix_fmt="yuv420p10le", options=options, colour=HDR).write(tmp_path / "a.mp4")
    copied(source, tmp_path / "out.mp4")
    names = {"MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL"}
    before, after = (
        {part.type.name: bytes(part) for part in decoded(path)[0].side_data if part.type.name in names}
        for path in (source, tmp_path / "out.mp4")
    )
    assert set(before) == names and after == before


def test_full_range_stays_full(tmp_path):
    source = Clip(pix_fmt="yuvj420p", colour={"color_range": 2}).write(tmp_path / "a.mp4")
    out = tmp_path / "out.mp4"
    copied(source, out)
    assert decoded(source)[0].format.name == decoded(out)[0].format.name == "yuvj420p"
    assert psnr(source, out) > 38
    with open_video(source) as reader:
        frame = next(iter(reader))
    assert np.abs(frame.read(0, 0, 96, 64).astype(int) - moving(0, 96, 64)).mean() < 6


@pytest.mark.parametrize(
    ("encoder", "pix_fmt", "suffix"),
    [("ffv1", "bgr0", ".mkv"), ("rawvideo", "nv12", ".nut"), ("rawvideo", "uyvy422", ".mov"),
     ("qtrle", "rgb24", ".mov"),
     ("ffv1", "yuva420p", ".mkv"), ("ffv1", "gbrp10le", ".mkv"), ("ffv1", "gray16le", ".mkv"), ("png", "rgb24", ".mov"),
     ("mjpeg", "yuvj422p", ".mov"), ("prores_ks", "yuv422p10le", ".mov"), ("ffv1", "yuv411p", ".mkv"),
     ("ffv1", "yuv440p", ".mkv"), ("ffv1", "yuv444p16le", ".mkv")],
)  # fmt: skip
def test_other_pixel_formats_become_the_nearest_planar_one(tmp_path, encoder, pix_fmt, suffix):
    source = Clip(encoder=encoder, pix_fmt=pix_fmt, options={}).write(tmp_path / f"a{suffix}")
    out = tmp_path / "out.mkv"
    with open_video(source) as reader, VideoWriter(out, reader) as writer:
        for frame in reader:
            if frame.index == 0:
                got = frame.read(0, 0, 96, 64)
                got8 = got if got.dtype == np.uint8 else got / 257
                want = moving(0, 96, 64).astype(float)
                if "gray" in pix_fmt:
                    want = np.repeat((want @ [0.299, 0.587, 0.114])[..., None], 3, axis=2)
                assert np.abs(got8 - want).mean() < 7
                assert np.abs(frame.thumbnail(96, 64) - want).mean() < 7
            writer.write(frame)
    assert [float(t) for t in times(out)] == pytest.approx([float(t) for t in times(source)], abs=0.0006)
    assert (probe(out).depth > 8) == (decoded(source)[0].format.components[0].bits > 8)
    shown = decoded(out)[0]
    space = 1 if shown.colorspace == 1 else 5
    rgb = shown.reformat(format="rgb24", src_colorspace=space).to_ndarray()
    assert np.abs(rgb - want).mean() < 8


@pytest.mark.parametrize(
    ("suffix", "clip"),
    [
        (".webm", Clip(width=161, height=91, encoder="libvpx-vp9", options={"crf": "4"})),
        (".mkv", Clip(width=161, height=91, encoder="mpeg4", options={"qscale": "2"}, time_base=Fraction(1, 25))),
        (".mov", Clip(width=161, height=91, encoder="mjpeg", pix_fmt="yuvj420p", options={})),
    ],
    ids=lambda value: value if isinstance(value, str) else value.encoder,
)
def test_odd_sizes_stay_odd(tmp_path, suffix, clip):
    source = clip.write(tmp_path / f"a{suffix}")
    out = tmp_path / f"out{suffix}"
    copied(source, out)
    assert (probe(out).width, probe(out).height) == (161, 91)
    assert psnr(source, out) > 30


@pytest.mark.parametrize("order", ["tt", "bb"])
def test_interlaced_stays_interlaced(tmp_path, order):
    options = {"crf": "10", "flags": "+ildct+ilme", "field_order": order}
    source = Clip(options=options).write(tmp_path / "a.mp4")
    copied(source, tmp_path / "out.mp4")
    assert all(frame.interlaced_frame for frame in [*decoded(source), *decoded(tmp_path / "out.mp4")])
    with av.open(str(source)) as one, av.open(str(tmp_path / "out.mp4")) as other:
        assert one.streams.video[0].codec_context.field_order == other.streams.video[0].codec_context.field_order


def test_what_an_edit_list_cuts_off_stays_cut_off(tmp_path):
    whole = Clip(frames=25, audio="aac", options={"crf": "10", "bf": "3", "b-adapt": "0"}).write(tmp_path / "a.mp4")
    source, out = tmp_path / "cut.mp4", tmp_path / "out.mp4"
    with av.open(str(whole)) as one, av.open(str(source), "w") as other:
        streams = {s.index: other.add_stream_from_template(s, opaque=True) for s in one.streams}
        for packet in one.demux():
            if packet.size:
                cut = round(Fraction(3, 25) / Fraction(packet.time_base.numerator, packet.time_base.denominator))
                packet.pts, packet.dts = packet.pts - cut, packet.dts - cut  # three frames before the start
                packet.stream = streams[packet.stream_index]
                other.mux(packet)
    copied(source, out)
    assert len(times(source)) == 22
    assert times(out) == times(source)
    assert packets(out, "audio") == packets(source, "audio")


def test_pixels_that_are_not_square_stay_so(tmp_path):
    source = Clip(aspect=Fraction(16, 11)).write(tmp_path / "a.mp4")
    copied(source, tmp_path / "out.mp4")
    assert probe(tmp_path / "out.mp4").pixel_aspect == probe(source).pixel_aspect == Fraction(16, 11)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_nothing_that_could_name_a_person_is_kept(tmp_path, suffix):
    secrets = {
        "title": "Jane at home", "artist": "Jane Doe", "creation_time": "2024-05-01T10:00:00Z",
        "location": "+48.8577+002.295/", "make": "Phone", "comment": "private", "handler_name": "Jane's Phone",
        "language": "fra",
    }  # fmt: skip
    source = Clip(metadata=secrets, audio="aac").write(tmp_path / f"a{suffix}")
    assert b"Jane" in source.read_bytes()
    out = tmp_path / f"out{suffix}"
    copied(source, out, note="faces replaced")
    data = out.read_bytes()
    for word in (b"Jane", b"2024", b"48.8577", b"Phone", b"private", b"Lavf6"):
        assert word not in data
    with av.open(str(out)) as container:
        kept = {key.lower(): value for key, value in container.metadata.items()}
        assert kept.pop("comment") == "faces replaced"
        assert set(kept) <= {"major_brand", "minor_version", "compatible_brands", "encoder"}
        assert container.streams.video[0].metadata.get("language") == "fra"


def test_what_is_left_behind_is_told(tmp_path):
    source = tmp_path / "a.mkv"
    inner = Clip(audio="pcm_s16le").write(tmp_path / "inner.mkv")
    with av.open(str(inner)) as one, av.open(str(source), "w") as out:
        streams = {s.index: out.add_stream_from_template(s, opaque=True) for s in one.streams}
        second = out.add_stream_from_template(one.streams.video[0], opaque=True)
        out.add_attachment("face.jpg", "image/jpeg", b"\xff\xd8\xff" + bytes(50))
        out.set_chapters(
            [{"id": 1, "start": 0, "end": 100, "time_base": Fraction(1, 1000), "metadata": {"title": "Jane"}}]
        )
        for packet in one.demux():
            if packet.size:
                payload, pts = bytes(packet), packet.pts
                packet.stream = streams[packet.stream_index]
                out.mux(packet)
                if packet.stream.type == "video":
                    again = av.Packet(payload)
                    again.pts = again.dts = pts
                    again.time_base, again.stream, again.is_keyframe = Fraction(1, 1000), second, packet.is_keyframe
                    out.mux(again)
    writer = copied(source, tmp_path / "out.mkv")
    assert sorted(writer.dropped) == ["attached picture", "chapters"]
    assert writer.lost == ("further video stream",)
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert [s.type for s in container.streams] == ["video", "audio"]
        assert container.chapters() == []


@pytest.mark.parametrize(
    ("suffix", "clip", "encoder"),
    [
        (".mp4", Clip(audio="aac", frames=15), None),
        (".mkv", Clip(audio="aac", frames=15), None),
        (".webm", Clip(encoder="libvpx-vp9", options={"crf": "20"}, frames=15), None),
        (".mkv", Clip(frames=15), "libx265"),
        (".mkv", Clip(frames=15), "libsvtav1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_same_input_gives_the_same_bytes(tmp_path, suffix, clip, encoder):
    source = clip.write(tmp_path / f"a{suffix}")
    for name in ("one", "two"):
        copied(source, tmp_path / f"{name}{suffix}", encoder=encoder)
    assert (tmp_path / f"one{suffix}").read_bytes() == (tmp_path / f"two{suffix}").read_bytes()


def test_untouched_regions_are_only_encoded_again(tmp_path):
    source = Clip(frames=4, width=160, height=96).write(tmp_path / "a.mp4")
    plain, edited = tmp_path / "plain.mp4", tmp_path / "edited.mp4"
    copied(source, plain, quality=0)
    with open_video(source) as reader, VideoWriter(edited, reader, quality=0) as writer:
        for frame in reader:
            frame.write(32, 32, np.zeros((32, 32, 3), np.uint8))
            writer.write(frame)
    for before, after in zip(decoded(source), decoded(edited), strict=True):
        changed = luma(before) != luma(after)
        assert changed[32:64, 32:64].mean() > 0.9
        changed[32:64, 32:64] = False
        assert not changed.any()  # quality 0 is lossless
    assert decoded(plain)[0].format.name == "yuv420p"


def test_quality_is_the_encoder_s_own_scale(tmp_path):
    source = Clip(frames=10).write(tmp_path / "a.mp4")
    copied(source, tmp_path / "good.mp4", quality=10)
    copied(source, tmp_path / "bad.mp4", quality=45)
    assert (tmp_path / "good.mp4").stat().st_size > 2 * (tmp_path / "bad.mp4").stat().st_size
    assert psnr(source, tmp_path / "good.mp4") > psnr(source, tmp_path / "bad.mp4") + 8


@pytest.mark.parametrize(
    ("options", "message"),
    [({"encoder": "x264x"}, "no encoder"), ({"encoder": "aac"}, "not video"), ({"quality": 99}, "0 .best. to 51"),
     ({"encoder": "mjpeg", "quality": 3}, "takes no quality"), ({"encoder": "mpeg4", "quality": 0}, "1 .best. to 31"),
     ({"encoder": "gif"}, "cannot write yuv420p")],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused(tmp_path, options, message):
    source = Clip().write(tmp_path / "a.mp4")
    with open_video(source) as reader, pytest.raises(OptionError, match=message):
        VideoWriter(tmp_path / "out.mp4", reader, **options)


def test_an_encoder_by_name_is_used(tmp_path):
    source = Clip().write(tmp_path / "a.mp4")
    assert copied(source, tmp_path / "out.mkv", encoder="ffv1").encoder == "ffv1"
    assert probe(tmp_path / "out.mkv").codec == "ffv1"


def test_outputs_that_cannot_hold_it_are_refused(tmp_path):
    source = Clip(audio="aac").write(tmp_path / "a.mp4")
    with open_video(source) as reader:
        with pytest.raises(OutputError, match=r"cannot be written as \.xyz"):
            VideoWriter(tmp_path / "out.xyz", reader)
        with (
            pytest.raises(OutputError, match=r"cannot hold the source's audio \(aac\)"),
            VideoWriter(tmp_path / "o.webm", reader),
        ):
            pass
        with pytest.raises(OutputError, match="never overwritten"), VideoWriter(source, reader):
            pass
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4"]


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_a_failure_on_the_way_leaves_nothing(tmp_path, failure):
    source = Clip(audio="aac").write(tmp_path / "a.mp4")
    with pytest.raises(failure), open_video(source) as reader, VideoWriter(tmp_path / "out.mp4", reader) as writer:
        for frame in reader:
            writer.write(frame)
            if frame.index == 3:
                raise failure
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4"]


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path):
    source = Clip(frames=40, width=320, height=240).write(tmp_path / "a.mp4")
    program = """
        import resource, sys
        from masquerade.errors import OutputError
        from masquerade.media import VideoWriter, open_video
        resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
        try:
            with open_video(sys.argv[1]) as reader, VideoWriter(sys.argv[2], reader, quality=0) as writer:
                for frame in reader:
                    writer.write(frame)
        except OutputError as error:
            print(error)
    """
    out = tmp_path / "out.mp4"
    command = [sys.executable, "-c", textwrap.dedent(program), str(source), str(out)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout.startswith(f"{out}: is larger than its disk"), run.stdout + run.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4"]


class TestBadInput:
    """Each with one line that names the file."""

    def refused(self, path: Path, message: str) -> None:
        with pytest.raises(InputError, match=message) as caught, open_video(path) as reader:
            list(reader)
        assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
        assert caught.value.hint

    def test_missing(self, tmp_path):
        self.refused(tmp_path / "no.mp4", "no such file")

    def test_folder(self, tmp_path):
        self.refused(tmp_path, "is a folder")

    def test_empty(self, tmp_path):
        (tmp_path / "a.mp4").touch()
        self.refused(tmp_path / "a.mp4", "is empty")

    @pytest.mark.parametrize("data", [b"hello, I am no video\n" * 50, bytes(5000), b"\0\0\0\x20ftypisom" + bytes(500)])
    def test_not_a_video(self, tmp_path, data):
        (tmp_path / "a.mp4").write_bytes(data)
        self.refused(tmp_path / "a.mp4", "cannot be read as video|is cut off")

    def test_cut_off(self, tmp_path):
        path = Clip(frames=30).write(tmp_path / "a.mkv")
        path.write_bytes(path.read_bytes()[:-3000])
        self.refused(path, "is cut off")

    def test_audio_only(self, tmp_path):
        path = tmp_path / "a.wav"
        with av.open(str(path), "w") as out:
            stream = out.add_stream("pcm_s16le", rate=48000)
            stream.codec_context.layout = "mono"
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.int16), format="s16", layout="mono")
            frame.sample_rate = 48000
            out.mux(stream.encode(frame))
        self.refused(path, "has sound but no video")

    def test_no_frames(self, tmp_path):
        path = tmp_path / "a.mkv"
        with av.open(str(path), "w") as out:
            stream = out.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
            out.start_encoding()
        self.refused(path, "ends before its first frame|has no frame")

    def test_damaged_inside(self, tmp_path):
        path = Clip(frames=30, width=160, height=96).write(tmp_path / "a.mp4")
        data = bytearray(path.read_bytes())
        start = data.index(b"mdat")
        noise = np.random.default_rng(0).bytes(len(data))
        data[start + 3000 : start + 6000] = noise[:3000]
        path.write_bytes(data)
        self.refused(path, "is damaged|cannot be read as video")

    def test_unknown_codec(self, tmp_path):
        path = Clip(encoder="mjpeg", pix_fmt="yuvj420p", options={}).write(tmp_path / "a.avi")
        path.write_bytes(path.read_bytes().replace(b"MJPG", b"QZXY"))
        self.refused(path, "codec that cannot be decoded|cannot be read|has no frame")

    def test_size_that_changes(self, tmp_path):
        one = Clip(width=96, height=64).write(tmp_path / "1.h264").read_bytes()
        two = Clip(width=128, height=96).write(tmp_path / "2.h264").read_bytes()
        path = tmp_path / "a.h264"
        path.write_bytes(one + two)
        self.refused(path, "changes its size from 96x64 to 128x96")

    def test_too_large(self, tmp_path):
        path = tmp_path / "a.mkv"
        with av.open(str(path), "w") as out:
            stream = out.add_mux_stream("ffv1", width=40000, height=64, time_base=Fraction(1, 25))
            packet = av.Packet(bytes(100))
            packet.pts = packet.dts = 0
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, 25), True
            out.mux(packet)
        self.refused(path, "more than 16384 on a side|cannot be read|has no frame")

    def test_a_playlist_that_calls_itself_a_video_fetches_nothing(self, tmp_path):
        path = tmp_path / "a.mp4"
        path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nhttp://127.0.0.1:9/x.ts\n#EXT-X-ENDLIST\n")
        self.refused(path, "cannot be read as video|has no")


def test_a_name_like_an_address_is_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Clip().write(tmp_path / "plain.mp4").rename(tmp_path / "rtsp:1.mp4")
    copied(Path("rtsp:1.mp4"), Path("http:2.mp4"))
    assert len(times(tmp_path / "http:2.mp4")) == 6


def test_a_photo_is_no_video_that_can_be_written_back(tmp_path):
    Image.fromarray(moving(0, 96, 64)).save(tmp_path / "a.png")
    with open_video(tmp_path / "a.png") as reader, pytest.raises(OutputError, match=r"cannot be written as \.png"):
        VideoWriter(tmp_path / "out.png", reader)


def test_probe_knows_it_all_before_reading(tmp_path):
    path = Clip(frames=10, audio="aac", subtitles=True, rotation=-90, aspect=Fraction(4, 3)).write(tmp_path / "a.mp4")
    info = probe(path)
    assert (info.width, info.height, info.rotation) == (64, 96, 90)
    assert (info.frames, info.codec, info.pixel_format, info.depth) == (10, "h264", "yuv420p", 8)
    assert (info.audio, info.subtitles, info.has_audio, info.pixel_aspect) == (1, 1, True, Fraction(4, 3))
    assert info.fps == pytest.approx(25) and info.duration == pytest.approx(0.4, abs=0.05)


def test_a_reader_is_read_once(tmp_path):
    path = Clip().write(tmp_path / "a.mp4")
    with open_video(path) as reader:
        list(reader)
        with pytest.raises(RuntimeError, match="read once"):
            list(reader)


def test_memory_does_not_grow_with_length(tmp_path):
    program = """
        import resource, sys
        from pathlib import Path
        from masquerade.media import VideoWriter, open_video
        for name in sys.argv[1:]:
            with open_video(name) as reader, VideoWriter(Path(name).with_suffix(".out.mp4"), reader) as writer:
                for frame in reader:
                    writer.write(frame)
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    """
    names = []
    for seconds in (4, 4, 40):  # the first run fills FFmpeg's pools
        clip = Clip(
            frames=25 * seconds, width=320, height=240, audio="aac", options={"preset": "ultrafast", "crf": "30"}
        )
        names.append(str(clip.write(tmp_path / f"{len(names)}.mp4")))
    command = [sys.executable, "-c", textwrap.dedent(program), *names]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    _, short, long = map(int, run.stdout.split())
    assert long < short * 1.1


@pytest.mark.parametrize("name", ["stage-several-faces-audio.mp4", "expressive-single.mp4"])
def test_real_clips_pass_the_independent_check(tmp_path, name):
    clip, check = SHARED / "data" / "videos" / name, SHARED / "checks" / "media_check.py"
    if not clip.exists() or not check.exists():
        pytest.skip("the shared clips are not beside this checkout")
    copied(clip, tmp_path / "out.mp4")
    command = [sys.executable, str(check), str(clip), str(tmp_path / "out.mp4")]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout.strip()) == (0, "kept"), run.stderr


def test_neither_texts_nor_playlists_are_taken_for_videos(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("a note\n" * 50)
    with pytest.raises(InputError):
        probe(path)
    Clip().write(tmp_path / "real.mp4")
    playlist = tmp_path / "list.mp4"
    playlist.write_text("ffconcat version 1.0\nfile real.mp4\n")
    with pytest.raises(InputError):
        probe(playlist)
