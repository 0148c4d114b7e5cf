"""Photos in and out, with their pixels' meaning kept and nothing that could name or show a person.

Kept: size, grey or colour, 8 or 16 bits, alpha (never touched), ICC profile, DPI, and for JPEG the quantisation
tables, the chroma subsampling and whether it is progressive, so that untouched blocks lose next to nothing. Orientation
is applied to the pixels, once. Everything else is left behind: EXIF with its thumbnail, which shows the original face,
GPS, dates, device, XMP, IPTC, comments, PNG text, previews and further pictures inside the file. What is written may
say of itself, in XMP, what it is; see `disclosure`.
"""

import contextlib
import io
import struct
import threading
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, TiffTags, UnidentifiedImageError

from masquerade.errors import InputError, MasqueradeError, OutputError
from masquerade.media.files import atomic_output, check_readable
from masquerade.media.frame import Orientation, StillFrame

FORMATS = MappingProxyType(
    {
        ".jpg": "JPEG",
        ".jpeg": "JPEG",
        ".png": "PNG",
        ".webp": "WEBP",
        ".tif": "TIFF",
        ".tiff": "TIFF",
        ".heic": "HEIF",
        ".heif": "HEIF",
        ".hif": "HEIF",
    }
)
"""Suffix → Pillow's name of the format."""

MAX_PIXELS = 200_000_000
"""More is taken for a decompression bomb. The largest phone cameras make 199.8 million."""

_ORIENTATION, _BITS_PER_SAMPLE, _EXTRA_SAMPLES, _ICC, _XMP = 0x0112, 258, 338, 34675, 700
_PNG_XMP = "XML:com.adobe.xmp"
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_LOSSLESS_TIFF = ("raw", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits", "zstd", "lzma")
_open_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class StillImage:
    """A photo, upright.

    Attributes:
        path: where it came from.
        frame: its pixels, to be read and written by region.
        alpha: shape (height, width) and the frame's type, or None; written back as it is.
        format: of the source, Pillow's name.
        icc_profile: what its colours mean; None where the file does not say.
        dpi: dots per inch, (x, y); None where the file does not say.
        coding: how the source was compressed, as Pillow's options for writing the same format.
    """

    path: Path
    frame: StillFrame
    alpha: NDArray[np.uint8] | NDArray[np.uint16] | None
    format: str
    icc_profile: bytes | None
    dpi: tuple[float, float] | None
    coding: Mapping[str, Any]


def open_image(path: Path | str) -> StillImage:
    """Read a photo: JPEG, PNG, WebP, TIFF, and HEIC with the extra.

    The format is found from the content, not from the name. HEIC is read with 8 bits.

    Raises:
        InputError: missing, empty, cut off, damaged, not such a picture, more than `MAX_PIXELS`, or of a kind whose
            pixels cannot be kept: animated, many pages, CMYK, float.
    """
    path = check_readable(path)
    with path.open("rb") as file:
        head = file.read(32)
    if head[:4] == b"GIF8":
        raise InputError("is a GIF, which is not read", path=path, hint="Convert it to PNG, or to MP4 if it moves")
    formats = ["JPEG", "PNG", "WEBP", "TIFF"]
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS:
        _register_heif(path)
        formats.append("HEIF")
    with _reading(path), _opened(path, formats) as image:
        if image.width * image.height > MAX_PIXELS:
            raise InputError(
                f"has {image.width}x{image.height} pixels, more than {MAX_PIXELS // 1_000_000} million",
                path=path,
                hint="Scale it down first",
            )
        # An MPO is a JPEG with further views or a gain map of the same picture, which are left behind.
        pages = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
        if pages > 1:
            raise InputError(f"holds {pages} pictures", path=path, hint="Save each as a file of its own, or as a video")
        coding = _coding(image, path)  # before loading, which forgets some of it
        samples, alpha = _samples(image, path, head)
        icc_profile, dpi = image.info.get("icc_profile"), image.info.get("dpi")
        return StillImage(
            path=path,
            frame=StillFrame(samples),
            alpha=alpha,
            format="JPEG" if image.format == "MPO" else str(image.format),
            icc_profile=icc_profile or None,
            dpi=(float(dpi[0]), float(dpi[1])) if dpi else None,
            coding=coding,
        )


def save_image(still: StillImage, path: Path | str, *, xmp: bytes | None = None) -> None:
    """Write a photo in the format that the suffix names; it appears under its name only when it is whole.

    Args:
        still: the photo.
        path: where to.
        xmp: the only metadata of the file, an XMP packet, UTF-8.

    Raises:
        OutputError: unknown suffix, a format that cannot hold 16 bits or alpha, the input's own name, no space or no
            permission.
    """
    path = Path(path)
    format_ = FORMATS.get(path.suffix.lower())
    if format_ is None:
        raise OutputError(
            f"photos cannot be written as {path.suffix or 'a file without suffix'}",
            path=path,
            hint=f"Choose one of {', '.join(FORMATS)}",
        )
    samples, alpha = still.frame.samples, still.alpha
    if format_ not in ("PNG", "TIFF") and samples.dtype == np.uint16:
        raise OutputError(f"{format_} cannot hold 16 bits", path=path, hint="Choose .png or .tiff")
    if format_ == "JPEG" and alpha is not None:
        raise OutputError("JPEG cannot hold transparency", path=path, hint="Choose .png or .webp")
    if format_ == "HEIF":
        _register_heif(path)
    with atomic_output(path, inputs=[still.path]) as part, _writing(path):
        if samples.dtype == np.uint16 and (samples.ndim == 3 or alpha is not None):
            part.write_bytes(_deep_colour(still, format_, xmp))
            return
        planes = [samples] if samples.ndim == 2 else list(np.moveaxis(samples, 2, 0))
        image = Image.fromarray(samples)
        if alpha is not None:
            mode = "LA" if samples.ndim == 2 else "RGBA"
            image = Image.merge(mode, [Image.fromarray(np.ascontiguousarray(plane)) for plane in [*planes, alpha]])
        options: dict[str, Any] = {**_DEFAULTS[format_]}
        if format_ == still.format:
            options |= still.coding
        if still.icc_profile:
            options["icc_profile"] = still.icc_profile
        if still.dpi:
            options["dpi"] = still.dpi
        if xmp is not None:
            options |= _xmp_options(format_, xmp)
        # Not straight to the file: Pillow takes a write that a full disk cut short for a whole one.
        encoded = io.BytesIO()
        image.save(encoded, format_, **options)
        part.write_bytes(encoded.getbuffer())


def _xmp_options(format_: str, xmp: bytes) -> dict[str, Any]:
    """As Pillow's writer of the format wants it."""
    if format_ == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_itxt(_PNG_XMP, xmp.decode("utf-8"))
        return {"pnginfo": text}
    if format_ == "TIFF":
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[_XMP], tags.tagtype[_XMP] = xmp, TiffTags.BYTE
        return {"tiffinfo": tags}
    return {"xmp": xmp}


_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "PNG": {},
    "WEBP": {"quality": 95, "exact": True},
    "TIFF": {"compression": "tiff_adobe_deflate"},
    "HEIF": {"quality": 92},
}


