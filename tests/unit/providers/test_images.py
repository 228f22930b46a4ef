import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.providers.images import (
    MAX_IMAGE_PIXELS,
    ImageInfo,
    ImageUnreadable,
    encode_png,
    probe_image,
    read_image,
    thumbnail_webp,
)
from tests.unit.providers import drawings


def pixel(image: Image.Image, x: int = 0, y: int = 0) -> tuple[int, ...]:
    return tuple(np.asarray(image)[y, x].tolist())


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_header_claiming(width: int, height: int) -> bytes:
    """A PNG that names its size and holds almost no data: what a decompression bomb starts with."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 100))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("kind", "mime_type", "extension"),
    [
        ("JPEG", "image/jpeg", "jpg"),
        ("PNG", "image/png", "png"),
        ("WEBP", "image/webp", "webp"),
        ("BMP", "image/bmp", "bmp"),
        ("TIFF", "image/tiff", "tif"),
    ],
)
def test_probe_names_the_format_from_the_bytes(kind: str, mime_type: str, extension: str) -> None:
    data = encoded(drawings.flat().resize((32, 24)), kind)
    assert probe_image(data) == ImageInfo(kind, mime_type, extension, 32, 24, has_alpha=False)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_probe_sees_alpha(mode: str) -> None:
    assert probe_image(encoded(Image.new(mode, (4, 4)), "PNG")).has_alpha


def test_probe_ignores_the_name_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "panel.png"
    path.write_bytes(encoded(drawings.flat().resize((32, 24)), "JPEG"))
    assert probe_image(path).format == "JPEG"


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "a.png is empty: upload or export it again"),
        (b"hello there", "a.png is not an image: choose a JPEG, PNG, WebP, BMP or TIFF file"),
        (
            encoded(Image.new("P", (4, 4)), "GIF"),
            "a.png is in an unsupported format (GIF): save it as JPEG, PNG, WebP, BMP or TIFF",
        ),
        (
            b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>',
            "a.png is in an unsupported format (SVG): save it as JPEG, PNG, WebP, BMP or TIFF",
        ),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "a.png is in an unsupported format (PostScript): save it as"),
        (b"\x89PNG\r\n\x1a\n", "a.png is damaged or was cut short: export or upload it again"),
    ],
)
@pytest.mark.parametrize("call", [read_image, probe_image])
def test_errors_are_one_sentence_that_names_the_file(
    tmp_path: Path, call: Callable[[Path], object], data: bytes, sentence: str
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(data)
    with pytest.raises(ImageUnreadable) as caught:
        call(path)
    assert str(caught.value).startswith(sentence)
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
def test_a_file_cut_short_is_refused(tmp_path: Path, kind: str) -> None:
    data = encoded(drawings.street(), kind)
    path = tmp_path / "short.png"
    path.write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(ImageUnreadable, match=r"^short\.png is damaged or was cut short"):
        read_image(path)


def test_too_many_bytes_gives_both_figures(tmp_path: Path) -> None:
    path = tmp_path / "big.bin"
    path.write_bytes(b"\0" * 3_000_000)
    with pytest.raises(ImageUnreadable, match=r"^big\.bin has 2\.9 MiB and the limit is 1\.0 MiB"):
        read_image(path, max_bytes=1024 * 1024)


def test_too_many_pixels_gives_both_figures() -> None:
    with pytest.raises(ImageUnreadable, match=r"^wide has 1,200 pixels and the limit is 1,000"):
        read_image(encoded(Image.new("L", (40, 30)), "PNG"), name="wide", max_pixels=1000)


@pytest.mark.parametrize("side", [7100, 9_500, 13_000, 20_000])
@pytest.mark.parametrize("call", [read_image, probe_image])
def test_a_decompression_bomb_is_refused_by_its_header(call: Callable[..., object], side: int) -> None:
    # Above Pillow's own limits (9,460 and 13,378 squared) it warns and fails; we say the same each time.
    with pytest.raises(ImageUnreadable) as caught:
        call(png_header_claiming(side, side), name="bomb.png")
    assert f"{side * side:,} pixels and the limit is {MAX_IMAGE_PIXELS:,}" in str(caught.value)


def test_a_missing_file_stays_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / "gone.png")


def test_a_folder_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(ImageUnreadable, match="cannot be opened"):
        read_image(tmp_path)


def test_orientation_is_applied_also_when_reduced() -> None:
    wide = Image.new("RGB", (400, 200), "white")
    wide.paste((200, 0, 0), (0, 0, 200, 200))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned 90 degrees clockwise: what is left comes on top
    data = encoded(wide, "JPEG", exif=exif)
    for image in (read_image(data), read_image(data, longest_side=100)):
        assert image.height == 2 * image.width
        assert pixel(image, image.width // 2, image.height // 8)[2] < 60


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_orientation_survives_a_change_of_mode(kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(Image.new("RGBA", (40, 20), (9, 9, 9, 255)), kind, exif=exif)
    assert read_image(data).size == (20, 40)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_reading_reduces_and_never_enlarges(kind: str) -> None:
    data = encoded(drawings.street(), kind)
    assert read_image(data, longest_side=160).size == (120, 160)
    assert read_image(data, longest_side=1000).size == (240, 320)


def test_a_large_jpeg_is_decoded_small(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[tuple[int, int]] = []
    load = Image.Image.load

    def spy(self: Image.Image) -> object:
        decoded.append(self.size)
        return load(self)

    data = encoded(Image.new("RGB", (4000, 3000), "teal"), "JPEG")
    monkeypatch.setattr(Image.Image, "load", spy)
    assert read_image(data, longest_side=400).size == (400, 300)
    assert max(decoded) < (2001, 1501)


def test_alpha_is_laid_on_white_or_kept() -> None:
    data = encoded(Image.new("RGBA", (4, 4), (0, 0, 0, 0)), "PNG")
    assert pixel(read_image(data)) == (255, 255, 255)
    assert pixel(read_image(data, background=(10, 20, 30))) == (10, 20, 30)
    assert read_image(data, background=None).mode == "RGBA"


def test_palette_with_transparency_and_two_level_images() -> None:
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 200, 10, 10])
    assert pixel(read_image(encoded(palette, "PNG"))) == (200, 10, 10)
    assert pixel(read_image(encoded(palette, "PNG", transparency=1))) == (255, 255, 255)
    assert read_image(encoded(Image.new("1", (4, 4), 1), "PNG")).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_keep_their_tone(kind: str) -> None:
    grey = Image.fromarray(np.full((4, 4), 32768, np.uint16))
    assert pixel(read_image(encoded(grey, kind))) == (128, 128, 128)


def test_float_tiff_is_read_from_zero_to_one() -> None:
    grey = Image.fromarray(np.array([[0.0, 0.5], [1.0, 0.5]], np.float32))
    assert pixel(read_image(encoded(grey, "TIFF")), 1, 0) == (128, 128, 128)


def test_cmyk_becomes_rgb() -> None:
    image = read_image(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=95))
    red, green, blue = pixel(image, 4, 4)
    assert red > 240
    assert max(green, blue) < 15


def test_grey_with_alpha_is_flattened() -> None:
    assert read_image(encoded(Image.new("LA", (4, 4), (0, 0)), "PNG")).getpixel((0, 0)) == (255, 255, 255)


def test_png_is_exact() -> None:
    image = drawings.street()
    assert np.array_equal(drawings.levels(read_image(encode_png(image))), drawings.levels(image))


def test_thumbnail_keeps_shape_and_transparency_and_its_source() -> None:
    image = Image.new("RGBA", (900, 300), (10, 20, 30, 0))
    small = probe_image(thumbnail_webp(image))
    assert (small.format, small.width, small.height, small.has_alpha) == ("WEBP", 512, 171, True)
    assert image.size == (900, 300)
    tiny = probe_image(thumbnail_webp(Image.new("L", (40, 30)), longest_side=64))
    assert (tiny.width, tiny.height) == (40, 30)


SAMPLES = [encoded(drawings.flat().resize((24, 20)), kind) for kind in ("JPEG", "PNG", "WEBP", "BMP", "TIFF")]


@settings(deadline=None, max_examples=150)
@given(sample=st.sampled_from(SAMPLES), place=st.floats(0, 1, exclude_max=True), junk=st.binary(max_size=12))
@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow warns of odd metadata and reads on
def test_damage_is_read_or_refused_but_never_crashes(sample: bytes, place: float, junk: bytes) -> None:
    at = int(place * len(sample))
    data = sample[:at] + junk + sample[at + len(junk) :]
    for call in (read_image, probe_image):
        with suppress(ImageUnreadable):
            call(data, max_pixels=1_000_000)
