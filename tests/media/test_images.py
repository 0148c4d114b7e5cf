import io
import struct
import subprocess
import sys
import textwrap
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps, JpegImagePlugin, PngImagePlugin

from masquerade.errors import InputError, OutputError
from masquerade.media import open_image, save_image
from masquerade.media.images import MAX_PIXELS
from tests.media.clips import moving

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
SECRET = b"Jane Doe at 48.8577 2.295 on 2024:05:01"


def photo(mode: str = "RGB", size: tuple[int, int] = (97, 63)) -> Image.Image:
    rgb = Image.fromarray(moving(0, *size))
    if mode == "I;16":
        return Image.fromarray((np.asarray(rgb.convert("L")).astype(np.uint16) * 257) ^ 3)
    if mode in ("LA", "RGBA"):
        image = rgb.convert(mode)
        image.putalpha(Image.fromarray(moving(3, *size)[..., 0]))
        return image
    return rgb.convert(mode)


def exif(orientation: int = 1) -> Image.Exif:
    data = Image.Exif()
    data[0x0112], data[0x010F], data[0x0132], data[0x010E] = orientation, "Phone", "2024:05:01", SECRET.decode()
    data.get_ifd(0x8825)[1] = "N"
    return data


LOSSLESS = [("PNG", m) for m in ("L", "LA", "RGB", "RGBA", "I;16")] + [
    ("TIFF", m) for m in ("L", "RGB", "RGBA", "I;16")
]


@pytest.mark.parametrize(("format_", "mode"), LOSSLESS)
def test_modes_and_untouched_pixels_are_kept(tmp_path, format_, mode):
    source, out = tmp_path / f"a.{format_.lower()}", tmp_path / f"out.{format_.lower()}"
    photo(mode).save(source, format_, icc_profile=ICC, dpi=(300, 150))
    still = open_image(source)
    pixels = still.frame.read(10, 20, 8, 6)
    pixels[:] = 40
    still.frame.write(10, 20, pixels)
    save_image(still, out)
    with Image.open(source) as before, Image.open(out) as after:
        assert after.mode == before.mode and after.size == before.size
        assert after.info["icc_profile"] == ICC
        assert after.info["dpi"] == pytest.approx((300, 150), abs=0.1)
        one, other = np.asarray(before).copy(), np.asarray(after).copy()
    changed = one != other
    assert changed[20:26, 10:18].any()
    if mode in ("LA", "RGBA"):
        assert not changed[..., -1].any()
        assert (other[20:26, 10:18, :-1] == 40).all()
    else:
        assert (other[20:26, 10:18] == 40).all()
    changed[20:26, 10:18] = False
    assert not changed.any()


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("other", [".png", ".tiff"])
def test_16_bit_colour_stays_16_bit_colour(tmp_path, channels, suffix, other):
    generator = np.random.default_rng(0)
    samples = generator.integers(0, 65536, (31, 45, channels), np.uint16)
    cv2.imwrite(str(tmp_path / f"plain{suffix}"), samples)
    still = open_image(tmp_path / f"plain{suffix}")
    order = [2, 1, 0]
    assert np.array_equal(still.frame.samples, samples[..., order])
    pixels = still.frame.read(3, 4, 5, 6)
    assert pixels.dtype == np.uint16
    pixels[:] = 4000
    still.frame.write(3, 4, pixels)
    rich = type(still)(still.path, still.frame, still.alpha, still.format, ICC, (300.0, 150.0), still.coding)
    out = tmp_path / f"out{other}"
    save_image(rich, out)
    again = open_image(out)
    assert again.icc_profile == ICC and again.dpi == pytest.approx((300, 150), abs=0.1)
    expected = samples.copy()
    expected[4:10, 3:8, :3] = 4000
    assert np.array_equal(again.frame.samples, expected[..., order])
    assert (again.alpha is None) == (channels == 3)
    if channels == 4:
        assert np.array_equal(again.alpha, samples[..., 3])
    with Image.open(out) as image:  # an independent reader agrees, if only to 8 bits
        assert image.mode == ("RGB" if channels == 3 else "RGBA")
        assert np.abs(np.asarray(image).astype(int) - (expected[..., [*order, 3][:channels]] >> 8)).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tiff", ".heic"])
