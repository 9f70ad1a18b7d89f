"""Reading images of every mode and from strangers; resizing against clean-fid, torch and Pillow."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from mmud.errors import MmudError
from mmud.evaluators.generation.images import list_images, resize_bilinear, resize_clean
from mmud.images import ImageLimits, decode_image, load_image


def encode(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, extra: bytes = b"") -> bytes:
    """A PNG written by hand, for what Pillow does not write."""
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )


@pytest.fixture
def colours():
    return np.random.default_rng(0).integers(0, 256, (23, 31, 3), dtype=np.uint8)


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("BMP", {}), ("WEBP", {"lossless": True})])
def test_lossless_formats_round_trip(colours, kind, options):
    assert np.array_equal(decode_image(encode(Image.fromarray(colours), kind, **options)), colours)


def test_jpeg_equals_pillow(colours):
    data = encode(Image.fromarray(colours), "JPEG", quality=80)
    assert np.array_equal(decode_image(data), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


def test_grey_bilevel_palette_and_cmyk(colours):
    grey = Image.fromarray(colours).convert("L")
    assert np.array_equal(decode_image(encode(grey)), np.repeat(np.asarray(grey)[:, :, None], 3, 2))
    bilevel = grey.convert("1")
    assert np.array_equal(decode_image(encode(bilevel))[:, :, 0], np.asarray(bilevel) * np.uint8(255))
    palette = Image.fromarray(colours).quantize(16)
    assert np.array_equal(decode_image(encode(palette)), np.asarray(palette.convert("RGB")))
    cmyk = encode(Image.fromarray(colours).convert("CMYK"), "JPEG")
    assert decode_image(cmyk).shape == colours.shape


def test_transparency_lands_on_white():
    """By the definition of alpha compositing: colour * alpha + 255 * (1 - alpha)."""
    layered = np.zeros((1, 3, 4), np.uint8)
    layered[0, :, :3] = (200, 0, 100)
    layered[0, :, 3] = (255, 128, 0)
    expected = layered[0, :, :3] * (layered[0, :, 3:] / 255) + 255 * (1 - layered[0, :, 3:] / 255)
    got = decode_image(encode(Image.fromarray(layered, "RGBA")))
    assert np.abs(got[0].astype(float) - expected).max() <= 1
    grey = Image.fromarray(layered[:, :, [0, 3]], "LA")
    assert np.abs(decode_image(encode(grey))[0, :, 0].astype(float) - [200, 227.4, 255]).max() <= 1


def test_transparent_colours_of_palette_and_rgb():
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putdata([0, 1])
    got = decode_image(encode(palette, transparency=1))
    assert got.tolist() == [[[10, 20, 30], [255, 255, 255]]]
    keyed = png(2, 1, 8, 2, b"\0" + bytes([10, 20, 30, 40, 50, 60]), chunk(b"tRNS", struct.pack(">HHH", 40, 50, 60)))
    assert decode_image(keyed).tolist() == [[[10, 20, 30], [255, 255, 255]]]


def test_sixteen_bits_are_scaled_not_cut():
    values = np.array([[0, 128, 129, 256, 32768, 65535]], dtype=np.uint16)
    got = decode_image(encode(Image.fromarray(values)))
    assert got[0, :, 0].tolist() == [round(value / 257) for value in (0, 128, 129, 256, 32768, 65535)]
    assert np.array_equal(got[:, :, 0], got[:, :, 2])


def test_sixteen_bit_grey_with_a_transparent_value():
    rows = b"\0" + struct.pack(">HH", 1000, 2000)
    got = decode_image(png(2, 1, 16, 0, rows, chunk(b"tRNS", struct.pack(">H", 2000))))
    assert got[0, :, 0].tolist() == [round(1000 / 257), 255]


def test_sixteen_bit_colour():
    rows = b"\0" + struct.pack(">HHH", 0, 32768, 65535)
    got = decode_image(png(1, 1, 16, 2, rows))
    assert np.abs(got[0, 0].astype(int) - [0, 128, 255]).max() <= 1


def test_orientation_is_left_alone_unless_asked_for(colours):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees clockwise
    data = encode(Image.fromarray(colours), exif=exif)
    assert np.array_equal(decode_image(data), colours)
    turned = decode_image(data, ImageLimits(exif_orientation=True))
    assert np.array_equal(turned, np.rot90(colours, -1))


def test_first_frame_of_an_animation(colours):
    frames = [Image.fromarray(colours), Image.fromarray(255 - colours)]
    data = encode(frames[0], save_all=True, append_images=frames[1:], default_image=False)
    assert np.array_equal(decode_image(data), colours)


REFUSED = {
    "empty": (b"", "MM502"),
    "text": (b"not an image", "MM502"),
    "a GIF": (encode(Image.new("P", (2, 2)), "GIF"), "MM502"),
    "a TIFF": (encode(Image.new("L", (2, 2)), "TIFF"), "MM502"),
    "EPS": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "MM502"),
    "no pixels": (png(0, 0, 8, 2, b""), "MM502"),
    "half a file": (encode(Image.effect_noise((64, 64), 90))[:900], "MM502"),
    "a wrong checksum": (encode(Image.new("L", (9, 9)))[:40] + bytes(60), "MM502"),
    "a bomb of one colour": (png(60000, 60000, 1, 0, b"\0" * 7501), "MM503"),
    "a bomb under Pillow's bound": (png(9000, 9000, 1, 0, b"\0" * 1126), "MM503"),
}


@pytest.mark.filterwarnings("error::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name):
    data, code = REFUSED[name]
    with pytest.raises(MmudError) as caught:
        decode_image(data)
    assert caught.value.code.id == code


def test_text_chunk_bomb_is_refused():
    """100 MB of text behind 100 kB."""
    body = b"comment\0\0" + zlib.compress(bytes(100 << 20))
    with pytest.raises(MmudError) as caught:
        decode_image(png(2, 2, 8, 0, b"\0\0\0" * 2, chunk(b"zTXt", body)))
    assert caught.value.code.id == "MM502"


def test_bounds_are_the_callers(tmp_path, colours):
    data = encode(Image.fromarray(colours))
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(MmudError, match="31x23 pixels; the bound is 700"):
        load_image(tmp_path / "a.png", ImageLimits(max_pixels=700))
    with pytest.raises(MmudError, match="bytes; the bound is 50") as caught:
        load_image(tmp_path / "a.png", ImageLimits(max_bytes=50))
    assert caught.value.where.file == str(tmp_path / "a.png")
    with pytest.raises(MmudError) as caught:
        decode_image(data, ImageLimits(max_bytes=50))
    assert caught.value.code.id == "MM503"
    with pytest.raises(MmudError) as caught:
        decode_image(data, ImageLimits(formats=("JPEG",)))
    assert caught.value.code.id == "MM502"


def test_files_that_are_none(tmp_path):
    with pytest.raises(MmudError) as caught:
        load_image(tmp_path / "none.png")
    assert caught.value.code.id == "MM002"
    with pytest.raises(MmudError) as caught:
        load_image(tmp_path)
    assert caught.value.code.id == "MM502"


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    kind=st.sampled_from(["PNG", "JPEG", "WEBP", "BMP"]),
    place=st.floats(0, 1, exclude_max=True),
    change=st.binary(min_size=1, max_size=6),
    keep=st.floats(0.2, 1),
)
def test_damaged_files_decode_or_are_refused(kind, place, change, keep):
    """Overwrite some bytes and cut the end off: an image of the right type comes out, or a code; never another error."""
    noise = np.random.default_rng(0).integers(0, 256, (16, 20, 3), dtype=np.uint8)
    data = bytearray(encode(Image.fromarray(noise), kind))
    start = int(place * len(data))
    data[start : start + len(change)] = change
    try:
        pixels = decode_image(bytes(data[: int(keep * len(data))]))
    except MmudError as error:
        assert error.code.id in ("MM502", "MM503")
    else:
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 3
        assert pixels.shape[2] == 3


SIZES = [(57, 83), (299, 299), (640, 480), (1, 1), (5, 700)]


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_clean_resize_equals_clean_fid(height, width):
    reference = pytest.importorskip(
        "cleanfid.resize", reason="clean-fid is not installed (pip install --no-deps clean-fid)"
    )
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    expected = reference.build_resizer("clean")(pixels)
    got = resize_clean(pixels)
    assert got.dtype == expected.dtype == np.float32
    assert np.array_equal(got, expected)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_clean_resize_equals_pillow_on_a_whole_channel(height, width):
    """The same without clean-fid: Pillow's bicubic on mode F, then cut to 0..255."""
    pixels = np.random.default_rng(2).integers(0, 256, (height, width, 3), dtype=np.uint8)
    got = resize_clean(pixels, (40, 30))
    assert got.shape == (30, 40, 3)
    for channel in range(3):
        image = Image.fromarray(pixels[:, :, channel].astype(np.float32)).resize((40, 30), Image.Resampling.BICUBIC)
        assert np.array_equal(got[:, :, channel], np.clip(np.asarray(image), 0, 255))


