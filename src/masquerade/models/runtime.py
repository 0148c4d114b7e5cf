"""The engines that run a network, behind one small session.

OpenVINO serves CPUs; ONNX Runtime serves graphics processors (CUDA, TensorRT, CoreML, DirectML) and is the other
choice on CPUs. What is asked for is what runs: an engine that would quietly do something else (another device, another
precision) is an error here.
"""

import importlib.util
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from masquerade.errors import EngineError, WeightsError
from masquerade.models.cards import WeightCard

if TYPE_CHECKING:
    import onnxruntime as ort
    import openvino as ov

Engine: TypeAlias = Literal["auto", "openvino", "onnxruntime"]
Precision: TypeAlias = Literal["float32", "bfloat16"]
Shapes: TypeAlias = Mapping[str, Sequence[int]]
"""Input name to its new dimensions, -1 for one that may vary from call to call."""

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
}
"""Our names of execution providers, and ONNX Runtime's."""

_PACKAGES = {"cuda": "onnxruntime-gpu", "tensorrt": "onnxruntime-gpu", "directml": "onnxruntime-directml"}
_OPTIONS = {
    # By default CUDA rounds float32 to 10 bits of mantissa (TF32); float32 is to mean float32.
    "cuda": {"use_tf32": "0"},
}


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of a network; -1 in `shape` where the size may vary."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class Session(ABC):
    """A network ready to run. Several threads may call `run` at once; the interpreter lock is free while it works.

    Attributes:
        engine: `openvino` or `onnxruntime`, the one that really runs.
        provider: `cpu`, `cuda`, `tensorrt`, `coreml` or `directml`, as the engine itself reports it.
        precision: `float32` or `bfloat16`, as the engine itself reports it.
        inputs: what to feed, in the network's order.
        outputs: what comes back, in the network's order.
    """

    engine: str
    provider: str
    precision: Precision
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run the network once.

        Args:
            feeds: one array for each input, by name; converted to the input's own type.

        Returns:
            One array for each output, by name; they belong to the caller.

        Raises:
            ValueError: an input is missing or unknown.
            EngineError: the engine failed, for instance because a shape does not fit.
        """
        if feeds.keys() != {port.name for port in self.inputs}:
            raise ValueError(f"the network takes {[port.name for port in self.inputs]}, not {list(feeds)}")
        # Writeable and contiguous, because that is what the engines read without copying.
        arrays = [np.require(feeds[port.name], port.dtype, ["C", "W"]) for port in self.inputs]
        try:
            results = self._run(arrays)
        except Exception as error:  # ONNX Runtime's errors have no base of their own
            given = ", ".join(f"{port.name} {array.shape}" for port, array in zip(self.inputs, arrays, strict=True))
            raise EngineError(f"{self.engine} failed on {given}: {_first_line(error)}") from error
        return {port.name: result for port, result in zip(self.outputs, results, strict=True)}

    @abstractmethod
    def _run(self, arrays: list[NDArray[Any]]) -> list[NDArray[Any]]: ...


def open_session(
    model: Path | bytes,
    *,
    engine: Engine = "auto",
    provider: str | None = None,
    precision: Precision = "float32",
    threads: int = 0,
    shapes: Shapes | None = None,
) -> Session:
    """Make a network ready to run.

    Args:
        model: an ONNX file or its bytes (OpenVINO also takes its own `.xml`).
        engine: `auto` is OpenVINO for the CPU where it is installed, ONNX Runtime otherwise.
        provider: `cpu` (also what None means), `cuda`, `tensorrt`, `coreml` or `directml`.
        precision: what the network computes in. `precision_for` says what a card's weights allow.
        threads: processor threads; 0 for all cores.
        shapes: new dimensions for inputs, for a graph that was exported with fixed ones; -1 for any.

    Raises:
        EngineError: what was asked for is not what would run.
        WeightsError: the file is missing or is not a network.
    """
    wanted = "cpu" if provider is None else provider
    if wanted not in PROVIDERS:
        raise EngineError(f"there is no execution provider {wanted!r}", hint=f"There is {', '.join(PROVIDERS)}.")
    if isinstance(model, Path) and not model.is_file():
        raise WeightsError("there is no such file", path=model)
    if engine == "auto":
        engine = "openvino" if wanted == "cpu" and _has_openvino() else "onnxruntime"
    if engine == "openvino":
        if wanted != "cpu":
            raise EngineError(f"openvino runs on the CPU here, not on {wanted}", hint="Use the engine onnxruntime.")
        return _OpenVINO(model, precision, threads, shapes or {})
    return _OnnxRuntime(model, wanted, precision, threads, shapes or {})


class _OpenVINO(Session):
    def __init__(self, model: Path | bytes, precision: Precision, threads: int, shapes: Shapes) -> None:
        core, openvino = _openvino_core(), import_openvino()
        kind = {"float32": openvino.Type.f32, "bfloat16": openvino.Type.bf16}[precision]
        settings: dict[str, Any] = {
            # Left alone it takes bfloat16 wherever the processor has it.
            "INFERENCE_PRECISION_HINT": kind,
            # And where it has VNNI, bytes for what goes into a matrix whose weights are stored as bytes.
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,
            # All threads on one picture. THROUGHPUT is no faster with two callers and half as fast with one.
            "PERFORMANCE_HINT": "LATENCY",
            # Pinned, two processes with a thread each sit on the same core, each at half speed.
            "ENABLE_CPU_PINNING": False,
            "INFERENCE_NUM_THREADS": threads,
        }
        try:
            graph = core.read_model(model)
        except RuntimeError as error:
            # What it says is about whichever of its readers it asked last.
            raise _not_a_network(model) from error
        try:
            if shapes:
                graph.reshape({name: openvino.PartialShape(list(shape)) for name, shape in shapes.items()})
            self._compiled = core.compile_model(graph, "CPU", settings)
        except RuntimeError as error:
            raise EngineError(
                f"openvino cannot prepare this network: {_first_line(error)}", path=_path(model)
            ) from error
        devices = list(self._compiled.get_property("EXECUTION_DEVICES"))
        if devices != ["CPU"]:
            raise EngineError(f"openvino would run on {devices} instead of the CPU", path=_path(model))
        if self._compiled.get_property("INFERENCE_PRECISION_HINT") != kind:
            raise EngineError(f"this processor has no {precision}", hint="Use the precision float32.")
        self.engine, self.provider, self.precision = "openvino", "cpu", precision
        self.inputs = tuple(_openvino_port(port) for port in graph.inputs)
        self.outputs = tuple(_openvino_port(port) for port in graph.outputs)
        self._tensor = openvino.Tensor
        self._idle: list[ov.InferRequest] = []

    def _run(self, arrays: list[NDArray[Any]]) -> list[NDArray[Any]]:
        # A request serves one caller at a time; there are as many as there were callers at once.
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        for index, array in enumerate(arrays):
            request.set_input_tensor(index, self._tensor(array, shared_memory=True))
        request.infer()
        results = [request.get_output_tensor(index).data.copy() for index in range(len(self.outputs))]
        self._idle.append(request)
        return results


class _OnnxRuntime(Session):
    def __init__(self, model: Path | bytes, provider: str, precision: Precision, threads: int, shapes: Shapes) -> None:
        try:
            import onnxruntime as ort  # noqa: PLC0415 - heavy, and an extra
        except ImportError as error:
            package = _PACKAGES.get(provider, "onnxruntime")
            raise EngineError(f"{package} is not installed", hint=f"Run 'pip install {package}'.") from error
        if precision != "float32":
            raise EngineError(f"onnxruntime has no {precision} here", hint="Use float32, or the engine openvino.")
        if PROVIDERS[provider] not in ort.get_available_providers():
            raise EngineError(
                f"the onnxruntime installed here has no {provider}",
                hint=f"Run 'pip uninstall onnxruntime' and 'pip install {_PACKAGES.get(provider, 'onnxruntime')}', "
                "or use the provider cpu.",
            )
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        # TensorRT hands what it cannot run to CUDA, as every provider hands it to the CPU.
        names = ["tensorrt", "cuda"] if provider == "tensorrt" else [provider]
        source = _reshaped(model, shapes) if shapes else str(model) if isinstance(model, Path) else model
        try:
            self._session = ort.InferenceSession(
                source, options, providers=[(PROVIDERS[name], _OPTIONS.get(name, {})) for name in names]
            )
        except Exception as error:  # its errors have no base of their own
            raise _not_a_network(model, _first_line(error)) from error
        active = self._session.get_providers()[0]
        if active != PROVIDERS[provider]:
            raise EngineError(
                f"onnxruntime would run on {active} instead of {PROVIDERS[provider]}",
                hint=f"Look at the driver and libraries that {provider} needs, or use the provider cpu.",
            )
        self.engine, self.provider, self.precision = "onnxruntime", provider, "float32"
        self.inputs = tuple(_onnx_port(port) for port in self._session.get_inputs())
        self.outputs = tuple(_onnx_port(port) for port in self._session.get_outputs())

    def _run(self, arrays: list[NDArray[Any]]) -> list[NDArray[Any]]:
        feeds = {port.name: array for port, array in zip(self.inputs, arrays, strict=True)}
        return list(self._session.run(None, feeds))


@dataclass(frozen=True, slots=True)
class Parity:
    """How far two runs of a network are apart, in the worst of its outputs."""

    max_abs: float
    """The largest difference of two numbers."""
    cosine: float
    """Of the outputs as vectors; 1 is alike."""


def compare(reference: Mapping[str, NDArray[Any]], other: Mapping[str, NDArray[Any]]) -> Parity:
    """How far `other` is from `reference`, output by output; the worst counts."""
    gaps, cosines = [], []
    for name, one in reference.items():
        a, b = one.astype(np.float64).ravel(), other[name].astype(np.float64).ravel()
        gaps.append(float(np.abs(a - b).max()))
        lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
        cosines.append(float(a @ b) / lengths if lengths else float(np.array_equal(a, b)))
    return Parity(max(gaps), min(cosines))


def check_precision(model: Path | bytes, feeds: Mapping[str, NDArray[Any]], *, shapes: Shapes | None = None) -> Parity:
    """What bfloat16 changes in this network's outputs on these feeds; a card's `bfloat16` rests on it.

    Raises:
        EngineError: this processor has no bfloat16.
    """
    precise = open_session(model, engine="openvino", shapes=shapes).run(feeds)
    rounded = open_session(model, engine="openvino", precision="bfloat16", shapes=shapes).run(feeds)
    return compare(precise, rounded)


def precision_for(card: WeightCard) -> Precision:
    """bfloat16 where the card allows it and the processor has it, else float32."""
    return "bfloat16" if card.bfloat16 and _has_openvino() and has_bfloat16() else "float32"


@cache
def has_bfloat16() -> bool:
    """Whether this processor computes in bfloat16 natively, as OpenVINO sees it."""
    return "BF16" in _openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def cpu_flags() -> list[str] | None:
    """Which instruction sets that matter for networks the processor has; None where the system does not tell."""
    told = Path("/proc/cpuinfo")
    if not told.is_file():
        return None
    flags = set(told.read_text(errors="replace").split())
    return [
        name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_int8", "asimd", "bf16") if name in flags
    ]


def _has_openvino() -> bool:
    return importlib.util.find_spec("openvino") is not None


def import_openvino() -> ModuleType:
    """OpenVINO, kept from calling home.

    Importing it reports the import to a web analytics service unless its user has objected; whoever anonymizes faces
    expects no such thing. It goes on without a word where the package that reports is missing, so here it is missing.

    Raises:
        EngineError: it is not installed.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # Python's way to forbid an import
    try:
        import openvino  # noqa: PLC0415 - heavy, and not everyone's engine
    except ImportError as error:
        raise EngineError("openvino is not installed", hint="Run 'pip install openvino'.") from error
    return openvino  # type: ignore[no-any-return]