def test_orientation_is_applied_once(tmp_path, orientation, suffix):
    if suffix == ".heic":
        pytest.importorskip("pillow_heif").register_heif_opener()
    source, out = tmp_path / f"a{suffix}", tmp_path / f"out{suffix}"
    photo().save(source, exif=exif(orientation), quality=95)
    with Image.open(source) as image:
        expected = np.asarray(ImageOps.exif_transpose(image)).astype(int)
    still = open_image(source)
    assert np.abs(still.frame.read(0, 0, still.frame.width, still.frame.height) - expected).mean() < 1
    save_image(still, out)
    with Image.open(out) as image:
        assert image.getexif().get(0x0112, 1) == 1
        assert image.size == expected.shape[1::-1]
        assert np.abs(np.asarray(image) - expected).mean() < 3


def test_16_bit_pictures_are_turned_too(tmp_path):
    samples = np.arange(4 * 6 * 3, dtype=np.uint16).reshape(4, 6, 3) * 500
    done, data = cv2.imencode(".png", samples[..., ::-1])
    assert done
    block = exif(6).tobytes()[6:]
    chunk = struct.pack(">I", len(block)) + b"eXIf" + block + struct.pack(">I", zlib.crc32(b"eXIf" + block))
    raw = data.tobytes()
    (tmp_path / "a.png").write_bytes(raw[:33] + chunk + raw[33:])
    assert np.array_equal(open_image(tmp_path / "a.png").frame.samples, np.rot90(samples, -1))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tiff", ".heic"])
def test_nothing_that_could_name_or_show_a_person_is_kept(tmp_path, suffix):
    if suffix == ".heic":
        pytest.importorskip("pillow_heif").register_heif_opener()
    source, out = tmp_path / f"a{suffix}", tmp_path / f"out{suffix}"
    options = {"exif": exif(), "xmp": b"<x:xmpmeta>" + SECRET, "icc_profile": ICC}
    if suffix == ".png":
        text = PngImagePlugin.PngInfo()
        text.add_text("Author", SECRET.decode())
        text.add_itxt("Comment", SECRET.decode())
        options["pnginfo"] = text
    if suffix == ".jpg":
        options["comment"] = SECRET
    photo().save(source, **options)
    if suffix == ".jpg":  # IPTC, and a second picture behind the first, as phones make them
        small = io.BytesIO()
        photo(size=(16, 16)).save(small, "JPEG", comment=SECRET)
        data = source.read_bytes()
        iptc = b"Photoshop 3.0\x008BIM\x04\x04\0\0" + struct.pack(">I", len(SECRET)) + SECRET
        source.write_bytes(
            data[:2] + b"\xff\xed" + struct.pack(">H", len(iptc) + 2) + iptc + data[2:] + small.getvalue()
        )
    assert SECRET in source.read_bytes()
    save_image(open_image(source), out)
    data = out.read_bytes()
    for word in (b"Jane", b"48.8577", b"2024", b"Phone", b"xmpmeta", b"Photoshop", b"Exif"):
        assert word not in data
    with Image.open(out) as image:
        image.load()
        assert image.info["icc_profile"] == ICC
        assert not any(image.info.get(name) for name in ("exif", "xmp", "comment", "photoshop", "mp"))


def test_the_exif_thumbnail_which_shows_the_face_is_gone(tmp_path):
    small = io.BytesIO()
    Image.new("RGB", (32, 32), (250, 10, 20)).save(small, "JPEG")
    thumbnail = small.getvalue()
    # A header, an empty first directory at 8, and a second at 14 that points to the thumbnail behind it, at 44.
    first = struct.pack("<HI", 0, 14)
    second = struct.pack("<HHHIIHHIII", 2, 0x0201, 4, 1, 44, 0x0202, 4, 1, len(thumbnail), 0)
    block = b"Exif\0\0II*\0" + struct.pack("<I", 8) + first + second + thumbnail
    source, out = tmp_path / "a.jpg", tmp_path / "out.jpg"
    photo().save(source, exif=block)
    assert thumbnail in source.read_bytes()
    save_image(open_image(source), out)
    assert out.read_bytes().count(b"\xff\xd8\xff") == 1
    assert b"Exif" not in out.read_bytes()


