import pytest
from PIL import Image

from ..conftest import fetched
from ..scenes import placed, write_clip


@pytest.fixture(scope="session")
def weights():
    """The default detector's weights are in the cache, so that a command finds them there."""
    fetched("centerface")


@pytest.fixture(scope="session")
def media(tmp_path_factory, astronaut, weights):
    """face.png and face.jpg, 256 x 256 with one face at half of `FACE`; clip.mp4, 320 x 240, 12 frames of it."""
    folder = tmp_path_factory.mktemp("media")
    photo = Image.fromarray(astronaut).resize((256, 256))
    photo.save(folder / "face.png")
    photo.save(folder / "face.jpg", quality=95)
    write_clip(folder / "clip.mp4", [placed(astronaut, 0.5, 30 + i, -10, 320, 240)[0] for i in range(12)])
    return folder
