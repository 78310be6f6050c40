"""Written with label-studio-sdk 2.1.2, whose converter is the oracle."""

import io
from contextlib import redirect_stdout

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from label_studio_sdk.converter import brush
from numpy.typing import NDArray

from abn.edits import brush_rle
from abn.errors import AbnError

SIZES = "0010 0011 0111 1111"  # 3, 4, 8, 16
LEVELS = st.sampled_from([0, 1, 127, 128, 255])
MASKS = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=40), elements=LEVELS)


def packed(*fields: str) -> list[int]:
    """Give the bytes of a stream that is spelled out bit by bit."""
    bits = "".join(fields).replace(" ", "")
    bits += "0" * (-len(bits) % 8)
    return list(int(bits, 2).to_bytes(len(bits) // 8, "big"))


def header(count: int, word: str = "00111", sizes: str = SIZES) -> str:
    return f"{count:032b} {word} {sizes}"


def sdk_decoded(rle: list[int], height: int, width: int) -> NDArray[np.uint8]:
    with redirect_stdout(io.StringIO()):
        return brush.decode_rle(rle).reshape(height, width, 4)[:, :, 3]


def soft(side: int) -> NDArray[np.uint8]:
    y, x = np.mgrid[:side, :side] / side - 0.4
    return np.rint(255 * np.exp(-8 * (x**2 + y**2))).astype(np.uint8)


GOLDEN = [
    (np.zeros((4, 4)), packed(header(64), "1 10 00111111 00000000")),
    (np.full((1, 2), 255), packed(header(8), "1 00 111 11111111")),
    (np.array([[1], [2]]), packed(header(8), "1 00 011 00000001", "1 00 011 00000010")),
    (np.full((1, 4), 7), packed(header(16), "1 01 1111 00000111")),
    (np.zeros((128, 128)), packed(header(65536), "1 11", "1" * 16, "0" * 8)),
    (
        np.zeros((1, 16385)),
        packed(header(65540), "1 11", "1" * 16, "0" * 8, "1 00 011", "0" * 8),
    ),
]


@pytest.mark.parametrize(("mask", "rle"), GOLDEN)
def test_golden_bytes(mask: NDArray[np.float64], rle: list[int]) -> None:
    """Streams spelled out by hand are what is written, and read."""
    mask = mask.astype(np.uint8)
    assert brush_rle.encode(mask) == rle
    np.testing.assert_array_equal(brush_rle.decode(rle, *mask.shape), mask)


@given(MASKS)
def test_round_trip(mask: NDArray[np.uint8]) -> None:
    """What is encoded decodes to the same."""
    np.testing.assert_array_equal(brush_rle.decode(brush_rle.encode(mask), *mask.shape), mask)


@given(MASKS)
def test_the_sdk_reads_what_we_write(mask: NDArray[np.uint8]) -> None:
    """The SDK decodes our stream to the same mask."""
    np.testing.assert_array_equal(sdk_decoded(brush_rle.encode(mask), *mask.shape), mask)


@given(MASKS)
def test_we_read_what_the_sdk_writes(mask: NDArray[np.uint8]) -> None:
    """We decode the SDK's stream to the same mask, its additional byte of padding included."""
    rle = brush.mask2rle(mask)
    np.testing.assert_array_equal(brush_rle.decode(rle, *mask.shape), mask)


@pytest.mark.parametrize("mask", [soft(512), soft(528), (soft(512) > 99).astype(np.uint8) * 255])
def test_whole_canvases(mask: NDArray[np.uint8]) -> None:
    """Canvases of the real size, soft and hard, go both ways as with the SDK."""
    rle = brush_rle.encode(mask)
    np.testing.assert_array_equal(sdk_decoded(rle, *mask.shape), mask)
    np.testing.assert_array_equal(brush_rle.decode(rle, *mask.shape), mask)


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[int], int]:
    """Draw a stream of runs and literals, cut anywhere, and the number of its pixels."""
    values = draw(st.lists(LEVELS, min_size=1, max_size=30))
    channels = [value for value in values for _ in range(4)]
    fields, at = [header(len(channels))], 0
    while at < len(channels):
        length = draw(st.integers(1, min(20, len(channels) - at)))
        part, at = channels[at : at + length], at + length
        kind = draw(
            st.sampled_from([n for n, size in enumerate((3, 4, 8, 16)) if length <= 2**size])
        )
        run = len(set(part)) == 1 and draw(st.booleans())
        bits = (3, 4, 8, 16)[kind]
        fields.append(f"{int(run)}{kind:02b}{length - 1:0{bits}b}")
        fields += [f"{value:08b}" for value in (part[:1] if run else part)]
    return packed(*fields), len(values)


@given(streams())
def test_runs_and_literals_of_every_size(stream: tuple[list[int], int]) -> None:
    """Whatever an encoder chose to write, runs or literals, is read as the SDK reads it."""
    rle, pixels = stream
    np.testing.assert_array_equal(brush_rle.decode(rle, 1, pixels), sdk_decoded(rle, 1, pixels))


@given(body=st.binary(max_size=60), with_header=st.booleans())
def test_any_bytes_decode_or_raise(body: bytes, *, with_header: bool) -> None:
    """Any bytes raise the one error or decode as with the SDK, with or without a true header."""
    rle = packed(header(4 * 6)) * with_header + list(body)
    try:
        mask = brush_rle.decode(rle, 2, 3)
    except AbnError:
        return
    np.testing.assert_array_equal(mask, sdk_decoded(rle, 2, 3))


@given(st.data())
def test_damaged_streams_decode_or_raise(data: st.DataObject) -> None:
    """A stream with changed, lost or added bytes raises the error or decodes as with the SDK."""
    rle = brush_rle.encode(soft(16))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(rle)))
        rle[at : at + data.draw(st.integers(0, 2))] = data.draw(
            st.lists(st.integers(0, 255), max_size=2)
        )
    try:
        mask = brush_rle.decode(rle, 16, 16)
    except AbnError:
        return
    np.testing.assert_array_equal(mask, sdk_decoded(rle, 16, 16))


