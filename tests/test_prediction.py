"""Images from anywhere, through a real network; what of them it sees, and what is printed."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from typer.testing import CliRunner

from abn import prediction
from abn.attention import overlays
from abn.cli import app
from abn.data import pictures
from abn.data.prepared import Prepared
from abn.errors import AbnError
from abn.model import checkpoint
from abn.model.build import build
from abn.model.checkpoint import Card
from abn.model.network import AttentionBranchNetwork
from abn.params import Params
from abn.prediction import Prediction, Unreadable
from abn.training import engine, evaluation
from abn.training.engine import Engine

SIDE = 24
GREY = Card("resnet8", 1, ["bag", "shirt"], 1, SIDE, [0.25], [0.2], "data")
COLOUR = Card("resnet8", 1, ["bag", "shirt"], 3, SIDE, [0.2, 0.4, 0.6], [0.2] * 3, "data")
CLOSE = 3.0
"""Grey levels that a palette, or the way through CMYK, may cost on average."""


@pytest.fixture(autouse=True)
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_params: Params) -> Path:
    """A repository with params and a refined model, with the tests' process standing in it."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(yaml.safe_dump(tiny_params.model_dump()))
    torch.manual_seed(0)
    checkpoint.save(build(GREY.architecture), GREY, Path("data/models/abn_refined.safetensors"))
    return tmp_path


@pytest.fixture
def network() -> AttentionBranchNetwork:
    torch.manual_seed(0)
    return build(GREY.architecture).eval()


@pytest.fixture
def machine(tiny_params: Params) -> Engine:
    return engine.start(tiny_params.runtime, 1)


def a_picture(width: int = 60, height: int = 60) -> Image.Image:
    """Smooth, of many greys, and no two sides of it alike."""
    across, down = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    return Image.fromarray((255 * (0.7 * across + 0.3 * down**2)).astype(np.uint8))


def seen(file: Path, card: Card = GREY) -> np.ndarray:
    """Give the pixels that the network gets, as signed numbers."""
    square = prediction._read(file, card, with_picture=False)
    assert isinstance(square, prediction._Square), square
    return square.pixels.astype(int)


