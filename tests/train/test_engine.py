import json
import os
import signal
import subprocess
import sys
import time

import pytest

torch = pytest.importorskip("torch")

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: E402

from masquerade.errors import MasqueradeError  # noqa: E402
from masquerade.train import engine  # noqa: E402
from masquerade.train.recipe import Schedule  # noqa: E402

RUN = """
import sys, time
from pathlib import Path
import torch
from torch.utils.data import Dataset
from masquerade.train import engine
from masquerade.train.recipe import Schedule

class Batches(Dataset):
    def __len__(self):
        return 60
    def __getitem__(self, step):
        return torch.randn(8, 4, generator=torch.Generator().manual_seed(step))

class Training:
    averaged = ("net",)
    def __init__(self):
        torch.manual_seed(0)
        nn = torch.nn
        net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 1))
        self.modules = {"net": net}
        self.optimizers = {"adamw": torch.optim.AdamW(net.parameters(), lr=0.05)}
    def step(self, batch):
        time.sleep(PAUSE)
        loss = (self.modules["net"](batch)[:, 0] - batch.sum(1)).square().mean()
        self.optimizers["adamw"].zero_grad()
        loss.backward()
        self.optimizers["adamw"].step()
        return {"loss": loss.detach()}
    def validate(self, averages):
        net = averages["net"].eval()
        return {"error": float(net(torch.ones(1, 4)).detach())}

schedule = Schedule(epochs=1.0, batch=8, warmup=5, log_every=1, validate_every=20, save_minutes=0.0)
engine.fit(Training(), Batches(), schedule, Path(sys.argv[1]), seed=5, workers=0)
"""


def lines(folder):
    text = (folder / engine.LOG).read_text() if (folder / engine.LOG).exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def curve(folder):
    return [{name: value for name, value in line.items() if name != "time"} for line in lines(folder)]


def start(folder, pause):
    return subprocess.Popen([sys.executable, "-c", RUN.replace("PAUSE", str(pause)), str(folder)])


def test_a_run_killed_twice_writes_the_curve_of_one_that_was_not(tmp_path):
    whole = start(tmp_path / "whole", 0)
    for steps in (10, 30):
        killed = start(tmp_path / "killed", 0.05)
        deadline = time.monotonic() + 300
        while len(lines(tmp_path / "killed")) < steps and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait()
        assert steps <= len(lines(tmp_path / "killed")) < 60
    assert start(tmp_path / "killed", 0).wait() == 0
    assert whole.wait() == 0
    assert len(curve(tmp_path / "whole")) == 60
    assert curve(tmp_path / "killed") == curve(tmp_path / "whole")
    assert curve(tmp_path / "whole")[-1]["loss"] < curve(tmp_path / "whole")[0]["loss"]
    ours, theirs = (torch.load(tmp_path / name / engine.CHECKPOINT) for name in ("killed", "whole"))
    assert all(torch.equal(ours["averages"]["net"][k], v) for k, v in theirs["averages"]["net"].items())
    assert not list((tmp_path / "killed").glob(".*.part"))
    board = EventAccumulator(str(tmp_path / "killed")).Reload()
    seen = {event.step: event.value for event in board.Scalars("loss")}
    assert seen == pytest.approx({line["step"]: line["loss"] for line in curve(tmp_path / "whole")}, rel=1e-5)


def test_the_rate_rises_stays_and_falls():
    schedule = Schedule(epochs=1.0, batch=1, warmup=10, fall=0.25)
    rates = [engine.rate(step, 100, schedule) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:76] == [1.0] * 67
    assert rates[99] == pytest.approx(0.04)
    assert rates == sorted(rates[:50]) + sorted(rates[50:], reverse=True)


def test_gradients_of_several_steps_move_weights_as_one_large_batch_does(tmp_path):
    class Plain:
        averaged = ()

        def __init__(self):
            torch.manual_seed(0)
            self.modules = {"net": torch.nn.Linear(4, 1)}
            self.optimizers = {"adam": torch.optim.Adam(self.modules["net"].parameters(), lr=0.1)}

        def step(self, batch):
            loss = (self.modules["net"](batch)[:, 0] - batch.sum(1)).square().mean()
            self.optimizers["adam"].zero_grad()
            loss.backward()
            self.optimizers["adam"].step()
            return {"loss": loss.detach()}

        def validate(self, averages):
            return {}

    faces = torch.randn(12, 4, 4, generator=torch.Generator().manual_seed(1))
    found = []
    for name, count, batches in (("small", 3, faces), ("large", 1, faces.reshape(4, 12, 4))):
        training = Plain()
        schedule = Schedule(epochs=1.0, batch=4, accumulate=count, warmup=0, fall=0.0, save_minutes=0.0)
        engine.fit(training, batches, schedule, tmp_path / name, seed=1, workers=0)
        found.append(training.modules["net"].weight.detach())
    assert torch.allclose(*found, atol=1e-5)
    assert not torch.allclose(found[0], Plain().modules["net"].weight, atol=0.1)


def test_a_loss_that_is_no_number_stops_the_run_and_is_never_saved(tmp_path):
    class Astray:
        averaged = ()

        def __init__(self):
            self.modules = {"net": torch.nn.Linear(1, 1)}
            self.optimizers = {"sgd": torch.optim.SGD(self.modules["net"].parameters(), lr=0.1)}

        def step(self, batch):
            loss = self.modules["net"](batch * (float("nan") if batch > 3 else 1.0)).sum()
            self.optimizers["sgd"].zero_grad()
            loss.backward()
            self.optimizers["sgd"].step()
            return {"loss": loss.detach()}

        def validate(self, averages):
            return {}

    schedule = Schedule(epochs=1.0, batch=1, log_every=100, save_minutes=0.0)
    with pytest.raises(MasqueradeError, match="nan"):
        engine.fit(Astray(), torch.arange(1.0, 9.0)[:, None], schedule, tmp_path, seed=1, workers=0)
    state = torch.load(tmp_path / engine.CHECKPOINT, weights_only=True)
    assert state["step"] == 3
    assert torch.isfinite(state["modules"]["net"]["weight"]).all()


def test_precision_is_float32_or_what_the_hardware_multiplies():
    assert engine.precision_of_choice(torch.device("cuda")) is torch.bfloat16
    assert engine.precision_of_choice(torch.device("cpu")) in (torch.float32, torch.bfloat16)
