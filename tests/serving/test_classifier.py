"""What a service makes of images, against what ``abn predict`` says of the same files."""

import base64
import json
from pathlib import Path

import numpy as np
import pytest

from abn import prediction
from abn.errors import AbnError
from abn.model import checkpoint
from abn.params import Params
from abn.prediction import Prediction
from abn.serving.classifier import AT_ONCE, Classifier
from abn.training import engine
from tests.serving.rig import CARD, SIDE, a_picture, png, write_model


@pytest.fixture
def classifier(tmp_path: Path) -> Classifier:
    return Classifier(write_model(tmp_path / "abn.safetensors"), "cpu")


def test_images_are_classified_as_abn_predict_does(
    classifier: Classifier, tmp_path: Path, tiny_params: Params
) -> None:
    """The same class and confidence for files, in one batch and over the edge of a batch."""
    files = [tmp_path / f"{n}.png" for n in range(AT_ONCE + 3)]
    for n, file in enumerate(files):
        file.write_bytes(png(a_picture(n, SIDE + n)))
    network, card = checkpoint.load(tmp_path / "abn.safetensors")
    machine = engine.start(tiny_params.runtime, 1)
    expected = list(prediction.predict(network, card, files, machine))
    answers = classifier.classify([{"image": file.read_bytes()} for file in files])
    for one, answer in zip(expected, answers, strict=True):
        assert isinstance(one, Prediction)
        assert answer["class"] == one.class_name
        assert answer["confidence"] == pytest.approx(one.confidence, abs=2e-6)


def test_an_answer_is_plain_and_whole(classifier: Classifier) -> None:
    """JSON with every class's probability, which sum to one, and a map of the network's grid."""
    (answer,) = classifier.classify([{"image": png(a_picture())}])
    assert json.loads(json.dumps(answer)) == answer
    assert list(answer["probabilities"]) == CARD.classes
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert max(answer["probabilities"].values()) == answer["confidence"]
    assert answer["probabilities"][answer["class"]] == answer["confidence"]
    attention = np.array(answer["attention"])
    assert attention.shape == (SIDE // 2, SIDE // 2)
    assert 0 <= attention.min() < attention.max() <= 1


def test_bytes_base64_and_pixels_are_one_image(classifier: Classifier) -> None:
    """However it comes: a file, its base64, its values as array, as lists, with a channel axis."""
    pixels = a_picture()
    forms = [
        {"image": png(pixels)},
        {"image": base64.b64encode(png(pixels)).decode()},
        {"image": base64.encodebytes(png(pixels))},
        {"image": png(pixels), "pixels": None},
        {"image": float("nan"), "pixels": pixels},
        {"pixels": pixels.tolist()},
        {"pixels": pixels[..., None]},
        {"pixels": np.stack([pixels] * 3, -1)},
    ]
    first, *others = classifier.classify(forms)
    assert others == [first] * 7


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({}, "give either image or pixels"),
        ({"image": b"x", "pixels": [[1]]}, "give either image or pixels"),
        ({"image": b"no image"}, "not an image, or of a kind that Pillow does not read"),
        ({"image": b""}, "not an image, or of a kind that Pillow does not read"),
        ({"image": "a"}, "not base64"),
        ({"pixels": [[0, 256]]}, "pixels must lie between 0 and 255"),
        ({"pixels": [[0, float("nan")]]}, "pixels must lie between 0 and 255"),
        ({"pixels": [1, 2]}, r"pixels of shape \(2,\) are neither"),
        ({"pixels": [[[1, 2]]]}, r"pixels of shape \(1, 1, 2\) are neither"),
        ({"pixels": [["a"]]}, "pixels hold no numbers"),
        ({"pixels": [[1], [1, 2]]}, "inhomogeneous"),
    ],
)
def test_what_is_no_image_is_told_by_its_row(
    classifier: Classifier, row: dict[str, object], reason: str
) -> None:
    """The row's number and the reason, and no half an answer."""
    with pytest.raises(AbnError, match=f"^row 1: .*{reason}"):
        classifier.classify([{"image": png(a_picture())}, row])


def test_no_images_give_no_answers(classifier: Classifier) -> None:
    """An empty request is no error."""
    assert classifier.classify([]) == []
