"""Doing three things at once in bounded memory: decoding ahead, working, encoding behind.

FFmpeg and the inference engine release the interpreter lock, so plain threads with short queues keep every core busy
while no more than a few frames exist at a time.
"""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")

DECODE_AHEAD = 4
"""Frames decoded before they are needed."""

_END = object()

_POLL = 0.1
"""Seconds. Ctrl-C in the middle of a queue's own bookkeeping can lose the wake-up of who waits, so nobody waits for
one without end."""


class _Failure:
    def __init__(self, error: BaseException) -> None:
        self.error = error


def ahead(items: Iterable[T], depth: int) -> Iterator[T]:
    """Iterates `items` in a thread of its own, at most `depth` of them ahead of the consumer.

    An error inside `items` is raised where the consumer stands. When the consumer stops early, the thread ends too.
    """
    filled: queue.Queue[object] = queue.Queue(maxsize=depth)
    stop = threading.Event()

    def put(item: object) -> bool:
        while not stop.is_set():
            try:
                filled.put(item, timeout=_POLL)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for item in items:
                if not put(item):
                    return
        except BaseException as error:
            put(_Failure(error))
        else:
            put(_END)

    thread = threading.Thread(target=work, name="masquerade-ahead", daemon=True)
    thread.start()
    try:
        while (item := _taken(filled)) is not _END:
            if isinstance(item, _Failure):
                raise item.error
            yield item  # type: ignore[misc]
    finally:
        stop.set()
        thread.join()


def _taken(waiting: "queue.Queue[object]") -> object:
    while True:
        with suppress(queue.Empty):
            return waiting.get(timeout=_POLL)


class Behind(Generic[T]):
    """Hands items to `consume` in a thread of its own, in order, at most `depth` waiting.

    Leaving the `with` block normally waits until all is consumed; leaving it with an error drops what waits. An error
    inside `consume` is raised at the next `put` or at the end.
    """

    def __init__(self, consume: Callable[[T], None], depth: int) -> None:
        self._consume = consume
        self._waiting: queue.Queue[object] = queue.Queue(maxsize=depth)
        self._error: BaseException | None = None
        self._drop = False
        self._thread = threading.Thread(target=self._work, name="masquerade-behind", daemon=True)

    def _work(self) -> None:
        while (item := _taken(self._waiting)) is not _END:
            if self._error is None and not self._drop:
                try:
                    self._consume(item)  # type: ignore[arg-type]
                except BaseException as error:
                    self._error = error

    def put(self, item: T) -> None:
        """Queues one item; waits while the queue is full."""
        if self._error is not None:
            raise self._error
        self._waiting.put(item)

    def __enter__(self) -> "Behind[T]":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._drop = kind is not None
        self._waiting.put(_END)
        self._thread.join()
        if kind is None and self._error is not None:
            raise self._error
