"""Saying that faces in a file are fabricated: to machines in its metadata, to people in a corner of the picture.

The European AI Act asks (article 50) that what was generated can be told by machines. The word for it is the IPTC's
digital source type: photos carry it as XMP, videos as their comment. None of it names anybody or anything else.
"""

from functools import cache
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from masquerade.types import Pixels

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""The IPTC's name for "a picture of which a trained model made parts"."""

NOTE = f"Faces in this file are synthetic and belong to nobody. DigitalSourceType: {SOURCE_TYPE}"
"""For a video's comment."""

XMP = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">
   <Iptc4xmpExt:DigitalSourceType>{SOURCE_TYPE}</Iptc4xmpExt:DigitalSourceType>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>""".encode()
"""For a photo, in the IPTC's extension schema."""

_WORDS = "Synthetic faces"
_HEIGHT = 0.03
"""Of the letters, in shorter sides of the picture."""
_SMALLEST = 9
"""Pixels: lower letters cannot be read."""
_WIDEST = 0.9
"""Of the picture's width."""
_GROUND = 0.35
"""How much of the picture's light is left around the letters."""


class _Picture(Protocol):
    """What a mark is drawn on; see `media.Frame`."""

    width: int
    height: int

    def read(self, x: int, y: int, width: int, height: int) -> Pixels: ...

    def write(self, x: int, y: int, pixels: Pixels) -> None: ...


def draw_mark(picture: _Picture) -> None:
    """White words on a dark ground in the lower left corner."""
    mark = _mark(max(_SMALLEST, round(_HEIGHT * min(picture.width, picture.height))), round(_WIDEST * picture.width))
    height, width = min(mark.shape[0], picture.height), min(mark.shape[1], picture.width)
    # An even place is where chroma begins, so that no pixel outside the mark takes its colour.
    x, y = 0, (picture.height - height) // 2 * 2
    height = min(height, picture.height - y)
    pixels = picture.read(x, y, width, height)
    ground = pixels * np.float32(_GROUND)
    shown = ground + mark[:height, :width, None] * (np.iinfo(pixels.dtype).max - ground)
    # Of the picture's own type, which the checker cannot see through a union.
    picture.write(x, y, cast("Pixels", shown.round().astype(pixels.dtype)))


@cache
def _mark(height: int, widest: int) -> NDArray[np.float32]:
    """How white each pixel is, 0 to 1; the ground reaches half a letter around."""
    font = ImageFont.load_default(height)
    left, top, right, bottom = font.getbbox(_WORDS)
    pad = height // 2
    size = (int(right - left) + 2 * pad, int(bottom - top) + 2 * pad)
    image = Image.new("L", size)
    ImageDraw.Draw(image).text((pad - left, pad - top), _WORDS, fill=255, font=font)
    if size[0] > widest > 0:
        image = image.resize((widest, max(1, size[1] * widest // size[0])), Image.Resampling.LANCZOS)
    return np.asarray(image, np.float32) / np.float32(255)
