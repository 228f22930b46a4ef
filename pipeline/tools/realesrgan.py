"""The backend `python`: a Real-ESRGAN installation of the operator's, run as a program of its own."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.engine.postprocess_config import MODELS, UpscalePython
from pipeline.providers.images import ImageUnreadable
from pipeline.tools.base import Pixels, ToolFailed
from pipeline.tools.pixels import decoded, encoded
from pipeline.tools.sizes import check_result

KEY = "upscale.python"
INPUT, SUFFIX, OUTPUT = "picture.png", "out", "picture_out.png"  # the script joins name and suffix by "_"
# The program is not ours: it gets neither our settings nor any key.
_OURS = ("KROMA_", "IAT_", "DJANGO_")
_SECRET_WORDS = ("KEY", "TOKEN", "SECRET", "PASSWORD", "DATABASE_URL")


@dataclass(frozen=True)
class RealEsrgan:
    """Relative paths of `settings` count from `app_root`; a run is killed after `limit` seconds."""

    settings: UpscalePython
    scale: int
    app_root: Path
    limit: int
    code: str = "python"

    @property
    def version(self) -> str:
        return self.settings.model_name

    def missing(self) -> str:
        if self.settings.model_name.lower() not in MODELS:
            return (
                f"'{KEY}.model_name' is '{self.settings.model_name}': known are {', '.join(MODELS.values())}"
            )
        if self._program() is None:
            return (
                f"The Python of Real-ESRGAN, {self._place(self.settings.python_bin)}, is not there: install "
                f"it, set '{KEY}.python_bin', or use the upscale backend 'ncnn' or 'pillow'"
            )
        if not self._script().is_file():
            return (
                f"The script of Real-ESRGAN, {self._script()}, is not there: install it, set "
                f"'{KEY}.inference_script', or use the upscale backend 'ncnn' or 'pillow'"
            )
        return ""

    def parameters(self) -> Mapping[str, object]:
        return {**asdict(self.settings), "scale": self.scale}

    def apply(self, pixels: Pixels) -> Pixels:
        """The enlarged picture, alpha by the script's own means."""
        program = self._program()
        problem = self.missing()
        if problem or program is None:
            raise ToolFailed(problem, code="tool_missing")
        check_result(pixels.shape[1] * self.scale, pixels.shape[0] * self.scale)
        with tempfile.TemporaryDirectory(prefix="kroma-upscale-") as scratch:
            folder = Path(scratch)
            (folder / INPUT).write_bytes(encoded(pixels, "png"))
            self._run(self.arguments(program, folder), folder)
            try:
                result = decoded((folder / OUTPUT).read_bytes(), name="The result of Real-ESRGAN")
            except FileNotFoundError:
                raise ToolFailed(
                    f"Real-ESRGAN ended without a result: {_last_line(folder)}", code="tool_failed"
                ) from None
            except ImageUnreadable as error:
                raise ToolFailed(str(error), code="tool_failed") from error
        expected = pixels.shape[0] * self.scale, pixels.shape[1] * self.scale
        if result.shape[:2] != expected:
            raise ToolFailed(
                f"Real-ESRGAN made {result.shape[1]}x{result.shape[0]} pixels instead of "
                f"{expected[1]}x{expected[0]}: check '{KEY}.inference_script'",
                code="tool_failed",
            )
        return result

    def arguments(self, program: str, folder: Path) -> list[str]:
        """The command for one picture that lies in `folder`."""
        settings = self.settings
        return [
            *(program, str(self._script()), "-i", str(folder / INPUT), "-o", str(folder)),
            *("-n", MODELS[settings.model_name.lower()], "-s", str(self.scale), "--suffix", SUFFIX),
            *("-t", str(settings.tile), "--tile_pad", str(settings.tile_pad)),
            *("--pre_pad", str(settings.pre_pad), "--ext", "png"),
            *(("--fp32",) if settings.fp32 else ()),
            *(() if settings.gpu_id is None else ("-g", str(settings.gpu_id))),
        ]

    def _run(self, command: list[str], folder: Path) -> None:
        """Run to the end within the limit; stopped with all that it started when it, or we, must end."""
        # Its words go into a file: a program that its own children outlive can't block us on a pipe, and
        # what it prints doesn't fill our memory.
        with _log(folder).open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=self._script().parent,  # where it looks for its weights
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                code = process.wait(self.limit)
            except subprocess.TimeoutExpired:
                raise ToolFailed(
                    f"Real-ESRGAN was stopped after {self.limit} s: set a larger "
                    "KROMA_COMMAND_TIMEOUT_SECONDS or a smaller picture",
                    code="tool_timeout",
                ) from None
            finally:
                if process.returncode is None:  # not waited for, so its group can't be anybody else's yet
                    with suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
        if code != 0:
            raise ToolFailed(f"Real-ESRGAN ended with code {code}: {_last_line(folder)}", code="tool_failed")

    def _program(self) -> str | None:
        """The interpreter; None when it is not there or can't be run."""
        said = self.settings.python_bin
        return shutil.which(self._place(said)) if said else None

    def _script(self) -> Path:
        return self.app_root / self.settings.inference_script

    def _place(self, program: str) -> str:
        """A path below the app root, or a name to look up on PATH."""
        is_path = "/" in program or program.startswith(".")
        return str(self.app_root / program) if is_path else program


def _log(folder: Path) -> Path:
    return folder / "words.txt"


def _last_line(folder: Path) -> str:
    """What the program said last, shortened."""
    lines = [
        line
        for line in _log(folder).read_bytes()[-4000:].decode(errors="replace").splitlines()
        if line.strip()
    ]
    return lines[-1].strip()[:200] if lines else "it said nothing"


def _environment() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_OURS) and not any(word in name.upper() for word in _SECRET_WORDS)
    }