GOOD = brush_rle.encode(np.array([[9, 9], [9, 200]], np.uint8))


@pytest.mark.parametrize(
    ("rle", "message"),
    [
        (None, "is a NoneType, not a list of bytes"),
        ("abc", "is a str, not a list of bytes"),
        (16, "is a int, not a list of bytes"),
        ([], "is truncated: 0 bytes"),
        (GOOD[:6], "is truncated: 6 bytes"),
        (GOOD[:7], "holds 0 values where its header says 16"),
        (GOOD[:-1], "holds 12 values where its header says 16"),
        (packed(header(16), "0 00 111", "0" * 16), "is truncated: it ends within a run"),
        ([*GOOD, 0, 0], "holds 17 values where its header says 16"),
        ([*packed(header(16), "1 01 1111 00000111"), 0], "goes on after its last run"),
        ([*GOOD[:-1], GOOD[-1] | 1], "goes on after its last run"),
        ([*GOOD[:9], 1.5], "something else than integers from 0 to 255"),
        ([*GOOD[:9], "7"], "something else than integers from 0 to 255"),
        ([*GOOD[:9], 256], "something else than integers from 0 to 255"),
        ([*GOOD[:9], -1], "something else than integers from 0 to 255"),
        ([*GOOD[:9], 10**30], "something else than integers from 0 to 255"),
        (brush_rle.encode(np.zeros((9, 9), np.uint8)), "size: 324 values where the canvas has 16"),
        (packed(header(2**32 - 1), "1 11", "1" * 24), "of another size: 4294967295 values"),
        (packed(header(16, word="01111"), "1 01 1111 00000111"), "other word and run sizes"),
        (packed(header(16, sizes="0000 0001 0010 0011")), "other word and run sizes"),
        (packed(header(16), "1 11", "1" * 16, "0" * 8), "holds 65536 values where its header"),
        (packed(header(16), "1 00 000 00000111", "1 01 1110 00000000"), "colour channels differ"),
    ],
)  # fmt: skip
def test_what_is_no_stream_of_the_canvas(rle: object, message: str) -> None:
    """Whatever is no stream of the canvas's size is refused, and the error says why."""
    with pytest.raises(AbnError, match=message):
        brush_rle.decode(rle, 2, 2)