@contextlib.contextmanager
def _opened(path: Path, formats: list[str]) -> Iterator[Image.Image]:
    # Pillow's own limit would refuse what large phone cameras make, and warns on the terminal at half of it.
    with _open_lock:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(path, formats=formats)
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    with image:
        yield image


def _samples(image: Image.Image, path: Path, head: bytes) -> tuple[Any, Any]:
    """(grey or RGB samples, alpha or None), upright and writable."""
    orientation = (
        Orientation() if image.format == "HEIF" else Orientation.from_exif(image.getexif().get(_ORIENTATION, 1))
    )
    if _is_deep_colour(image, head):
        array = _decode_deep(path)
    else:
        if image.format == "TIFF":
            orientation = Orientation()  # Pillow turns these by itself
        array = _decode(image, path)
    alpha = None
    if array.ndim == 3 and array.shape[2] in (2, 4):
        array, alpha = array[..., :-1], np.ascontiguousarray(orientation.upright(array[..., -1]))
        array = array[..., 0] if array.shape[2] == 1 else array
    return np.array(orientation.upright(array), order="C"), alpha


def _decode(image: Image.Image, path: Path) -> NDArray[Any]:
    mode = image.mode
    if mode in ("P", "PA", "1") or "transparency" in image.info:
        grey = mode in ("1", "L")
        clear = mode == "PA" or "transparency" in image.info
        return np.asarray(image.convert({(0, 0): "RGB", (0, 1): "RGBA", (1, 0): "L", (1, 1): "LA"}[grey, clear]))
    if mode == "YCbCr":
        return np.asarray(image.convert("RGB"))
    if mode in ("L", "RGB", "LA", "RGBA"):
        return np.asarray(image)
    if mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)
    name = {"CMYK": "CMYK", "F": "a float", "I": "a 32-bit", "LAB": "a Lab"}.get(mode, mode)
    raise InputError(f"is {name} picture, whose pixels could not be kept", path=path, hint="Convert it to RGB first")


def _is_deep_colour(image: Image.Image, head: bytes) -> bool:
    """16 bits and more than one channel, which Pillow would silently cut to 8 bits."""
    if image.format == "PNG":
        return head[24] == 16 and head[25] != 0
    bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, ())
    return len(bits) in (3, 4) and set(bits) == {16} and image.mode in ("RGB", "RGBA")


def _decode_deep(path: Path) -> NDArray[np.uint16]:
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # it would write to the terminal
    try:
        array: Any = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    finally:
        cv2.utils.logging.setLogLevel(level)
    if array is None or array.dtype != np.uint16 or array.ndim != 3:
        raise InputError(
            "holds 16-bit samples in a way that is not read", path=path, hint="Save it as 16-bit PNG first"
        )
    colour: NDArray[np.uint16] = array[..., [2, 1, 0, 3][: array.shape[2]]]  # OpenCV's order is BGR
    return colour


