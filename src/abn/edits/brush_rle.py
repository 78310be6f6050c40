"""Label Studio's brush RLE: row-major RGBA with R=G=B=A as a bit stream, in numpy.

The stream is a header (32 bits: how many values; 5: word size - 1; 4×4: run sizes - 1) and then
tokens: 1 bit (1 run, 0 literal), 2 bits (which run size), as many bits (length - 1), and one
8-bit value for a run or one for each value of a literal. Zeros fill the last byte, and the SDK's
encoder may add one more. Format: github.com/thi-ng/umbrella, packages/rle-pack.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from abn.errors import AbnError

CHANNELS = 4
RUN_SIZES = np.array([3, 4, 8, 16])
ALL_CHANNELS = np.uint32(0x01010101)
"""Times a value: a pixel all of whose channels have it."""
HEADER_BITS = 32 + 5 + 4 * 4
FORMAT_BITS = 7 << 16 | 2 << 12 | 3 << 8 | 7 << 4 | 15
"""Header after the count: word size 8, run sizes 3, 4, 8, 16."""
HEAD_BITS = 3 + 16
"""Bits that tell a token's length, for the largest run size."""
HEAD = (1 << HEAD_BITS) - 1
SHIFT = 32 - HEAD_BITS
SHORTEST_TOKEN_BITS = 3 + 3 + 8
MOST_PADDING_BITS = 8


def encode(alpha: NDArray[np.uint8]) -> list[int]:
    """Encode a brush mask.

    Args:
        alpha: uint8 H×W, 0 (nothing) to 255 (painted).

    Returns:
        The bytes of the stream, as Label Studio keeps them in ``value.rle``.
    """
    flat = alpha.ravel()
    starts = np.flatnonzero(np.diff(flat, prepend=flat[:1] ^ 255))
    values, lengths = _cut(flat[starts], np.diff(starts, append=flat.size) * CHANNELS)
    kinds = np.searchsorted(1 << RUN_SIZES, lengths)
    sizes = RUN_SIZES[kinds]
    widths = 3 + sizes + 8
    tokens = (4 | kinds) << (sizes + 8) | (lengths - 1) << 8 | values
    header = _bits(np.array([flat.size * CHANNELS, FORMAT_BITS]), np.array([32, HEADER_BITS - 32]))
    return np.packbits(np.concatenate([header, _bits(tokens, widths)])).tolist()  # type: ignore[no-any-return]


def decode(rle: Any, height: int, width: int) -> NDArray[np.uint8]:
    """Decode a brush mask of a known size.

    Any value decodes or raises: nothing larger than the mask is allocated for what a header or a
    run length claims. The four channels must agree, the one checksum that the format offers.

    Args:
        rle: The stream's bytes, a list of integers from 0 to 255.
        height: Rows of the mask.
        width: Columns of the mask.

    Returns:
        uint8 H×W, 0 (nothing) to 255 (painted).

    Raises:
        AbnError: ``rle`` is no such stream, or one of another size; says why.
    """
    stream = _bytes(rle)
    _check_header(stream, height * width * CHANNELS)
    words = _words(stream)
    positions = _positions(words)
    values, lengths = _runs(words, positions[:-1])
    if lengths.sum() != height * width * CHANNELS:
        raise AbnError(
            f"the brush RLE holds {lengths.sum()} values where its header says "
            f"{height * width * CHANNELS}"
        )
    padding = len(stream) * 8 - positions[-1]
    if padding > MOST_PADDING_BITS or _heads(words, positions[-1:]).any():
        raise AbnError("the brush RLE goes on after its last run")
    channels = np.repeat(values, lengths)
    alpha = channels[CHANNELS - 1 :: CHANNELS]
    if (channels.view(np.uint32) != alpha * ALL_CHANNELS).any():
        raise AbnError("the brush RLE is damaged: its colour channels differ from its alpha")
    return alpha.reshape(height, width).copy()


