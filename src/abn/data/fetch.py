"""Published data sets from the network, by torchvision, checked against their published digests."""

import shutil
from collections.abc import Callable
from pathlib import Path

from abn.data.sources import cub_200_2011, oxford_iiit_pet
from abn.errors import AbnError

BIRDS = (
    (
        "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz",
        "97eceeb196236b17998738112f37df78",
    ),
    (
        "https://data.caltech.edu/records/w9d68-gec53/files/segmentations.tgz",
        "4d47ba1228eae64f2fa547c47bc65255",
    ),
)
"""Addresses, and MD5 as torchvision checks it."""


def fetch(name: str, folder: Path) -> list[Path]:
    """Download and unpack a data set into ``folder``; give what lies there then.

    What is there already is not fetched again.

    Raises:
        AbnError: There is no such set, or no network, or what came is not what was published.
    """
    if name not in SETS:
        raise AbnError(f"{name}: not a set that can be fetched; there are {', '.join(SETS)}")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        SETS[name](folder)
    except (OSError, RuntimeError) as error:
        raise AbnError(f"{name}: {error}; mend the connection and fetch again") from None
    return sorted(folder.iterdir())


def _pets(folder: Path) -> None:
    from torchvision.datasets import OxfordIIITPet  # noqa: PLC0415 (seconds)

    base = folder / oxford_iiit_pet.FOLDER
    if any(base.glob("*.tar.gz")):  # broken off while it was unpacked
        shutil.rmtree(base)
    OxfordIIITPet(folder, download=True)
    for archive in base.glob("*.tar.gz"):
        archive.unlink()


def _birds(folder: Path) -> None:
    from torchvision.datasets.utils import download_and_extract_archive  # noqa: PLC0415

    for place, (address, digest) in zip((cub_200_2011.FOLDER, "segmentations"), BIRDS, strict=True):
        unfinished = (folder / address.rpartition("/")[2]).exists()
        if unfinished or not (folder / place).is_dir():
            download_and_extract_archive(address, folder, md5=digest, remove_finished=True)


SETS: dict[str, Callable[[Path], None]] = {"oxford_iiit_pet": _pets, "cub_200_2011": _birds}
