import pytest


@pytest.fixture(autouse=True)
def one_thread():
    """The networks here are tiny: a second thread would cost more in waiting than it brings."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
