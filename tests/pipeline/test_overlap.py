import threading
import time

import pytest

from masquerade.pipeline.overlap import Behind, ahead


def test_ahead_keeps_order_and_stays_close():
    made = []

    def source():
        for i in range(50):
            made.append(i)
            yield i

    for i, item in enumerate(ahead(source(), 3)):
        assert item == i
        time.sleep(0.001)
        assert len(made) <= i + 6  # three queued, one in the hand of each side, and one being made


def test_ahead_passes_errors_on_after_what_came_before():
    def source():
        yield 1
        raise ValueError("bad packet")

    items = ahead(source(), 2)
    assert next(items) == 1
    with pytest.raises(ValueError, match="bad packet"):
        next(items)


def test_ahead_ends_its_thread_when_the_consumer_stops():
    before = threading.active_count()
    items = ahead(iter(range(10**9)), 2)
    assert next(items) == 0
    items.close()
    assert threading.active_count() == before


def test_behind_keeps_order_and_waits_for_the_last():
    got = []
    with Behind(lambda item: (time.sleep(0.002), got.append(item)), 2) as writer:
        for i in range(20):
            writer.put(i)
    assert got == list(range(20))


def test_behind_raises_what_the_consumer_raised():
    def consume(item):
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"), Behind(consume, 1) as writer:
        for i in range(100):
            writer.put(i)


def test_behind_drops_what_waits_when_the_producer_fails():
    got = []

    def produce():
        with Behind(lambda item: (time.sleep(0.05), got.append(item)), 50) as writer:
            for i in range(50):
                writer.put(i)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        produce()
    assert len(got) < 5


def test_a_wake_up_that_got_lost_holds_nobody_up_for_ever(monkeypatch):
    """Ctrl-C inside a queue's `notify` can lose one; the thread that waits must see what lies there all the same."""
    done = []
    worker = Behind(done.append, 4)
    with worker:
        time.sleep(0.05)  # until it waits
        monkeypatch.setattr(worker._waiting.not_empty, "notify", lambda n=1: None)
        worker.put(1)
    assert done == [1]
