"""Published sets, fetched from a server of the test's own."""

import hashlib
import tarfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from torchvision.datasets import OxfordIIITPet

from abn.data import fetch
from abn.errors import AbnError
from abn.params import Params
from tests.data import photographs, test_cub_200_2011, test_oxford_iiit_pet
from tests.data.photographs import samples

SPLITS = {"train": None, "val": 3, "test": None}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the address at which its files are served."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def packed(archive: Path, folder: Path, *names: str) -> str:
    """Pack folders as publishers do; give the archive's MD5."""
    with tarfile.open(archive, "w:gz") as stream:
        for name in names:
            stream.add(folder / name, name)
    return hashlib.md5(archive.read_bytes()).hexdigest()  # noqa: S324 (what torchvision checks)


def test_pets_are_fetched_and_read(
    tmp_path: Path,
    served: tuple[Path, str],
    default_params: Params,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both archives, unpacked where the source looks for them; no archive stays."""
    folder, address = served
    published = test_oxford_iiit_pet.publish(tmp_path / "published")
    resources = [
        (f"{address}/{name}.tar.gz", packed(folder / f"{name}.tar.gz", published, name))
        for name in ("images", "annotations")
    ]
    monkeypatch.setattr(OxfordIIITPet, "_RESOURCES", resources)
    (found,) = fetch.fetch("oxford_iiit_pet", tmp_path / "pets")
    assert sorted(path.name for path in found.iterdir()) == ["annotations", "images"]
    read, source = samples(
        photographs.params(default_params, tmp_path / "pets", "oxford_iiit_pet", splits=SPLITS)
    )
    assert (len(read), source.rejected) == (36, [])


def test_birds_are_fetched_and_read(
    tmp_path: Path,
    served: tuple[Path, str],
    default_params: Params,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Images and segmentations, from their two archives; what is there is not fetched again."""
    folder, address = served
    published = test_cub_200_2011.publish(tmp_path / "published")
    contents = {"CUB_200_2011": ("CUB_200_2011", "attributes.txt"), "segmentations": ()}
    archives = []
    for name, others in contents.items():
        digest = packed(folder / f"{name}.tgz", published, *(others or (name,)))
        archives.append((f"{address}/{name}.tgz", digest))
    monkeypatch.setattr(fetch, "BIRDS", archives)
    there = ["CUB_200_2011", "attributes.txt", "segmentations"]
    assert [path.name for path in fetch.fetch("cub_200_2011", tmp_path / "birds")] == there
    for archive in folder.iterdir():
        archive.unlink()
    assert [path.name for path in fetch.fetch("cub_200_2011", tmp_path / "birds")] == there
    read, _ = samples(
        photographs.params(default_params, tmp_path / "birds", "cub_200_2011", splits=SPLITS)
    )
    assert len(read) == 24


def test_what_is_not_what_was_published_is_refused(
    tmp_path: Path, served: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another digest, no server, no such set."""
    folder, address = served
    (folder / "x.tgz").write_bytes(b"another")
    monkeypatch.setattr(fetch, "BIRDS", [(f"{address}/x.tgz", "0" * 32)] * 2)
    with pytest.raises(AbnError, match=r"cub_200_2011: .*corrupted"):
        fetch.fetch("cub_200_2011", tmp_path / "birds")
    monkeypatch.setattr(fetch, "BIRDS", [("http://127.0.0.1:9/x.tgz", "0" * 32)] * 2)
    with pytest.raises(AbnError, match="mend the connection and fetch again"):
        fetch.fetch("cub_200_2011", tmp_path / "birds")
    with pytest.raises(AbnError, match="there are oxford_iiit_pet, cub_200_2011"):
        fetch.fetch("imagenet", tmp_path / "x")
