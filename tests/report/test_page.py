import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from abn import params
from abn.report import page
from tests.report.artefacts import HOSTILE, Recipe, write
from tests.report.conftest import PARAMS, Read

MEGABYTE = 1_000_000
RENDER = """
import resource, sys
from pathlib import Path
from abn import params
from abn.report import evidence, page
text = page.render(evidence.read(params.load(Path(sys.argv[1]))))
Path("page.html").write_text(text, encoding="utf-8")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


class Document(HTMLParser):
    """What a browser would make of a page: elements, their attributes and their texts."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take in an element."""
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        """Take in a text."""
        inside = self.tags[-1] if self.tags else ""
        (self.scripts if inside == "script" else self.texts).append(data)

    def all(self, name: str) -> list[str]:
        """Give the values of an attribute."""
        return [value or "" for key, value in self.attributes if key == name]


def test_the_same_evidence_gives_the_same_bytes(tmp_path: Path) -> None:
    """Two processes with different hash seeds write the same page."""
    write(tmp_path)
    pages = []
    for seed in ("1", "2"):
        _render_apart(tmp_path, seed)
        pages.append((tmp_path / "page.html").read_bytes())
    assert pages[0] == pages[1]


@pytest.mark.parametrize("recipe", [Recipe(), Recipe(masks=False, holdout=False)], ids=str)
def test_the_page_is_whole(read: Read, recipe: Recipe) -> None:
    """Every link within the page has its target, ids are unique, every chart has its place."""
    document = Document(page.render(read(recipe)))
    ids = document.all("id")
    assert len(ids) == len(set(ids))
    links = document.all("href")
    assert all(link[1:] in ids for link in links if link.startswith("#"))
    assert all(label in ids for label in document.all("aria-labelledby"))
    charts = json.loads(_figures(document))
    assert {f"plot-{name}" for name in charts} == {one for one in ids if one.startswith("plot-")}
    assert charts


def test_nothing_is_fetched(read: Read) -> None:
    """No address but inline data stands where a browser would fetch it."""
    document = Document(page.render(read()))
    fetched = [*document.all("src"), *(one for one in document.all("href") if one[:1] != "#")]
    assert all(one.startswith("data:") for one in fetched)
    styled = re.findall(r"url\(([^)]*)\)", " ".join(document.all("style")))
    assert styled
    assert all(one.startswith("data:") for one in styled)
    assert "link" not in document.tags or document.tags.count("link") == 1


def test_whatever_names_hold_comes_out_as_text(read: Read) -> None:
    """Tags, quotes, unicode and 300 characters in class, file and annotator names stay text."""
    plain = Document(page.render(read(Recipe(origin="annotation", annotators=("a", "b")))))
    recipe = Recipe(
        classes=HOSTILE, origin="annotation", annotators=HOSTILE[:2], recipes=HOSTILE[:2]
    )
    hostile = Document(page.render(read(recipe)))
    assert sorted(set(hostile.tags)) == sorted(set(plain.tags))
    assert hostile.tags.count("script") == plain.tags.count("script") == 3
    assert not [name for name, _ in hostile.attributes if name.startswith("on")]
    for name in HOSTILE[:2]:
        assert f"annotator {name}" in hostile.texts
    for name in HOSTILE:
        assert name in hostile.texts
        assert f"{name}.png" in hostile.all("title")
    for chart in json.loads(_figures(hostile)).values():
        assert "<script" not in json.dumps(chart)


def test_scripts_hold_no_end_of_script(read: Read) -> None:
    """Data in script elements can't end them."""
    document = Document(page.render(read(Recipe(classes=HOSTILE))))
    assert "<" not in _figures(document)


def test_simulated_edits_are_nowhere_called_human(read: Read) -> None:
    """Where a program edited the maps, page and text say simulated and never human."""
    evidence = read()
    document = Document(page.render(evidence))
    for text in (" ".join(document.texts), page.render_text(evidence)):
        assert "simulated" in text
        assert "human" not in text.lower()


def test_a_page_without_masks_says_so(read: Read) -> None:
    """Without masks, page and text say what they rest on."""
    evidence = read(Recipe(masks=False, origin="annotation"))
    document = Document(page.render(evidence))
    assert "This data set has no masks" in " ".join(document.texts)
    assert "6 to report by" in " ".join(document.texts)
    assert "has no masks" in page.render_text(evidence)
    assert "alignment" not in {name.partition("-")[2] for name in json.loads(_figures(document))}


def test_every_parameter_and_key_is_on_the_page(read: Read) -> None:
    """Parameters, stage keys and the data's digest stand in the page."""
    evidence = read()
    text = " ".join(" ".join(Document(page.render(evidence)).texts).split())
    shown = params.load(PARAMS).model_dump(exclude={"tracking"})
    for key, value in page.flat(shown):
        section, _, name = key.partition(".")
        assert f" {name or section} {value} " in text
    assert all(key in text for key in evidence.keys.values())
    assert evidence.prepared.digest in text


def test_a_greedy_gallery_of_large_colour_images_stays_below_8_mb(tmp_path: Path) -> None:
    """The page's size has a bound that neither params nor images can lift."""
    write(tmp_path, Recipe(colour=True, noise=True))
    text = PARAMS.read_text().replace("gallery: 24", "gallery: 100000")
    (tmp_path / "greedy.yaml").write_text(text)
    _render_apart(tmp_path, "0", tmp_path / "greedy.yaml")
    assert (tmp_path / "page.html").stat().st_size < 8 * MEGABYTE


def test_100_000_images_make_no_larger_page_and_need_little_memory(tmp_path: Path) -> None:
    """The page of 100,000 images is as large as that of 1,000; pixels are not read into memory."""
    sizes, peaks = [], []
    for name, train, test in (("small", 600, 300), ("large", 60_000, 30_000)):
        counts = (("train", train), ("val", train // 6), ("test", test))
        write(tmp_path / name, Recipe(counts=counts, sparse=True))
        peaks.append(_render_apart(tmp_path / name, "0"))
        sizes.append((tmp_path / name / "page.html").stat().st_size)
    assert abs(sizes[1] - sizes[0]) < 0.2 * MEGABYTE
    pixels = 100_000 * (48 * 48 + 2 * 2 * 24 * 24)
    assert peaks[1] - peaks[0] < pixels / 3


def test_the_text_is_githubs_markdown(read: Read) -> None:
    """Every row of a table has as many cells as its header, and names can't break out of them."""
    recipe = Recipe(origin="annotation", annotators=HOSTILE, recipes=HOSTILE)
    text = page.render_text(read(recipe))
    assert "<" not in text
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        header, rule, *rows = block.splitlines()
        assert rows
        assert len({line.count("|") for line in (header, rule, *rows)}) == 1
    assert len(text) < 10_000


def _figures(document: Document) -> str:
    return next(script for script in document.scripts if script.startswith("{"))


def _render_apart(folder: Path, seed: str, config: Path = PARAMS) -> int:
    """Render ``folder/page.html`` in a process of its own; give its peak memory in bytes."""
    done = subprocess.run(
        [sys.executable, "-c", RENDER, str(config)],
        cwd=folder,
        env=os.environ | {"PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout) * 1024
