"""The channels' part of the page: bars, marks, effects and words."""

import json
from dataclasses import replace

import pandas as pd
from markupsafe import escape

from abn.report import channel_charts, channel_claims, page
from abn.report.evidence import Evidence
from tests.report.artefacts import HOSTILE, Recipe
from tests.report.conftest import Read

CHARTS = [
    *("channels-weight", "channels-folded", "channels-contribution", "channels-agreement"),
    *("channels-necessity", "channels-accuracy", "channels-sufficiency", "channels-shapley"),
    *("channels-causes", "channels-classes"),
]


def _bars(evidence: Evidence) -> pd.DataFrame:
    return evidence.channels[evidence.channels["conv"] == "map"]


def _changed(evidence: Evidence, **columns: object) -> Evidence:
    table = evidence.channels.copy()
    for name, values in columns.items():
        table.loc[table["conv"] == "map", name] = values
    return replace(evidence, channels=table)


def test_the_papers_bars_come_first_then_what_interventions_say(read: Read) -> None:
    """Weights before and after, then agreement, the interventions, the causes."""
    assert [chart.name for chart in channel_charts.channels(read())] == CHARTS


def test_beside_each_bar_stands_its_verdict(read: Read) -> None:
    """As a mark in the figure, a word in the table, and a sentence for a screen reader."""
    evidence = read()
    verdicts = _bars(evidence)["verdict"].tolist()
    assert set(verdicts) == {"confirmed", "refuted", "undecided"}
    chart = next(channel_charts.channels(evidence))
    marks = [one.text for one in chart.figure.layout.annotations]
    assert marks == [channel_claims.MARKS[verdict] for verdict in verdicts]
    assert [one.y for one in chart.figure.layout.annotations] == list(range(len(verdicts)))
    assert [row[-1] for row in chart.rows] == verdicts
    assert len(chart.notes) == len(verdicts)
    text = page.render(evidence)
    for note, name in zip(chart.notes, _bars(evidence)["name"], strict=True):
        assert note.startswith(f"{name}: ")
        assert f"<li>{escape(note)}</li>" in text


def test_effects_carry_their_intervals_and_what_may_be_chance_is_open(read: Read) -> None:
    """The whiskers end where the table's interval does; the mark is filled by the p-value."""
    evidence = read()
    bars = _bars(evidence)
    charts = {chart.name: chart for chart in channel_charts.channels(evidence)}
    contrast = charts["channels-necessity"].figure.data[0]
    high = [value + error for value, error in zip(contrast.x, contrast.error_x.array, strict=True)]
    assert pd.Series(high).round(6).tolist() == (bars["necessity_contrast_high"].round(6).tolist())
    filled = [symbol == "circle" for symbol in contrast.marker.symbol]
    assert filled == (bars["necessity_contrast_p"] < 0.05).tolist()
    assert True in filled
    assert False in filled


def test_words_count_and_name_what_is_borne_out(read: Read) -> None:
    """Every channel stands in one of the three lines, the highest weights first."""
    evidence = _changed(
        read(),
        verdict=["confirmed", "confirmed", "refuted", "confirmed", "confirmed", "confirmed"],
        high_weight=[1, 0, 0, 1, 0, 0],
        weight_after=[0.5, 0.1, 0.2, -0.9, 0.1, 0.1],
    )
    assert channel_claims.read(evidence).verdicts == [
        ("✓", "5 of 6 borne out: high weight Ring, Circle; low weight Square, Bar, Diamond"),
        ("✗", "1 of 6 refuted: low weight Cross"),
        ("–", "none undecided"),
    ]


def test_the_sentence_follows_the_interval(read: Read) -> None:
    """Above 0, below 0, around it, or not measured: four sentences."""
    evidence = read()
    sentences = []
    for low, high in ((0.3, 0.7), (-0.7, -0.3), (-0.2, 0.3)):
        agreed = {"necessity_contrast": {"value": (low + high) / 2, "low": low, "high": high}}
        changed = evidence.analysed | {"agreement": {"weight": agreed}}
        sentences.append(channel_claims.read(replace(evidence, analysed=changed)).agreement)
    unknown = replace(evidence, analysed=evidence.analysed | {"agreement": {"weight": {}}})
    sentences.append(channel_claims.read(unknown).agreement)
    starts = (
        "High weights tend to be where the map relies most",
        "High weights tend to be where the map relies least",
        "A weight does not tell",
        "How far the weights",
    )
    for sentence, start in zip(sentences, starts, strict=True):
        assert sentence.startswith(start)
    assert "+0.50 (95 % interval over images +0.30 to +0.70)" in sentences[0]
    assert "through these weights" in sentences[0]
    assert escape(channel_claims.read(evidence).agreement) in page.render(evidence)


def test_without_masks_the_words_say_what_they_rest_on(read: Read) -> None:
    """Edited images held out, and how many; where nothing was gained no share is drawn."""
    evidence = read(Recipe(masks=False, origin="annotation"))
    assert "12 edited images" in channel_claims.read(evidence).rule
    nothing = dict.fromkeys(
        f"sufficiency_{of}{end}" for of in ("contrast", "iou") for end in ("", "_low", "_high")
    )
    names = [chart.name for chart in channel_charts.channels(_changed(evidence, **nothing))]
    assert names == [name for name in CHARTS if name != "channels-sufficiency"]


def test_of_many_channels_those_that_changed_most_are_shown(read: Read) -> None:
    """At most 32 bars, and it is said; sentences name six and count the rest."""
    evidence = read(Recipe(classes=[f"class {n}" for n in range(60)]))
    shown = next(channel_charts.channels(evidence))
    assert len(shown.rows) == len(shown.notes) == len(shown.figure.layout.annotations) == 32
    assert "The 32 channels of 60 that changed most." in shown.caption
    assert any(" more" in text for _, text in channel_claims.read(evidence).verdicts)
    assert len(page.render_text(evidence)) < 10_000


def test_names_stay_text_in_marks_and_effects(read: Read) -> None:
    """No tag of a class's name reaches a label of plotly's."""
    for chart in channel_charts.channels(read(Recipe(classes=HOSTILE))):
        assert "<script" not in json.dumps(json.loads(chart.figure.to_json()))
