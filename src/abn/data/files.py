"""From a list of image files to a source: what the sources of photographs have in common.

Two rounds in worker processes: every file's content is digested and its header read, so that
broken files and duplicates are known before the splits are drawn; then those that a split took are
decoded, in the manifest's order.
"""

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from abn import progress
from abn.data import pictures, splits, workers
from abn.data.listing import Item, Items, Listing, MaskReader
from abn.data.pictures import Picture
from abn.data.source import Rejected, Sample, Source
from abn.errors import AbnError
from abn.params import Data

FILES_AT_ONCE = 64
"""A task of the first round."""
IMAGES_AT_ONCE, BYTES_AT_ONCE = 32, 2**21
"""A task of the second: what comes back together, at most."""
LONGEST_STEM = 80
"""Of an image_id, beside the digest."""
DIGEST = 16
"""Bytes of SHA-256 that tell contents apart."""
SHOWN = 3
"""Reasons told where a class is left empty."""


class _Digested(NamedTuple):
    content: bytes
    reason: str
    """Empty for an image."""


class _Taken(NamedTuple):
    item: Item
    split: str
    content: bytes


def open_files(listing: Listing, data: Data, seed: int) -> Source:
    """Look at every file, draw the splits, and give a source that decodes in worker processes.

    Raises:
        AbnError: A class is left without a file, or the splits cannot be drawn.
    """
    items = Items(listing.items)
    if not len(items):
        raise AbnError(f"{listing.root}: no images; see data.root and data.source in params.yaml")
    processes = workers.processors()
    digests, rejected = _digest_all(listing.root, items, processes)
    rejected |= dict(_duplicates(items, digests))
    good = np.setdiff1d(np.arange(len(items)), list(rejected))
    refused = [_refused(listing, items[at], reason) for at, reason in sorted(rejected.items())]
    _no_class_empty(listing, items.labels[good], refused)
    tickets = np.fromiter(
        (splits.ticket(seed, digests[at].tobytes()) for at in good), np.uint64, len(good)
    )
    found = splits.assign(items.labels[good], items.given[good], tickets, data.splits)
    taken = (
        _Taken(items[at], split, digests[at].tobytes())
        for number, split in enumerate(splits.NAMES)
        for at in good[found == number]
    )
    read_mask = listing.read_mask if data.masks else None
    decoder = _Decoder(listing.root, data.prepared_size, listing.alpha_is_mask, read_mask)
    return Source(
        name=listing.name,
        licence=listing.licence,
        classes=listing.classes,
        channels=3,
        total=int((found != splits.NONE).sum()),
        has_masks=read_mask is not None,
        samples=_samples(listing, taken, decoder, processes, refused),
        alpha_is_mask=listing.alpha_is_mask,
        rejected=refused,
    )


# The first round.


def _digest_all(
    root: Path, items: Items, processes: int
) -> tuple[NDArray[np.uint8], dict[int, str]]:
    """Give the contents' digests, n×16, 0 where a file is broken, and the reasons of those."""
    digests = np.zeros((len(items), DIGEST), np.uint8)
    rejected: dict[int, str] = {}
    starts = range(0, len(items), FILES_AT_ONCE)
    chunks = (list(items.files(at, at + FILES_AT_ONCE)) for at in starts)
    found = workers.in_order(partial(_digest_chunk, root), chunks, processes)
    every = (one for chunk in found for one in chunk)
    for place, one in enumerate(progress.track(every, "looking at files", len(items))):
        if one.reason:
            rejected[place] = one.reason
        else:
            digests[place] = np.frombuffer(one.content, np.uint8)
    return digests, rejected


def _digest_chunk(root: Path, files: list[str]) -> list[_Digested]:
    return [_digest(root, file) for file in files]


def _digest(root: Path, file: str) -> _Digested:
    try:
        file.encode()
        with inside(root, file).open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").digest()[:DIGEST]
            if not stream.tell():
                return _Digested(b"", "empty file")
            stream.seek(0)
            Image.open(stream).close()
    except UnicodeEncodeError:
        return _Digested(b"", "its name is not a text in UTF-8")
    except Exception as error:  # noqa: BLE001 (a broken file makes Pillow raise anything)
        return _Digested(b"", pictures.reason(error))
    return _Digested(content, "")


def inside(root: Path, file: str) -> Path:
    """Give the path of a source's file; raise ``ValueError`` if it leads out of the root."""
    path = root / file
    if not Path(os.path.realpath(path)).is_relative_to(_real(root)):
        raise ValueError("leads out of data.root")
    return path