def run(*arguments: str) -> tuple[int, str]:
    """Run abn predict; give its exit status and what it printed."""
    done = CliRunner().invoke(app, ["predict", *arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout


# What the network sees.


def test_an_image_of_the_set_is_predicted_as_the_pipeline_predicts_it(
    tiny_set: Prepared, network: AttentionBranchNetwork, machine: Engine
) -> None:
    """Saved as PNG and read again: the same class, confidence and map, to the last bit."""
    rows = np.arange(8)
    card = Card("resnet8", 1, tiny_set.classes, 1, SIDE, tiny_set.mean, tiny_set.std, "data")
    torch.manual_seed(0)
    network = build(card.architecture).eval()
    files = [Path(f"{row}.png") for row in rows]
    for file, image in zip(files, tiny_set.images[rows], strict=True):
        Image.fromarray(image[..., 0]).save(file)
    (expected,) = evaluation.predict(network, tiny_set, rows, machine)
    found = list(prediction.predict(network, card, files, machine))
    assert found == [
        Prediction(file, card.classes[one.argmax()], float(one.max()), None)
        for file, one in zip(files, expected.probabilities, strict=True)
    ]


@pytest.mark.parametrize(
    ("mode", "name"),
    [
        ("RGB", "x.png"), ("RGBA", "x.png"), ("LA", "x.png"), ("P", "x.png"), ("P", "x.gif"),
        ("CMYK", "x.tif"), ("CMYK", "x.jpg"), ("L", "x.jpg"), ("YCbCr", "x.jpg"), ("F", "x.tif"),
        ("I", "x.tif"), ("RGB", "x.webp"), ("HSV", None),
    ],
)  # fmt: skip
def test_an_image_looks_the_same_in_every_mode(mode: str, name: str | None) -> None:
    """The same picture, however stored, is what the network gets."""
    picture = Image.fromarray(
        np.interp(np.asarray(a_picture()), (0, 252), (0, 255)).astype(np.uint8)
    )
    picture.save("grey.png")
    if name is None:
        found = np.asarray(pictures.colours(picture.convert("RGB").convert(mode)))
        assert np.abs(found.astype(int) - np.asarray(picture)[..., None]).mean() < CLOSE
        return
    picture.convert("RGB").convert(mode).save(name)
    assert np.abs(seen(Path(name)) - seen(Path("grey.png"))).mean() < CLOSE


@pytest.mark.parametrize("name", ["x.png", "x.tif"])
def test_sixteen_bits_become_eight_without_clipping(name: str) -> None:
    """Grey of 16 bits keeps its whole range; Pillow alone would make all of it white."""
    grey = np.asarray(a_picture())
    Image.fromarray(grey.astype(np.uint16) * 257).save(name)
    a_picture().save("grey.png")
    assert (seen(Path(name)) == seen(Path("grey.png"))).all()


@pytest.mark.parametrize("card", [GREY, COLOUR])
def test_what_is_transparent_is_grey(card: Card) -> None:
    """Whatever colour hides there: to the network it is next to nothing."""
    hidden = Image.new("RGBA", (30, 30), (255, 0, 0, 0))
    hidden.paste((255, 255, 255, 255), (0, 0, 30, 15))
    hidden.save("x.png")
    pixels = seen(Path("x.png"), card)
    assert pixels.shape == (SIDE, SIDE, card.channels)
    assert (pixels[-8:] == 128).all()
    assert (pixels[:8] == 255).all()


@pytest.mark.parametrize(
    ("orientation", "undo"),
    [
        (3, Image.Transpose.ROTATE_180),
        (6, Image.Transpose.ROTATE_90),
        (8, Image.Transpose.ROTATE_270),
    ],
)
def test_a_turned_photo_is_turned_back(orientation: int, undo: Image.Transpose) -> None:
    """As cameras store photos: turned, and EXIF says how."""
    a_picture().save("upright.png")
    exif = Image.Exif()
    exif[0x0112] = orientation
    a_picture().transpose(undo).save("x.png", exif=exif)
    assert (seen(Path("x.png")) == seen(Path("upright.png"))).all()


def test_of_a_wide_image_the_centre_is_seen() -> None:
    """The square of the shorter side, its proportions kept."""
    wide = Image.new("L", (300, 100), 255)
    wide.paste(a_picture(100, 100), (100, 0))
    wide.save("wide.png")
    a_picture(100, 100).save("centre.png")
    assert (seen(Path("wide.png")) == seen(Path("centre.png"))).all()


@pytest.mark.parametrize("size", [(1, 1), (3000, 2), (2, 900)])
def test_an_image_of_any_shape_is_taken(size: tuple[int, int]) -> None:
    """A single pixel, a line."""
    Image.new("RGB", size, (10, 20, 30)).save("x.png")
    assert seen(Path("x.png"), COLOUR).shape == (SIDE, SIDE, 3)


# Files.


def test_a_folder_gives_its_images_and_files_are_taken_as_they_are() -> None:
    """Any depth, in order, each once; no overlays, nothing that its suffix says is no image."""
    Path("photos/deep").mkdir(parents=True)
    for name in ("b.png", "deep/a.JPG", "b.attention.png", "notes.txt"):
        (Path("photos") / name).touch()
    Path("empty").mkdir()
    Path("bare").touch()
    given = ["photos", "photos/b.png", "bare", "empty", "gone.png", "x" * 300]
    files, failed = prediction.find(map(Path, given))
    assert files == [Path("photos/b.png"), Path("photos/deep/a.JPG"), Path("bare")]
    assert [(str(one.file)[:8], one.reason) for one in failed] == [
        ("empty", "a folder without images"),
        ("gone.png", "no such file or folder"),
        ("xxxxxxxx", "File name too long"),
    ]


def broken_files() -> list[Path]:
    """Write an empty file, a text, half a PNG, half a JPEG."""
    a_picture(300, 300).save("whole.png")
    a_picture(300, 300).save("whole.jpg")
    contents = {
        "empty.png": b"",
        "text.png": b"not an image",
        "half.png": Path("whole.png").read_bytes()[:-2000],
        "half.jpg": Path("whole.jpg").read_bytes()[:-2000],
    }
    for name, content in contents.items():
        Path(name).write_bytes(content)
    return [Path(name) for name in contents]


def test_broken_files_are_told_and_hold_up_no_other(
    network: AttentionBranchNetwork, machine: Engine
) -> None:
    """Each in its place, with a reason that does not repeat its path."""
    files = [*broken_files(), Path("whole.png")]
    found = list(prediction.predict(network, GREY, files, machine))
    assert [one.file for one in found] == files
    *broken, whole = found
    assert isinstance(whole, Prediction)
    reasons = [one.reason for one in broken if isinstance(one, Unreadable)]
    assert reasons[:2] == ["not an image, or of a kind that Pillow does not read"] * 2
    assert all("truncated" in reason for reason in reasons[2:])
    assert len(reasons) == 4


def test_batches_do_not_mix_images_up(network: AttentionBranchNetwork, machine: Engine) -> None:
    """Seventy images and some broken ones in two batches: each as if it came alone."""
    files = [Path(f"{n:02d}.png") for n in range(70)]
    for n, file in enumerate(files):
        if n % 9:
            a_picture(30 + n, 40).rotate(5 * n).save(file)
        else:
            file.touch()
    together = list(prediction.predict(network, GREY, files, machine))
    for n in (0, 1, 35, 63, 64, 69):
        (alone,) = prediction.predict(network, GREY, [files[n]], machine)
        assert type(together[n]) is type(alone)
        assert together[n].file == alone.file
        if isinstance(alone, Prediction) and isinstance(together[n], Prediction):
            assert together[n].confidence == pytest.approx(alone.confidence, abs=1e-5)


# Overlays.


def test_an_overlay_is_bright_where_the_map_is() -> None:
    """Left without attention, right with all of it; the image shows through both."""
    attention = np.zeros((6, 6), np.float32)
    attention[:, 3:] = 1
    image = Image.new("L", (60, 60), 128)
    image.paste(255, (0, 0, 60, 30))
    shown = np.asarray(overlays.overlay(image, attention)).astype(int)
    assert shown.shape == (60, 60, 3)
    assert (shown[:, 50:].sum(2) > shown[:, :10].sum(2) + 200).all()
    assert (shown[:20, 5].sum(1) > shown[40:, 5].sum(1) + 50).all()
    assert (shown[:20, 55].sum(1) > shown[40:, 55].sum(1) + 50).all()


def test_colours_grow_brighter_with_attention_in_even_steps() -> None:
    """Lightness rises at every step, and no step is three times the mean one."""
    ramp = overlays.coloured(overlays.grey(np.linspace(0, 1, 256)[None])).convert("RGBA")
    values = np.asarray(ramp)[0, :, :3] / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    steps = np.diff(np.where(luminance > 0.008856, 116 * np.cbrt(luminance) - 16, 903 * luminance))
    assert steps.min() > 0
    assert steps.max() < 3 * steps.mean()


def test_overlays_are_named_by_their_images(
    network: AttentionBranchNetwork, machine: Engine
) -> None:
    """The same name twice gets a number; a long one is cut; a second run writes the same files."""
    files = [Path("one/x.png"), Path("two/x.png"), Path("x-2.png"), Path(f"{'ü' * 120}.png")]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        a_picture().save(file)
    for _ in range(2):
        found = list(prediction.predict(network, GREY, files, machine, Path("shown")))
        names = [one.overlay.name for one in found if isinstance(one, Prediction) and one.overlay]
        assert names == [
            "x.attention.png",
            "x-2.attention.png",
            "x-2-2.attention.png",
            f"{'ü' * 75}.attention.png",
        ]
        assert sorted(path.name for path in Path("shown").iterdir()) == sorted(names)
    with Image.open("shown/x.attention.png") as shown:
        assert (shown.size, shown.mode) == ((512, 512), "RGB")


def test_a_folder_that_cannot_be_made_is_the_users_to_mend(
    network: AttentionBranchNetwork, machine: Engine
) -> None:
    """A file of that name stands there."""
    a_picture().save("x.png")
    Path("out").touch()
    with pytest.raises(AbnError, match="out: File exists; name another folder"):
        list(prediction.predict(network, GREY, [Path("x.png")], machine, Path("out")))


# The command.


def test_json_holds_everything() -> None:
    """Model, images with class, confidence and overlay, and what could not be read; exit 1."""
    a_picture().save("x.png")
    Path("bad.png").write_text("no image")
    status, printed = run("x.png", "bad.png", "gone", "--format", "json", "--out", "shown")
    assert status == 1
    found = json.loads(printed)
    _, card = checkpoint.load(Path("data/models/abn_refined.safetensors"))
    assert found["model"] == card.name
    (image,) = found["images"]
    assert (image["file"], image["overlay"]) == ("x.png", "shown/x.attention.png")
    assert image["class"] in GREY.classes
    assert 0.5 <= image["confidence"] <= 1
    assert Path(image["overlay"]).exists()
    assert [one["file"] for one in found["unreadable"]] == ["bad.png", "gone"]


def test_a_table_shows_names_as_they_are() -> None:
    """Markup, emoji and the terminal's own signs in a file's name are text; one line an image."""
    names = ["[red]x.png", ":bag:.png", "a\nb\x1b[31m.png", f"{'long' * 50}.png"]
    for name in names:
        a_picture().save(name)
    status, printed = run(*names)
    assert status == 0
    header, *lines = printed.splitlines()
    assert header.split() == ["file", "class", "confidence", "overlay"]
    assert [line.split()[0] for line in lines] == [*names[:2], "a�b�[31m.png", names[3]]
    assert not list(Path().glob("*.attention.png"))


def test_a_model_is_named_or_a_path() -> None:
    """refined, base, a file; anything else names what there is."""
    assert prediction.model_file("refined") == Path("data/models/abn_refined.safetensors")
    assert prediction.model_file("base") == Path("data/models/abn.safetensors")
    elsewhere = Path("elsewhere/mine.safetensors")
    torch.manual_seed(1)
    checkpoint.save(build(COLOUR.architecture), COLOUR, elsewhere)
    a_picture().save("x.png")
    status, printed = run("x.png", "--model", str(elsewhere), "--format", "json")
    assert status == 0
    assert json.loads(printed)["model"] != json.loads(run("x.png", "--format", "json")[1])["model"]
    with pytest.raises(
        AbnError, match="model best: neither a file nor one of champion, candidate, refined, base"
    ):
        prediction.model_file("best")
