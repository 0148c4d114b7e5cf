import numpy as np
import pytest
from hypothesis import settings

from masquerade.errors import WeightsError
from masquerade.models import asset, fetch

settings.register_profile("any machine", deadline=None)  # a busy machine is slow, not wrong
settings.load_profile("any machine")


def fetched(name):
    """A file of the store, or a skip where it cannot be had."""
    try:
        return fetch(asset(name))
    except WeightsError as error:
        pytest.skip(f"{name} cannot be fetched here: {error}")


@pytest.fixture(scope="session")
def detector():
    """The default detector, fetched once through the store."""
    from masquerade.faces.detect import open_detector  # noqa: PLC0415

    fetched("centerface")
    return open_detector()


@pytest.fixture(scope="session")
def astronaut():
    """A public-domain portrait, 512 x 512; RGB."""
    from PIL import Image  # noqa: PLC0415

    return np.array(Image.open(fetched("astronaut")).convert("RGB"))
