"""Two processes that train together do what one does with the same batch."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")
psutil = pytest.importorskip("psutil")

from masquerade.errors import MasqueradeError, OptionError  # noqa: E402
from masquerade.train import encoder, engine, processes  # noqa: E402
from masquerade.train.encoder import train_encoder  # noqa: E402
from masquerade.train.recipe import Schedule, read_recipe  # noqa: E402
from masquerade.train.swapper import train_swapper  # noqa: E402
from tests.train.archives import colours, write_archives  # noqa: E402

ENCODER = """
name = "encoder"
network = "guard"
seed = 3
learning_rate = 1e-3
weight_decay = 0.05
filter_rate = 0.05
precision = "float32"
[data]
labelled = "train.zip"
validation = "val.zip"
mixed = 0.25
[loss]
teacher = "dlib"
distillation = 1.0
similarity = 1.0
margin = "arcface"
margin_size = 0.3
margin_weight = 0.1
[schedule]
epochs = 4.0
batch = 4
accumulate = 2
warmup = 2
log_every = 1
average = 0.8
validate_every = 2
save_minutes = 0.0
"""

# One face of the four is its own source, so one process has such a face and the other has none.
SWAPPER = """
name = "swapper"
network = "simswap"
side = 64
width = 4
seed = 4
learning_rate = 1e-4
precision = "float32"
[data]
faces = ["train.zip"]
validation = "val.zip"
same = 0.25
[discriminator]
kind = "patches"
width = 4
[loss]
recognisers = ["driver"]
identity = 6.0
repulsion = 6.0
ifsr = 3.0
margins = [[0.05, 0.1]]
matching = 2.0
reconstruction = 10.0
cycle = 1.0
r1 = 10.0
r1_every = 2
[schedule]
epochs = 6.0
batch = 4
warmup = 2
log_every = 1
average = 0.5
validate_every = 3
save_minutes = 0.0
"""

BOTH = """
import sys
from pathlib import Path
from tests.train.test_processes import run
run(Path(sys.argv[1]), "two")
"""


def run(place, work):
    """Both recipes, in this process or in those that were launched with it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    where = {"data": place, "teachers": place, "work": place / work, "workers": 0}
    with (
        mock.patch.dict(encoder.TEACHERS, dlib=colours),
        mock.patch.object(encoder, "look_of", lambda *_: lambda faces: torch.from_numpy(colours(_)(faces.numpy()))),
        processes.together(),
    ):
        train_encoder(read_recipe(place / "encoder.toml"), **where)
        train_swapper(read_recipe(place / "swapper.toml"), **where)
    torch.set_num_threads(before)


def start(*command):
    """A command in two processes, as the documentation starts it on two GPUs."""
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    # What accelerate would ask or take from the user's own configuration.
    launch += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root), "GLOO_SOCKET_IFNAME": "lo"}
    return subprocess.Popen(
        [*launch, *map(str, command)], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def process(launched, rank):
    """The process of that number."""
    for child in psutil.Process(launched.pid).children():
        if child.environ().get("RANK") == str(rank):
            return child.pid
    raise AssertionError("it is not there")


def curve(place, work, name):
    path = place / work / name / engine.LOG
    whole = [line for line in path.read_text().splitlines(True) if line.endswith("\n")] if path.exists() else []
    return [{name: value for name, value in json.loads(line).items() if name != "time"} for line in whole]


def weights(place, work, name):
    modules = torch.load(place / work / name / engine.CHECKPOINT, weights_only=True)["modules"]
    learnt = {key: value for module in modules.values() for key, value in module.items() if "running" not in key}
    return torch.cat([value.flatten() for value in learnt.values() if value.is_floating_point()])


@pytest.fixture(scope="module", autouse=True)
def _gloo():
    if not torch.distributed.is_available() or not torch.distributed.is_gloo_available():
        pytest.skip("this torch has no gloo, with which CPUs train together")


def test_two_processes_of_which_one_is_killed_write_the_curves_and_the_weights_of_one(tmp_path):
    write_archives(tmp_path, people=2)
    (tmp_path / "encoder.toml").write_text(ENCODER)
    (tmp_path / "swapper.toml").write_text(SWAPPER)
    where = ["--data", tmp_path, "--teachers", tmp_path, "--work", tmp_path / "two", "--workers", "1"]
    killed = start("-m", "masquerade.train", tmp_path / "swapper.toml", *where)
    deadline = time.monotonic() + 300
    while len(curve(tmp_path, "two", "swapper")) < 2 and killed.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert killed.poll() is None, killed.stderr.read()
    os.kill(process(killed, 0), signal.SIGKILL)
    killed.communicate(timeout=300)
    assert 2 <= len(curve(tmp_path, "two", "swapper")) < 6

    (tmp_path / "both.py").write_text(BOTH)
    resumed = start(tmp_path / "both.py", tmp_path)
    said = resumed.communicate(timeout=300)[1]
    assert resumed.returncode == 0, said
    run(tmp_path, "one")
    encoders, swappers = ([curve(tmp_path, work, name) for work in ("two", "one")] for name in ("encoder", "swapper"))
    assert [len(one) for one in (*encoders, *swappers)] == [4, 4, 6, 6]
    for two, one in zip(*encoders, strict=True):
        assert two == pytest.approx(one, rel=1e-4, abs=1e-5)
    # The gradients are those of one process (to 1e-12 in double precision), but a game blows up rounding errors.
    assert swappers[0][0] == pytest.approx(swappers[1][0], rel=1e-4)
    for two, one in zip(*swappers, strict=True):
        assert two == pytest.approx(one, rel=0.1, abs=0.01)
    for name, close in (("encoder", 1e-5), ("swapper", 1e-4)):
        two, one = (weights(tmp_path, work, name) for work in ("two", "one"))
        assert float((two - one).abs().mean()) < close
    assert not list((tmp_path / "two").rglob(".*.part"))


def test_a_batch_that_does_not_split_and_a_missing_accelerate_are_said(monkeypatch, tmp_path):
    monkeypatch.setattr(processes, "count", lambda: 3)
    with pytest.raises(OptionError, match="a batch of 4 does not split over 3 processes"):
        engine.fit(None, [], Schedule(epochs=1.0, batch=4), tmp_path, seed=1)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(MasqueradeError, match="accelerate"), processes.together():
        pass
