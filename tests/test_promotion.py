"""Champions: what makes one, what is said, and what happens when several are made at once."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from mlflow import MlflowClient
from PIL import Image
from typer.testing import CliRunner

from abn import promotion
from abn.cli import app
from abn.errors import AbnError
from abn.params import Params, Promote
from abn.tracking import registry, server
from abn.tracking.registry import CANDIDATE, CHAMPION, Version
from tests.tracking.registered import GOOD, a_model, names, send

GATES = Promote(max_accuracy_drop=0.01, min_alignment=0.5, min_alignment_gain=0.05)
WITHOUT_MASKS = {
    "before.val.accuracy": 0.87,
    "after.val.accuracy": 0.865,
    "before.held_out.iou": 0.2,
    "after.held_out.iou": 0.8,
}


@pytest.fixture(autouse=True)
def repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_database: Path, tiny_params: Params
) -> Path:
    """A repository with params and an empty database, with the tests' process standing in it."""
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    shutil.copy(empty_database, "mlflow.db")
    values = tiny_params.model_dump() | {"promote": GATES.model_dump()}
    Path("params.yaml").write_text(yaml.safe_dump(values))
    return tmp_path


def a_version(number: int = 2, data: str = "d", **measured: float) -> Version:
    """A version that passes every gate, but for what is said otherwise: dots are two underlines."""
    changed = {name.replace("__", "."): value for name, value in measured.items()}
    return Version(str(number), f"{number:064}", data, number, "", GOOD | changed)


