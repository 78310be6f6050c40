import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from abn import paths
from abn.report import evidence, findings
from tests.report.artefacts import Recipe
from tests.report.conftest import Read


def test_a_good_run_is_told_as_one(read: Read) -> None:
    """Attention moved, within the allowed cost, beyond what is free: three times yes."""
    found = findings.find(read())
    assert [check.outcome for check in found.checks] == ["yes", "yes", "yes"]
    assert found.verdict == "The attention moved onto the objects, for 4.4 points of accuracy."
    assert found.baselines == {"best constant map": 0.34, "class-mean mask": 0.35}


def test_a_run_that_moved_nothing_says_so(read: Read) -> None:
    """Where the alignment is the same before and after, the attention did not move."""
    params = read().params
    table = pd.read_csv(paths.REFINED / "samples.csv")
    table["after_alignment"] = table["before_alignment"]
    table.to_csv(paths.REFINED / "samples.csv", index=False)
    found = findings.find(evidence.read(params))
    assert found.checks[0].outcome == "no"
    assert found.verdict == "The attention did not move onto the objects."


def test_alignment_that_a_constant_map_reaches_is_not_called_real(read: Read) -> None:
    """An IoU below a cheap baseline is no success, however much it rose."""
    params = read().params
    _change_metrics(lambda metrics: metrics["baselines"]["test"]["constant_map"].update(iou=0.9))
    found = findings.find(evidence.read(params))
    assert found.checks[2].outcome == "no"
    assert "no further than a map that costs nothing" in found.verdict


def test_a_cost_beyond_what_is_allowed_is_in_the_verdict(read: Read) -> None:
    """Where no epoch qualified, the first screen says that it cost too much."""
    params = read().params
    _change_metrics(lambda metrics: metrics.update(qualified=0))
    found = findings.find(evidence.read(params))
    assert found.checks[1].outcome == "no"
    assert "No epoch stayed within that" in found.checks[1].answer
    assert found.verdict.endswith("more than allowed.")


def test_without_masks_all_rests_on_the_held_out_edits(read: Read) -> None:
    """Without masks the figures come from held-out edits, and on how many is said."""
    found = findings.find(read(Recipe(masks=False, origin="annotation")))
    assert [figure.basis for figure in found.figures] == [
        "6 edited images kept out of the fine-tuning",
        "180 unedited test images",
        "6 edited images kept out of the fine-tuning",
    ]
    assert [check.outcome for check in found.checks] == ["yes", "yes", "unknown"]
    assert "All rests on 6 held-out edited images." in found.checks[2].answer


def test_without_masks_and_held_out_edits_nothing_is_claimed(read: Read) -> None:
    """What was not measured is not told as a success."""
    found = findings.find(read(Recipe(masks=False, holdout=False, origin="annotation")))
    assert found.verdict == "Whether the attention moved was not measured."
    assert [figure.name for figure in found.figures] == ["Accuracy"]


def test_a_simulated_annotator_is_never_a_person(read: Read) -> None:
    """Simulated edits are called simulated, a person's are counted by person."""
    assert findings.find(read()).annotator == (
        "48 maps edited by a simulated annotator, not by people"
    )
    two = Recipe(origin="annotation", annotators=("1", "1+2"))
    assert findings.find(read(two)).annotator == "48 maps edited by 2 annotators"


def test_edits_made_wrong_on_purpose_are_called_a_control(read: Read) -> None:
    """A run with wrong or shuffled feedback can't be taken for a real one."""
    known = read().params.edits
    simulated = known.simulated.model_copy(update={"feedback": "shuffled"})
    found = findings.find(read(edits={"simulated": simulated}))
    assert found.control == "This run is a control: the simulated edits are shuffled on purpose."


def test_the_distance_to_held_out_edits_is_the_stages_own(read: Read) -> None:
    """The change computed from maps and targets is that between the stage's two figures."""
    distance = findings.find(read()).figures[2]
    assert distance.before is not None
    assert distance.after is not None
    assert distance.change is not None
    assert distance.change.value == pytest.approx(distance.after - distance.before, rel=1e-3)
    assert distance.change.high < 0
    assert not np.isnan(distance.change.low)


def _change_metrics(change: Callable[[dict[str, Any]], None]) -> None:
    path = paths.metrics_file("finetune_attention")
    metrics = json.loads(path.read_text())
    change(metrics)
    path.write_text(json.dumps(metrics))