@pytest.mark.parametrize("quality", [30, 75, 95])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_keeps_its_tables_and_loses_next_to_nothing(tmp_path, quality, subsampling, progressive):
    source, out = tmp_path / "a.jpg", tmp_path / "out.jpg"
    photo().save(source, quality=quality, subsampling=subsampling, progressive=progressive)
    save_image(open_image(source), out)
    with Image.open(source) as before, Image.open(out) as after:
        assert after.quantization == before.quantization
        assert JpegImagePlugin.get_sampling(after) == subsampling
        assert ("progressive" in after.info) == progressive
        assert np.abs(np.asarray(before).astype(int) - np.asarray(after)).mean() < 1
    assert out.stat().st_size < source.stat().st_size * 1.1


def test_grey_jpeg_stays_grey(tmp_path):
    photo("L").save(tmp_path / "a.jpg", quality=90)
    save_image(open_image(tmp_path / "a.jpg"), tmp_path / "out.jpg")
    with Image.open(tmp_path / "out.jpg") as image:
        assert image.mode == "L"


@pytest.mark.parametrize("lossless", [False, True])
def test_webp_stays_lossless_or_lossy(tmp_path, lossless):
    photo("RGBA").save(tmp_path / "a.webp", lossless=lossless, quality=80, exact=True)
    save_image(open_image(tmp_path / "a.webp"), tmp_path / "out.webp")
    data = (tmp_path / "out.webp").read_bytes()
    assert (b"VP8L" in data) == lossless
    with Image.open(tmp_path / "a.webp") as before, Image.open(tmp_path / "out.webp") as after:
        assert np.array_equal(np.asarray(before)[..., 3], np.asarray(after)[..., 3])
        assert np.array_equal(np.asarray(before), np.asarray(after)) == lossless


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_adobe_deflate", None])
def test_tiff_keeps_its_compression(tmp_path, compression):
    photo().save(tmp_path / "a.tif", compression=compression)
    save_image(open_image(tmp_path / "a.tif"), tmp_path / "out.tif")
    with Image.open(tmp_path / "a.tif") as before, Image.open(tmp_path / "out.tif") as after:
        assert after.info["compression"] == before.info["compression"]


def test_the_suffix_names_the_format(tmp_path):
    photo().save(tmp_path / "a.png")
    still = open_image(tmp_path / "a.png")
    for suffix, format_ in ((".jpg", "JPEG"), (".JPEG", "JPEG"), (".webp", "WEBP"), (".tif", "TIFF"), (".png", "PNG")):
        save_image(still, tmp_path / f"out{suffix}")
        with Image.open(tmp_path / f"out{suffix}") as image:
            assert image.format == format_


def test_the_content_names_the_format_of_the_input(tmp_path):
    photo().save(tmp_path / "a.jpg", "PNG")
    still = open_image(tmp_path / "a.jpg")
    assert still.format == "PNG" and still.frame.width == 97


@pytest.mark.parametrize(("transparent", "mode"), [(False, "RGB"), (True, "RGBA")])
def test_palettes_become_colours(tmp_path, transparent, mode):
    palette = photo().quantize(32)
    palette.save(tmp_path / "a.png", **({"transparency": 3} if transparent else {}))
    with Image.open(tmp_path / "a.png") as image:
        expected = np.asarray(image.convert(mode))
    save_image(open_image(tmp_path / "a.png"), tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as image:
        assert image.mode == mode and np.array_equal(np.asarray(image), expected)


def test_a_second_view_in_a_jpeg_is_left_behind(tmp_path):
    photo().save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[Image.new("RGB", (97, 63), "red")])
    save_image(open_image(tmp_path / "a.jpg"), tmp_path / "out.jpg")
    with Image.open(tmp_path / "out.jpg") as image:
        assert image.format == "JPEG"
    assert (tmp_path / "out.jpg").read_bytes().count(b"\xff\xd8\xff") == 1