@pytest.mark.data
def test_clean_resize_of_a_real_image(shared_data):
    reference = pytest.importorskip(
        "cleanfid.resize", reason="clean-fid is not installed (pip install --no-deps clean-fid)"
    )
    path = list_images(shared_data / "mini_refcoco" / "images")[0]
    pixels = load_image(path)
    assert np.array_equal(resize_clean(pixels), reference.build_resizer("clean")(np.array(Image.open(path))))


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_bilinear_resize_equals_torch(height, width):
    torch = pytest.importorskip("torch")
    pixels = np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)
    tensor = torch.from_numpy(pixels.astype(np.float32).transpose(2, 0, 1))[None]
    expected = torch.nn.functional.interpolate(tensor, size=(299, 299), mode="bilinear", align_corners=False)
    got = resize_bilinear(pixels)
    assert got.dtype == np.float32
    # torch's own vector code may round a centre the other way on another processor: a hundredth of a grey level at most
    assert np.abs(got - expected[0].numpy().transpose(1, 2, 0)).max() < 1e-2


def test_list_of_images(tmp_path):
    for name in ("b.PNG", "a.jpg", "sub/c.webp", "notes.txt", ".hidden.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.relative_to(tmp_path).as_posix() for path in list_images(tmp_path)] == ["a.jpg", "b.PNG", "sub/c.webp"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(MmudError) as caught:
        list_images(tmp_path / "empty")
    assert caught.value.code.id == "MM870"
    with pytest.raises(MmudError) as caught:
        list_images(tmp_path / "none")
    assert caught.value.code.id == "MM002"
