"""What files say of themselves, read back by other readers than the writers."""

import io
from xml.etree import ElementTree

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from masquerade.media import StillFrame, VideoWriter, disclosure, open_image, open_video, save_image
from masquerade.media.images import FORMATS

from ..scenes import write_clip

TYPE = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
COMPOSITE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"


def source_type(path):
    """The digital source type in a photo's XMP; None where it has none."""
    with Image.open(path) as image:
        packet = image.info.get("xmp")
        if packet is None and image.format == "TIFF":
            packet = image.tag_v2.get(700)
    if packet is None:
        return None
    packet = packet if isinstance(packet, bytes) else packet.encode()
    found = ElementTree.fromstring(packet.decode("utf-8")).findall(f".//{TYPE}")
    return [element.text for element in found]


SHALLOW = [(suffix, False) for suffix, name in FORMATS.items() if name != "HEIF"]


@pytest.mark.parametrize(("suffix", "deep"), [*SHALLOW, (".png", True), (".tiff", True)])
def test_a_photo_says_so_and_keeps_its_pixels(tmp_path, suffix, deep):
    pixels = np.random.default_rng(1).integers(0, 256, (24, 32, 3), np.uint8)
    source = tmp_path / "in.png"
    if deep:
        cv2.imwrite(str(source), pixels.astype(np.uint16) * 257)
    else:
        Image.fromarray(pixels).save(source)
    still = open_image(source)
    silent, telling = tmp_path / f"silent{suffix}", tmp_path / f"telling{suffix}"
    save_image(still, silent)
    save_image(still, telling, xmp=disclosure.XMP)
    assert source_type(silent) is None
    assert source_type(telling) == [COMPOSITE]
    np.testing.assert_array_equal(open_image(telling).frame.samples, open_image(silent).frame.samples)


def test_a_heic_photo_says_so(tmp_path):
    pytest.importorskip("pillow_heif")
    Image.new("RGB", (64, 64), (90, 20, 30)).save(tmp_path / "in.png")
    save_image(open_image(tmp_path / "in.png"), tmp_path / "out.heic", xmp=disclosure.XMP)
    assert source_type(tmp_path / "out.heic") == [COMPOSITE]


def test_what_a_photo_said_of_itself_before_does_not_come_along(tmp_path):
    theirs = disclosure.XMP.replace(COMPOSITE.encode(), b"made by Jane Doe")
    Image.new("RGB", (16, 16)).save(tmp_path / "in.jpg", xmp=theirs)
    save_image(open_image(tmp_path / "in.jpg"), tmp_path / "out.jpg", xmp=disclosure.XMP)
    assert source_type(tmp_path / "out.jpg") == [COMPOSITE]
    assert b"Jane" not in (tmp_path / "out.jpg").read_bytes()


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm", ".avi", ".ts"])
def test_a_video_says_so_where_its_container_can(tmp_path, suffix):
    source = write_clip(tmp_path / "in.mp4", [np.full((64, 64, 3), 9 * i, np.uint8) for i in range(25)])
    out = tmp_path / f"out{suffix}"
    with open_video(source) as reader, VideoWriter(out, reader, note=disclosure.NOTE) as writer:
        for frame in reader:
            writer.write(frame)
    with av.open(str(out)) as container:
        said = {key.lower(): value for key, value in container.metadata.items()}
    if suffix == ".ts":
        assert "comment" not in said
        assert writer.dropped == ("the note on its faces, which .ts cannot hold",)
    else:
        assert said["comment"].endswith(COMPOSITE)
        assert writer.dropped == ()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", [(640, 360), (361, 641), (40, 30), (9, 7)])
def test_the_mark_stands_in_the_lower_left_corner_and_nowhere_else(size, dtype):
    width, height = size
    white = np.iinfo(dtype).max
    samples = np.full((height, width, 3), white // 2, dtype)
    disclosure.draw_mark(StillFrame(samples))
    rows, columns = np.nonzero((samples != white // 2).any(axis=2))
    assert columns.min() == 0
    assert rows.max() >= height - 2
    if width > 300:
        assert columns.max() < width / 2
        assert rows.min() > height * 0.9
        assert samples.max() > 0.95 * white, "white letters"
        assert samples[rows.min() + 2, 2].max() < 0.25 * white, "on a dark ground"


def test_the_mark_can_be_read(tmp_path):
    """Drawn alike, letter by letter, as Pillow draws the words upon black."""
    samples = np.zeros((720, 1280, 3), np.uint8)
    disclosure.draw_mark(StillFrame(samples))
    encoded = io.BytesIO()
    Image.fromarray(samples).save(encoded, "JPEG", quality=60)
    read = np.asarray(Image.open(encoded).convert("L")).astype(float)[680:, :400]
    lit = read > 128
    assert 15 <= np.ptp(np.nonzero(lit.any(axis=1))[0]) <= 35, "as high as a subtitle's"
    gaps = np.diff(lit.any(axis=0).astype(int))
    assert (gaps == 1).sum() >= 10, "letters stand apart"