def _coding(image: Any, path: Path) -> Mapping[str, Any]:  # noqa: ANN401 - each format has attributes of its own
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        sampling = JpegImagePlugin.get_sampling(image)
        turned = Orientation.from_exif(image.getexif().get(_ORIENTATION, 1)).transpose
        if sampling < 0 or (sampling == 1 and turned):  # 4:2:2 on its side has no name: give every pixel its colour
            sampling = 0
        return {
            "qtables": image.quantization,
            "subsampling": sampling,
            "progressive": bool(image.info.get("progressive")),
            "quality": -1,  # the tables say it
        }
    if image.format == "WEBP":
        return {"lossless": _is_lossless_webp(path)}
    if image.format == "TIFF" and image.info.get("compression") in _LOSSLESS_TIFF:
        return {"compression": image.info["compression"]}
    return {}


def _is_lossless_webp(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(12)
        while len(chunk := file.read(8)) == 8:
            name, length = struct.unpack("<4sI", chunk)
            if name in (b"VP8L", b"VP8 "):
                return bool(name == b"VP8L")
            file.seek(length + length % 2, 1)
    return False


def _deep_colour(still: StillImage, format_: str, xmp: bytes | None) -> bytes:
    """A PNG or TIFF of 16-bit colour, which Pillow cannot write."""
    samples = still.frame.samples
    colour = samples if samples.ndim == 3 else np.repeat(samples[..., None], 3, axis=2)
    channels = colour[..., ::-1] if still.alpha is None else np.dstack([colour[..., ::-1], still.alpha])
    done, encoded = cv2.imencode(".png" if format_ == "PNG" else ".tiff", np.ascontiguousarray(channels))
    if not done:
        raise OSError("OpenCV could not encode it")
    data = encoded.tobytes()
    if format_ == "PNG":
        chunks = b""
        if still.icc_profile:
            chunks += _png_chunk(b"iCCP", b"ICC\0\0" + zlib.compress(still.icc_profile))
        if still.dpi:
            chunks += _png_chunk(b"pHYs", struct.pack(">IIB", *(round(d / 0.0254) for d in still.dpi), 1))
        if xmp is not None:
            chunks += _png_chunk(b"iTXt", _PNG_XMP.encode("ascii") + bytes(5) + xmp)
        return data[:33] + chunks + data[33:]  # after the signature and the header chunk
    tags: dict[int, tuple[int, int, bytes]] = {}
    if still.icc_profile:
        tags[_ICC] = (7, len(still.icc_profile), still.icc_profile)
    if xmp is not None:
        tags[_XMP] = (1, len(xmp), xmp)
    if still.alpha is not None:
        tags[_EXTRA_SAMPLES] = (3, 1, struct.pack("<HH", 2, 0))
    if still.dpi:
        tags[296] = (3, 1, struct.pack("<HH", 2, 0))  # inches
        for tag, dots in zip((282, 283), still.dpi, strict=True):
            tags[tag] = (5, 1, struct.pack("<II", round(dots * 1000), 1000))
    return _with_tiff_tags(data, tags)


def _png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _with_tiff_tags(data: bytes, tags: Mapping[int, tuple[int, int, bytes]]) -> bytes:
    """A little-endian TIFF with tags (type, count, value) added: a new directory at its end, the old one unused."""
    start = struct.unpack_from("<I", data, 4)[0]
    count = struct.unpack_from("<H", data, start)[0]
    entries = {
        struct.unpack_from("<H", data, at)[0]: data[at : at + 12] for at in range(start + 2, start + 2 + 12 * count, 12)
    }
    data += b"\0" * (len(data) % 2)
    for tag, (kind, number, value) in tags.items():
        inline = value
        if len(value) > 4:  # the entry then holds the place of the value
            inline = struct.pack("<I", len(data))
            data += value + b"\0" * (len(value) % 2)
        entries[tag] = struct.pack("<HHI", tag, kind, number) + inline
    directory = struct.pack("<H", len(entries)) + b"".join(entries[tag] for tag in sorted(entries)) + bytes(4)
    return data[:4] + struct.pack("<I", len(data)) + data[8:] + directory


def _register_heif(path: Path) -> None:
    try:
        import pillow_heif  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise InputError(
            "is a HEIC picture, which needs an extra", path=path, hint='Run: pip install "masquerade[heic]"'
        ) from error
    pillow_heif.register_heif_opener()


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except MasqueradeError:
        raise
    except UnidentifiedImageError as error:
        raise InputError(
            "is not a JPEG, PNG, WebP, TIFF or HEIC picture", path=path, hint="Convert it to PNG or JPEG first"
        ) from error
    except MemoryError as error:
        raise InputError("does not fit into memory", path=path, hint="Scale it down first") from error
    except Exception as error:  # decoders raise whatever they stumble on in a damaged file
        raise InputError(
            f"is damaged or cut off ({_one_line(error)})", path=path, hint="Copy or export it again"
        ) from error


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            raise  # the disk's, told by atomic_output
        raise OutputError(f"cannot be written ({_one_line(error)})", path=path, hint="Choose .png") from error
    except ValueError as error:
        raise OutputError(f"cannot be written ({_one_line(error)})", path=path, hint="Choose .png") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
