"""A folder of people's own images: a folder for each class, or train, val and test of such.

Any depth below a class's folder is that class's. Files and folders whose names begin with a dot are
nobody's. Masks, where there are any, are the images' alpha channel or PNG files in a tree of the
same shape.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from PIL import Image

from abn.data import files, masks, splits
from abn.data.listing import Item, Listing
from abn.data.pictures import Picture
from abn.data.source import Source
from abn.errors import AbnError
from abn.params import Data

LICENCE = "the owner's"


def open_source(data: Data, seed: int) -> Source:
    """Open the folder; raise ``AbnError`` if it is missing, or of neither shape."""
    return files.open_files(_list(data), data, seed)


def _list(data: Data) -> Listing:
    own = data.image_folder
    root = Path(data.root)
    top = below(root, own.folder, "data.image_folder.folder")
    tree = below(root, own.mask_folder, "data.image_folder.mask_folder", own.masks == "tree")
    hidden = {tree.resolve()} if own.masks == "tree" else set()
    of_split = _split_folders(top, hidden)
    classes = sorted({one.name for folder in of_split.values() for one in _folders(folder, hidden)})
    for name in classes:
        if name.encode("utf-8", "replace").decode() != name:
            raise AbnError(f"{top}: the name of the folder {name!r} is no text in UTF-8; rename it")
    if not classes:
        raise AbnError(f"{top}: no folder of images; each class is a folder, see docs/own_data.md")
    items = (
        Item(
            os.path.relpath(file, root), label, split,
            _mask(file, top, tree, root) if own.masks == "tree" else "",
        )
        for split, folder in of_split.items()
        for label, name in enumerate(classes)
        for file in _files(folder / name)
    )  # fmt: skip
    return Listing(
        name="image_folder",
        licence=LICENCE,
        root=root,
        classes=classes,
        items=_some_mask(items, tree) if own.masks == "tree" else items,
        read_mask={"none": None, "alpha": _from_alpha, "tree": _from_tree}[own.masks],
        alpha_is_mask=own.masks == "alpha",
    )


def _some_mask(items: Iterable[Item], tree: Path) -> Iterator[Item]:
    found = False
    for item in items:
        found = found or bool(item.mask)
        yield item
    if not found:
        raise AbnError(
            f"{tree}: no mask of any image there; that of cats/1.jpg below "
            "data.image_folder.folder is cats/1.png"
        )


def below(root: Path, folder: str, key: str, needed: bool = True) -> Path:
    """Give a folder below the root that params.yaml names; ``AbnError`` if it is none."""
    path = root / folder
    if needed and not path.is_dir():
        raise AbnError(f"{path}: no such folder; see data.root and {key} in params.yaml")
    if not path.resolve().is_relative_to(root.resolve()):
        raise AbnError(f"{key}: {folder} leads out of data.root")
    return path


def _split_folders(top: Path, hidden: set[Path]) -> dict[str, Path]:
    """Give the splits' folders; the whole as no split in particular where there is no train."""
    found = {folder.name: folder for folder in _folders(top, hidden)}
    if "train" not in found:
        return {"": top}
    others = sorted(set(found) - set(splits.NAMES))
    if others:
        raise AbnError(
            f"{top}: beside train there may be val and test, and there is {others[0]!r}; "
            "move it away"
        )
    return {name: found[name] for name in splits.NAMES if name in found}


def _folders(folder: Path, hidden: set[Path]) -> list[Path]:
    return [
        path
        for path in sorted(folder.iterdir())
        if path.is_dir() and not path.name.startswith(".") and path.resolve() not in hidden
    ]


def _files(folder: Path) -> Iterator[str]:
    """Give paths as texts: a hundred thousand take a third of the time and memory so."""
    for parent, inner, names in os.walk(folder):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        yield from (f"{parent}/{name}" for name in sorted(names) if not name.startswith("."))


def _mask(file: str, top: Path, tree: Path, root: Path) -> str:
    """Give the path of an image's mask, relative to the root; nothing where there is none."""
    path = (tree / os.path.relpath(file, top)).with_suffix(".png")
    return os.path.relpath(path, root) if path.exists() else ""


def _from_alpha(picture: Picture, root: Path, item: Item) -> Image.Image | None:  # noqa: ARG001
    return masks.from_alpha(picture)


def _from_tree(picture: Picture, root: Path, item: Item) -> Image.Image | None:
    return masks.from_file(files.inside(root, item.mask), picture) if item.mask else None
