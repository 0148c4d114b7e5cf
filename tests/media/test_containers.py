import pytest

from masquerade.errors import InputError
from masquerade.media.containers import check_whole
from tests.media.clips import Clip


@pytest.fixture(params=[".mp4", ".mov", ".mkv", ".webm", ".avi"])
def clip(request, tmp_path):
    encoder = "libvpx-vp9" if request.param == ".webm" else "libx264"
    return Clip(encoder=encoder, options={"crf": "20"}).write(tmp_path / f"a{request.param}")


def test_whole_files_pass(clip):
    check_whole(clip)


@pytest.mark.parametrize("kept", [0.99, 0.5])
def test_files_cut_anywhere_are_refused(clip, kept):
    data = clip.read_bytes()
    clip.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(InputError, match=r"is cut off: \d+ bytes are missing"):
        check_whole(clip)


def test_streams_without_a_length_pass(tmp_path):
    path = Clip().write(tmp_path / "a.ts")
    path.write_bytes(path.read_bytes()[:-188])
    check_whole(path)


def test_a_recording_whose_length_was_left_open_passes(tmp_path):
    path = tmp_path / "a.mkv"
    path.write_bytes(b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff rest")
    check_whole(path)


@pytest.mark.parametrize("data", [b"\x1a\x45\xdf\xa3", b"\0\0\0\1ftyp", b"\0\0\0\0mdat", b"hello", b"\0\0\0\x04free"])
def test_heads_without_a_body_are_left_to_the_decoder(tmp_path, data):
    path = tmp_path / "a"
    path.write_bytes(data)
    check_whole(path)