def _cut(
    values: NDArray[np.uint8], lengths: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cut runs into pieces that the largest run size can hold."""
    longest = 1 << RUN_SIZES[-1]
    pieces = -(-lengths // longest)
    cut = np.full(pieces.sum(), longest)
    cut[np.cumsum(pieces) - 1] = lengths - (pieces - 1) * longest
    return np.repeat(values, pieces).astype(np.int64), cut


def _bits(codes: NDArray[np.int64], widths: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Give the lowest ``widths`` bits of each of ``codes``, one after the other."""
    words = np.unpackbits(codes.astype(">u4").view(np.uint8).reshape(-1, 4), axis=1)
    return words[np.arange(32) >= 32 - widths[:, None]]


def _bytes(rle: Any) -> NDArray[np.uint8]:
    if not isinstance(rle, list):
        raise AbnError(f"the brush RLE is a {type(rle).__name__}, not a list of bytes")
    try:
        return np.frombuffer(bytes(rle), np.uint8)
    except (TypeError, ValueError):
        raise AbnError("the brush RLE holds something else than integers from 0 to 255") from None


def _check_header(stream: NDArray[np.uint8], expected: int) -> None:
    if len(stream) * 8 < HEADER_BITS:
        raise AbnError(f"the brush RLE is truncated: {len(stream)} bytes")
    header = int.from_bytes(stream[:7].tobytes(), "big") >> (7 * 8 - HEADER_BITS)
    count, form = header >> (HEADER_BITS - 32), header & ((1 << (HEADER_BITS - 32)) - 1)
    if form != FORMAT_BITS:
        raise AbnError(
            "the brush RLE's header names other word and run sizes than 8 and 3, 4, 8, 16"
        )
    if count != expected:
        raise AbnError(
            f"the brush RLE is of another size: {count} values where the canvas has {expected}"
        )


def _words(stream: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Give the 32 bits from each byte of the stream on, zeros after its end."""
    padded = np.concatenate([stream, np.zeros(4, np.uint8)])
    words = np.zeros(len(stream) + 1, np.uint32)
    for byte in range(4):
        words = words << 8 | padded[byte : byte + len(words)]
    return words


def _heads(words: NDArray[np.uint32], positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give the 19 bits from each of ``positions`` on."""
    heads: NDArray[np.int64] = words[positions >> 3] >> SHIFT - (positions & 7) & HEAD
    return heads


@lru_cache(maxsize=1)
def _token_widths() -> NDArray[np.int32]:
    """Give the bits of a token by its first 19."""
    is_run, sizes, lengths = _read(np.arange(1 << HEAD_BITS))
    widths: NDArray[np.int64] = 3 + sizes + 8 * np.where(is_run, 1, lengths)
    return widths.astype(np.int32)


def _read(
    heads: NDArray[np.int64],
) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
    """Read from a token's first bits whether it is a run, its run size and its length."""
    sizes = RUN_SIZES[heads >> 16 & 3]
    lengths = (heads & 0xFFFF).astype(np.int64) >> (16 - sizes)
    return heads >> 18 == 1, sizes, lengths + 1


def _positions(words: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Give the bit at which each token begins, and that at which the last one ends.

    Where one ends depends on all before it: the only loop over tokens, kept to two look-ups.
    """
    word_at, widths = words.data, _token_widths().data
    end = (len(words) - 1) * 8
    positions = []
    position = HEADER_BITS
    while position <= end - SHORTEST_TOKEN_BITS:
        positions.append(position)
        position += widths[word_at[position >> 3] >> SHIFT - (position & 7) & HEAD]
    if position > end:
        raise AbnError("the brush RLE is truncated: it ends within a run")
    return np.array([*positions, position], np.int64)


def _runs(
    words: NDArray[np.uint32], positions: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Give value and length of each run; each value of a literal is a run of length 1."""
    is_run, sizes, lengths = _read(_heads(words, positions))
    counts = np.where(is_run, 1, lengths)
    first = np.cumsum(counts) - counts
    ordinal = np.arange(counts.sum()) - np.repeat(first, counts)
    bits = np.repeat(positions + 3 + sizes, counts) + 8 * ordinal
    values = (_heads(words, bits) >> (HEAD_BITS - 8)).astype(np.uint8)
    return values, np.repeat(np.where(is_run, lengths, 1), counts)