@pytest.mark.parametrize(
    ("suffix", "mode", "message"),
    [(".jpg", "RGBA", "cannot hold transparency"), (".jpg", "I;16", "cannot hold 16 bits"),
     (".webp", "I;16", "cannot hold 16 bits"), (".bmp", "RGB", r"cannot be written as \.bmp"),
     ("", "RGB", "a file without suffix")],
)  # fmt: skip
def test_outputs_that_cannot_hold_it_are_refused(tmp_path, suffix, mode, message):
    photo(mode).save(tmp_path / "a.png")
    with pytest.raises(OutputError, match=message) as caught:
        save_image(open_image(tmp_path / "a.png"), tmp_path / f"out{suffix}")
    assert caught.value.hint
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png"]


def test_the_input_is_never_overwritten(tmp_path):
    photo().save(tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    with pytest.raises(OutputError, match="never overwritten"):
        save_image(open_image(tmp_path / "a.png"), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == before


class TestBadInput:
    """Each with one line that names the file and the way out."""

    def refused(self, path: Path, message: str) -> None:
        with pytest.raises(InputError, match=message) as caught:
            open_image(path)
        assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
        assert caught.value.hint

    def test_missing(self, tmp_path):
        self.refused(tmp_path / "no.jpg", "no such file")

    def test_folder(self, tmp_path):
        self.refused(tmp_path, "is a folder")

    def test_empty(self, tmp_path):
        (tmp_path / "a.jpg").touch()
        self.refused(tmp_path / "a.jpg", "is empty")

    @pytest.mark.parametrize(
        "data", [b"hello", bytes(500), b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"RIFF1234WEBP"]
    )
    def test_not_a_picture(self, tmp_path, data):
        (tmp_path / "a.jpg").write_bytes(data)
        self.refused(tmp_path / "a.jpg", "is not a JPEG|is damaged")

    @pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tiff", ".heic"])
    @pytest.mark.parametrize("part", [0.3, 0.9])
    def test_cut_off(self, tmp_path, suffix, part):
        if suffix == ".heic":
            pytest.importorskip("pillow_heif").register_heif_opener()
        path = tmp_path / f"a{suffix}"
        photo().save(path)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
        self.refused(path, "is damaged|is not a JPEG")

    def test_cut_off_16_bit_colour(self, tmp_path):
        path = tmp_path / "a.png"
        cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 65536, (50, 50, 3), np.uint16))
        path.write_bytes(path.read_bytes()[:6000])
        self.refused(path, "is damaged|in a way that is not read")

    def test_a_bomb(self, tmp_path):
        header = struct.pack(">IIBBBBB", 20000, MAX_PIXELS // 20000 + 1, 8, 2, 0, 0, 0)
        chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
        data = b"".join(struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
        (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + data)
        self.refused(tmp_path / "a.png", "more than 200 million")

    def test_the_limit_of_others_is_left_alone(self, tmp_path):
        before = Image.MAX_IMAGE_PIXELS
        photo().save(tmp_path / "a.png")
        open_image(tmp_path / "a.png")
        assert before == Image.MAX_IMAGE_PIXELS

    @pytest.mark.parametrize("suffix", [".png", ".webp", ".tiff"])
    def test_many_pictures(self, tmp_path, suffix):
        photo().save(tmp_path / f"a{suffix}", save_all=True, append_images=[Image.new("RGB", (97, 63), "red")])
        self.refused(tmp_path / f"a{suffix}", "holds 2 pictures")

    def test_gif(self, tmp_path):
        photo().save(tmp_path / "a.gif")
        self.refused(tmp_path / "a.gif", "is a GIF")

    @pytest.mark.parametrize(("mode", "suffix"), [("CMYK", ".jpg"), ("CMYK", ".tiff"), ("F", ".tiff"), ("I", ".tiff")])
    def test_pixels_that_could_not_be_kept(self, tmp_path, mode, suffix):
        (photo("L").convert(mode) if mode in "FI" else photo(mode)).save(tmp_path / f"a{suffix}")
        self.refused(tmp_path / f"a{suffix}", "could not be kept")


def test_heic_without_the_extra_says_what_to_install(tmp_path):
    pytest.importorskip("pillow_heif").register_heif_opener()
    photo().save(tmp_path / "a.heic")
    program = """
        import sys
        sys.modules["pillow_heif"] = None
        from masquerade.errors import MasqueradeError
        from masquerade.media import open_image
        try:
            open_image(sys.argv[1])
        except MasqueradeError as error:
            print(error)
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "a.heic")]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert 'pip install "masquerade[heic]"' in run.stdout
