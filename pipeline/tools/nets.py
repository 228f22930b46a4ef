"""Neural nets in ONNX files: read once, kept while they are used, run on the processor."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from pipeline.tools import loaded

THREADS = 2  # of a net; each worker process has its own


def session(file: Path, prepare: Callable[[Path], bytes] | None = None) -> Any:
    """The net of a file, ready to run; another file of that name is loaded anew.

    `prepare` gives the bytes to load instead of the file's own. Raises `OSError`, and `faults()` for a file
    that is no net.
    """
    key = (file, file.stat().st_mtime_ns, prepare)
    return loaded.models.get(key, lambda: _read(file, prepare))


def faults() -> tuple[type[Exception], ...]:
    """What loading and running a net may raise: the runtime's exceptions have no base class of their own."""
    state = vars(import_module("onnxruntime.capi.onnxruntime_pybind11_state")).values()
    return tuple(kind for kind in state if isinstance(kind, type) and issubclass(kind, Exception))


def _read(file: Path, prepare: Callable[[Path], bytes] | None) -> Any:
    # Imported here: only a worker needs it, and every start of every other command would wait for it.
    runtime = import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # else thousands of lines about unused initializers
    options.enable_cpu_mem_arena = False  # would keep the peak of memory for the life of the process
    model = str(file) if prepare is None else prepare(file)
    return runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