@cache
def _openvino_core() -> "ov.Core":
    return import_openvino().Core()


def _openvino_port(port: "ov.Output") -> Port:
    # A tensor may have many names; the one in the ONNX file is the stem of its result's name.
    stem = str(port.node.friendly_name).removesuffix("/sink_port_0")
    shape = tuple(dim.get_length() if dim.is_static else -1 for dim in port.partial_shape)
    return Port(stem if stem in port.names else port.any_name, shape, port.element_type.to_dtype())


def _onnx_port(port: "ort.NodeArg") -> Port:
    kind = str(port.type).removeprefix("tensor(").removesuffix(")")
    dtype = np.dtype({"float": "float32", "double": "float64"}.get(kind, kind))
    return Port(port.name, tuple(dim if isinstance(dim, int) else -1 for dim in port.shape), dtype)


def _reshaped(model: Path | bytes, shapes: Shapes) -> bytes:
    """The ONNX file with other input dimensions; what it said of sizes further on is dropped, to be inferred anew."""
    try:
        import onnx  # noqa: PLC0415 - heavy, and an extra
    except ImportError as error:
        raise EngineError(
            "changing a network's shape for onnxruntime needs onnx", hint="Run 'pip install onnx'."
        ) from error
    try:
        proto = onnx.load(model) if isinstance(model, Path) else onnx.load_model_from_string(model)
    except Exception as error:  # protobuf's error is not onnx's
        raise _not_a_network(model, _first_line(error)) from error
    constants = {tensor.name for tensor in proto.graph.initializer}
    inputs = {port.name: port.type.tensor_type.shape for port in proto.graph.input if port.name not in constants}
    for name, shape in shapes.items():
        if name not in inputs:
            raise EngineError(
                f"the network has no input {name!r}", path=_path(model), hint=f"It has {', '.join(inputs)}."
            )
        del inputs[name].dim[:]
        for axis, size in enumerate(shape):
            dim = inputs[name].dim.add()
            if size < 0:
                dim.dim_param = f"{name}_{axis}"
            else:
                dim.dim_value = size
    for port in proto.graph.output:
        port.type.tensor_type.ClearField("shape")
    del proto.graph.value_info[:]
    return bytes(proto.SerializeToString())


def _not_a_network(model: Path | bytes, why: str = "") -> WeightsError:
    return WeightsError(f"this is not a network the engine can read{why and f' ({why})'}", path=_path(model))


def _path(model: Path | bytes) -> Path | None:
    return model if isinstance(model, Path) else None


def _first_line(error: Exception) -> str:
    """The first line that says something to people; OpenVINO begins with places in its source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(("Exception from", "Check '"))]
    return (told or lines or [type(error).__name__])[0][:200]