def run(*arguments: str) -> tuple[int, str]:
    """Run abn promote; give its exit status and what it printed."""
    done = CliRunner().invoke(app, ["promote", *arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout


# The gates.


def test_a_good_model_without_a_champion_before_it_is_promoted() -> None:
    """Every gate is told with its numbers, its limit and the parameter."""
    decision = promotion.judge(a_version(), None, GATES)
    assert decision.promoted
    told = [text for passed, text in decision.checks if passed]
    assert told == [
        (
            "accuracy 0.8650, -0.0050 against its base model's 0.8700; -0.0100 is allowed "
            "(promote.max_accuracy_drop)"
        ),
        "alignment 0.8000 with the masks; 0.5000 is needed (promote.min_alignment)",
        (
            "alignment gained +0.6000 over its base model's 0.2000; +0.0500 is needed "
            "(promote.min_alignment_gain)"
        ),
        (
            "alignment 0.8000 against 0.3300, which the best constant map reaches for nothing; "
            "it must be higher"
        ),
        (
            "alignment 0.8000 against 0.3400, which its class's mean mask reaches for nothing; "
            "it must be higher"
        ),
        "there is no champion to beat",
    ]


@pytest.mark.parametrize(
    ("measured", "reason"),
    [
        ({"after__val__accuracy": 0.8599}, "promote.max_accuracy_drop"),
        ({"after__val__iou": 0.49}, "promote.min_alignment"),
        ({"before__val__iou": 0.76}, "promote.min_alignment_gain"),
        ({"baselines__val__class_mean_mask__iou": 0.8}, "mean mask reaches for nothing"),
    ],
)
def test_each_gate_alone_refuses(measured: dict[str, float], reason: str) -> None:
    """One figure just beyond its limit, all others good."""
    decision = promotion.judge(a_version(**measured), None, GATES)
    assert not decision.promoted
    failed = [text for passed, text in decision.checks if not passed]
    assert len(failed) == 1
    assert reason in failed[0]


def test_a_drop_of_just_what_is_allowed_is_allowed() -> None:
    """0.87 − 0.86 is more than 0.01 in binary, and not to a person."""
    assert promotion.judge(a_version(after__val__accuracy=0.86), None, GATES).promoted


def test_without_masks_held_out_edits_are_what_is_measured_with() -> None:
    """And nothing is asked of baselines, which such a data set does not have."""
    version = a_version()._replace(measured=WITHOUT_MASKS)
    decision = promotion.judge(version, None, GATES)
    assert decision.promoted
    assert "alignment 0.8000 with held-out edits" in decision.checks[1].text
    assert not any("for nothing" in text for _, text in decision.checks)


def test_what_was_not_measured_passes_no_gate() -> None:
    """A version without figures, as of somebody's own making, is refused with both reasons."""
    decision = promotion.judge(a_version()._replace(measured={}), None, GATES)
    failed = [text for passed, text in decision.checks if not passed]
    assert not decision.promoted
    assert failed[0].startswith("accuracy on validation was not recorded")
    assert failed[1].startswith("alignment was not measured")


# Against the champion.


@pytest.mark.parametrize(
    ("champion", "promoted"),
    [
        (a_version(1, after__val__iou=0.79), True),
        (a_version(1, after__val__iou=0.8), False),
        (a_version(1, after__val__iou=0.81), False),
        (a_version(1, after__val__iou=0.7, after__val__accuracy=0.875), True),
        (a_version(1, after__val__iou=0.7, after__val__accuracy=0.876), False),
    ],
)
def test_a_champion_is_beaten_by_alignment_at_no_cost_in_accuracy(
    champion: Version, promoted: bool
) -> None:
    """Higher alignment, and no more accuracy lost than the gate allows."""
    decision = promotion.judge(a_version(), champion, GATES)
    assert decision.promoted == promoted
    assert "version 1 (abn-000000000000)" in " ".join(text for _, text in decision.checks)


@pytest.mark.parametrize(
    ("champion", "reason"),
    [
        (a_version(1, data="other"), "was measured on other data (other, this one on d)"),
        (a_version(1)._replace(measured=WITHOUT_MASKS), "measured with the masks, that of"),
        (a_version(1)._replace(measured={}), "nothing to compare with"),
    ],
)
def test_what_cannot_be_compared_is_refused_unless_it_is_not_to_be(
    champion: Version, reason: str
) -> None:
    """Other data, another measure, no figures: the reason, and how to do without; gates hold."""
    refused = promotion.judge(a_version(), champion, GATES)
    assert not refused.promoted
    assert reason in refused.checks[-1].text
    assert "abn promote --no-compare" in refused.checks[-1].text
    assert promotion.judge(a_version(), champion, GATES, compare=False).promoted
    bad = a_version(after__val__iou=0.1)
    assert not promotion.judge(bad, champion, GATES, compare=False).promoted


# The command.


def test_from_candidate_to_champion() -> None:
    """No candidate, promoted, again, beaten by a better one, not by a worse one; named by number.

    What is said ends with what is so now; the exit status is 1 where it was refused.
    """
    with pytest.raises(AbnError, match="has no candidate"):
        promotion.promote(GATES, "abn")
    a_model(1)
    send()
    status, said = run()
    assert status == 0
    assert said.splitlines()[-1].startswith("version 1 (abn-")
    assert said.splitlines()[-1].endswith(") is champion")
    assert names() == {CANDIDATE: "1", CHAMPION: "1"}
    assert run() == (0, said.splitlines()[-1] + " already; nothing to do\n")

    a_model(2, GOOD | {"after.val.iou": 0.7})
    send()
    status, said = run()
    assert status == 1
    assert "no  alignment 0.7000 against the champion's 0.8000 (version 1" in said
    assert said.splitlines()[-1].endswith("stays champion")
    assert names() == {CANDIDATE: "2", CHAMPION: "1"}

    a_model(3, GOOD | {"after.val.iou": 0.9})
    send()
    assert run()[0] == 0
    assert names() == {CANDIDATE: "3", CHAMPION: "3"}
    assert run("--version", "1")[0] == 1
    assert run("--version", "1", "--no-compare")[0] == 0
    assert names() == {CANDIDATE: "3", CHAMPION: "1"}
    with pytest.raises(AbnError, match="no version 7 of this pipeline; there are: 1, 2, 3"):
        promotion.promote(GATES, "abn", "7")


def test_a_server_that_is_down_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line with the address, and no password."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(AbnError, match=r"^MLflow at http://127\.0\.0\.1:9: ") as caught:
        promotion.promote(GATES, "abn")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("others", "stays"), [(0.9, "2"), (0.85, "3")])
def test_somebody_else_promotes_at_the_same_moment(
    monkeypatch: pytest.MonkeyPatch, others: float, stays: str
) -> None:
    """Their champion, set just after ours, is compared anew: the better of the two stays."""
    for seed, alignment in ((1, 0.6), (2, others), (3, 0.88)):
        a_model(seed, GOOD | {"after.val.iou": alignment}, started=1000 * seed)
        send()
    assert run("--version", "1")[0] == 0
    set_alias, others_turn = MlflowClient.set_registered_model_alias, ["2"]

    def overtaken(self: MlflowClient, name: str, alias: str, number: str) -> None:
        set_alias(self, name, alias, number)
        if others_turn:
            set_alias(self, name, alias, others_turn.pop())

    monkeypatch.setattr(MlflowClient, "set_registered_model_alias", overtaken)
    decision = promotion.promote(GATES, "abn")
    assert names()[CHAMPION] == stays
    assert decision.promoted == (stays == "3")


def test_the_champion_predicts() -> None:
    """`abn predict --model champion` is the registered model, whatever lies in the tree now."""
    a_model(1)
    send()
    assert run()[0] == 0
    pixels = np.arange(24 * 24).reshape(24, 24).astype(np.uint8)
    Image.fromarray(pixels).save("x.png")
    first = predicted("refined")
    a_model(2)
    send()
    assert predicted("champion") == first
    assert predicted("candidate") == predicted("refined") != first


def predicted(model: str) -> Any:
    done = CliRunner().invoke(app, ["predict", "x.png", "--format", "json", "--model", model])
    assert done.exit_code == 0, done.exception
    return done.stdout


def test_a_promotion_needs_no_run_that_is_still_there() -> None:
    """Figures lie with the version: a run that somebody deleted is not asked for."""
    a_model(1)
    send()
    client = server.connect()
    for one in client.search_runs([server.experiment(client, "abn")]):
        client.delete_run(one.info.run_id)
    assert run()[0] == 0
    assert registry.aliases(client, "abn")[CHAMPION] == "1"