@lru_cache(1)
def _real(root: Path) -> Path:
    return root.resolve()


def _duplicates(items: Items, digests: NDArray[np.uint8]) -> Iterator[tuple[int, str]]:
    """Give files whose content stands elsewhere too: all but one, or all if their classes differ.

    What a test set has stays there and goes from the training set, as from validation.
    """
    keys, labels = digests.view(np.uint64), items.labels
    order = np.lexsort((np.arange(len(items)), -items.given, keys[:, 1], keys[:, 0]))
    same = np.all(np.diff(keys[order], axis=0) == 0, axis=1)
    for start, end in _runs(same):
        group = order[start:end]
        if not digests[group[0]].any():
            continue  # all the broken ones
        if len(np.unique(labels[group])) == 1:
            first = items[group[0]].file
            yield from ((int(at), f"same content as {first}") for at in group[1:])
            continue
        for at in group:
            other = items[next(one for one in group if labels[one] != labels[at])].file
            yield int(at), f"same content as {other}, which is of another class"


def _runs(same: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Give start and end of each run of equals, ``same`` saying which equal the next."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], same, [False]]).astype(np.int8)))
    return ((int(start), int(end) + 1) for start, end in edges.reshape(-1, 2))


def _no_class_empty(
    listing: Listing, labels: NDArray[np.int32], refused: Sequence[Rejected]
) -> None:
    for label in sorted(set(range(len(listing.classes))) - set(np.unique(labels).tolist())):
        name = listing.classes[label]
        reasons = [f"{one.file}: {one.reason}" for one in refused if one.class_name == name]
        told = "; ".join(reasons[:SHOWN]) or "no file"
        more = f" and {len(reasons) - SHOWN} more" if len(reasons) > SHOWN else ""
        raise AbnError(
            f"{listing.root}: class {name!r} has no image that can be used ({told}{more}); "
            "mend its files, or remove the class"
        )


def _refused(listing: Listing, item: Item, reason: str) -> Rejected:
    name = item.file.encode("utf-8", "backslashreplace").decode()
    return Rejected(name, listing.classes[item.label], reason)


# The second round.


@dataclass(frozen=True)
class _Decoder:
    root: Path
    side: int
    alpha_is_mask: bool
    read_mask: MaskReader | None


def _samples(
    listing: Listing,
    taken: Iterator[_Taken],
    decoder: _Decoder,
    processes: int,
    rejected: list[Rejected],
) -> Iterator[Sample]:
    size = max(1, min(IMAGES_AT_ONCE, BYTES_AT_ONCE // (4 * decoder.side**2)))
    decode = partial(_decode_chunk, decoder)
    for chunk in workers.in_order(decode, _chunks(taken, size), processes):
        for one in chunk:
            if isinstance(one, Sample):
                yield one
            else:
                rejected.append(_refused(listing, *one))


def _chunks(taken: Iterator[_Taken], size: int) -> Iterator[list[_Taken]]:
    chunk: list[_Taken] = []
    for one in taken:
        chunk.append(one)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _decode_chunk(decoder: _Decoder, chunk: list[_Taken]) -> list[Sample | tuple[Item, str]]:
    return [_decode(decoder, one) for one in chunk]


def _decode(decoder: _Decoder, one: _Taken) -> Sample | tuple[Item, str]:
    item = one.item
    try:
        picture = pictures.read(decoder.root / item.file, decoder.side, decoder.alpha_is_mask)
        image = pictures.pixels(picture, decoder.side, 3)
    except Exception as error:  # noqa: BLE001 (a broken file makes Pillow raise anything)
        return item, pictures.reason(error)
    try:
        mask = _mask(decoder, picture, item)
    except Exception as error:  # noqa: BLE001
        return item, f"mask {item.mask}: {pictures.reason(error)}"
    return Sample(
        image_id(item.file, one.content), one.split, item.label, item.file,
        picture.width, picture.height, image, mask,
    )  # fmt: skip


def _mask(decoder: _Decoder, picture: Picture, item: Item) -> NDArray[np.uint8] | None:
    if decoder.read_mask is None:
        return None
    mask = decoder.read_mask(picture, decoder.root, item)
    if mask is None:
        return None
    small = pictures.square(mask, decoder.side, Image.Resampling.BILINEAR)
    return (np.asarray(small) > 127).astype(np.uint8)


def image_id(file: str, content: bytes) -> str:
    """Name an image by its file and its content, so that a file that moves keeps its edits."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", PurePosixPath(file).stem)[:LONGEST_STEM]
    return f"{stem}-{content[:6].hex()}"
