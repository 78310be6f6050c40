"""The channels' charts: the paper's bars, and whether interventions bear them out."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from abn.report import channel_claims, figures
from abn.report.channel_claims import MARKS
from abn.report.charts import Chart
from abn.report.evidence import Evidence
from abn.report.figures import AFTER, BEFORE, NEUTRAL, WRONG, Effect, Mark
from abn.report.findings import SIDES
from abn.report.statistics import Interval

MOST_CHANNELS, MOST_CELLS = 32, 25
"""Beyond these a chart shows the ones that matter most, and says so."""
LEVEL = 0.05
COLOURS = {"confirmed": AFTER, "refuted": WRONG, "undecided": None}
MARKED = (
    " Beside each bar: ✓ interventions bear out what it says, ✗ they refute it, – it can't be told."
)
BARS = {
    "weight": (
        "Weights, as in the paper",
        "weight of the convolution",
        "Raw weights of the convolution that makes the map from the class channels. A batch norm "
        "follows, so their size alone says little." + MARKED,
    ),
    "folded": (
        "Weights with batch norm folded in",
        "weight × scale of the batch norm",
        "The same with the batch norm folded in: what a channel's activation really counts for.",
    ),
    "contribution": (
        "Mean contribution to the map",
        "mean of folded weight × activation",
        "Weight times activation, averaged over test images: what each channel brings to the map.",
    ),
}
INTERVENTIONS = {
    "necessity_contrast": "contrast without it",
    "necessity_iou": "IoU without it",
    "necessity_accuracy": "accuracy without it",
    "sufficiency_contrast": "contrast by it alone",
    "sufficiency_iou": "IoU by it alone",
    "shapley": "Shapley value",
}
SERIES = {
    "necessity": (
        "What the map loses without a channel",
        "lost when mean-ablated",
        {"necessity_contrast": "contrast", "necessity_iou": "IoU"},
    ),
    "accuracy": (
        "What the classification loses without a channel",
        "accuracy lost when mean-ablated",
        {"necessity_accuracy": "accuracy"},
    ),
    "sufficiency": (
        "What a channel gains alone",
        "share of the gain recovered",
        {"sufficiency_contrast": "contrast", "sufficiency_iou": "IoU"},
    ),
    "shapley": (
        "Each channel's share in the gain",
        "contrast gained",
        {"shapley": "Shapley value"},
    ),
}
MAGNITUDES = {
    "weight": ("weight", AFTER),
    "weight_size": ("its size", BEFORE),
    "change_size": ("size of its change", NEUTRAL),
}
CAUSES = {"change_by_weight": "by the weight", "change_by_activation": "by the activation"}
FILLED = " Filled: not chance, corrected for the number of channels. Lines: 95 % intervals."


def channels(evidence: Evidence) -> Iterator[Chart]:
    """The paper's bars with a mark beside each, then what interventions say of each channel."""
    bars = channel_claims.of_map(evidence)
    shown, cut = _largest(bars["change"].abs().to_numpy(), MOST_CHANNELS, "channels")
    bars = bars.iloc[shown]
    yield from _weights(bars, cut)
    yield from _agreement(evidence)
    yield from _interventions(evidence, bars, cut)
    yield _causes(bars, cut)
    yield from _class_channels(evidence)


def _weights(bars: pd.DataFrame, cut: str) -> Iterator[Chart]:
    names, verdicts = channel_claims.names(bars), bars["verdict"].tolist()
    marks = [Mark(MARKS[verdict], COLOURS[verdict]) for verdict in verdicts]
    for measure, (title, quantity, caption) in BARS.items():
        before, after = (bars[f"{measure}_{side}"].tolist() for side in SIDES)
        columns = {"before": before, "after": after}
        marked = caption.endswith(MARKED)
        yield Chart(
            f"channels-{measure}", title, caption + cut,
            figures.channel_bars(names, before, after, quantity, marks if marked else ()),
            *_table(names, columns | (_said(bars) if marked else {})),
            channel_claims.spoken(bars) if marked else (),
        )  # fmt: skip


def _said(bars: pd.DataFrame) -> dict[str, list[Any]]:
    return {
        "effects that say it matters": bars["matters"].astype(int).tolist(),
        "that it does not": bars["matters_not"].astype(int).tolist(),
        "verdict": bars["verdict"].tolist(),
    }


def _agreement(evidence: Evidence) -> Iterator[Chart]:
    measured = evidence.analysed["agreement"]
    effects = []
    for size, (text, colour) in MAGNITUDES.items():
        found = [measured.get(size, {}).get(name) for name in INTERVENTIONS]
        intervals = [Interval(**one) if one else Interval(*[np.nan] * 3) for one in found]
        sure = [one.low > 0 or one.high < 0 for one in intervals]
        if any(found):
            effects.append(Effect(text, intervals, sure, colour))
    if effects:
        yield _effects(
            "channels-agreement", "Does a weight tell what its channel does?",
            "Rank correlation (Spearman) of what is read off the bars with what each intervention "
            "finds: 1 where the highest do most, 0 where they tell nothing. Lines: 95 % intervals "
            "over images; filled: they leave out 0.",
            list(INTERVENTIONS.values()), effects, "rank correlation",
        )  # fmt: skip


def _interventions(evidence: Evidence, bars: pd.DataFrame, cut: str) -> Iterator[Chart]:
    basis, names = channel_claims.basis(evidence), channel_claims.names(bars)
    bias = evidence.analysed.get("shapley_bias")
    rest = "" if bias is None else f", with {channel_claims.signed(bias)} of the bias"
    captions = {
        "necessity": (
            f"The refined model's channel gives every image what it gives on average; {basis}."
        ),
        "accuracy": "The perception branch gets the map without it; unedited test images.",
        "sufficiency": (
            "The base model gets this one contribution of the refined model: the share of the "
            f"whole gain that it recovers; {basis}."
        ),
        "shapley": (
            "Shapley values: what a channel adds to the contrast, averaged over all orders in "
            "which the channels could pass from the base to the refined model. They add up to the "
            f"gain{rest}."
        ),
    }
    for name, (title, quantity, series) in SERIES.items():
        effects = [
            _effect(bars, key, text, colour)
            for (key, text), colour in zip(series.items(), (AFTER, BEFORE), strict=False)
            if bars[key].notna().any()
        ]
        caption = captions[name] + FILLED + cut
        if effects:
            yield _effects(f"channels-{name}", title, caption, names, effects, quantity)


def _effect(bars: pd.DataFrame, key: str, text: str, colour: str) -> Effect:
    columns = bars[[key, f"{key}_low", f"{key}_high"]].to_numpy(float)
    sure = (bars[f"{key}_p"] < LEVEL).tolist()
    return Effect(text, [Interval(*row) for row in columns.tolist()], sure, colour)


def _effects(
    name: str, title: str, caption: str, names: list[str], effects: list[Effect], quantity: str
) -> Chart:
    columns = {
        f"{one.name}{end}": [interval[place] for interval in one.intervals]
        for one in effects
        for place, end in enumerate(("", ", from", ", to"))
    }
    return Chart(
        name, title, caption, figures.effects(names, effects, quantity), *_table(names, columns)
    )


def _causes(bars: pd.DataFrame, cut: str) -> Chart:
    names = channel_claims.names(bars)
    parts = {text: bars[key].tolist() for key, text in CAUSES.items()}
    levels = {
        f"{where} {side}": bars[f"{where}_{side}"].tolist()
        for where in ("inside", "outside")
        for side in SIDES
    }
    return Chart(
        "channels-causes", "What changed: the weight or the activation",
        "Change of each channel's contribution, inside minus outside, split by what caused it: its "
        "weight in the map's convolution, or its activation, which the layers below make." + cut,
        figures.stacked_bars(names, parts, "change of contribution, inside − outside"),
        *_table(names, parts | levels),
    )  # fmt: skip


def _class_channels(evidence: Evidence) -> Iterator[Chart]:
    table = evidence.channels[evidence.channels["conv"] == "classes"]
    if table.empty:
        return
    changes = table.pivot_table(index="output", columns="channel", values="change")
    outputs, out_cut = _largest(changes.abs().max(axis=1).to_numpy(), MOST_CELLS, "classes")
    inputs, in_cut = _largest(changes.abs().max(axis=0).to_numpy(), MOST_CELLS, "input channels")
    classes = evidence.prepared.classes
    values = changes.to_numpy()[np.ix_(outputs, inputs)]
    rows, columns = [classes[index] for index in outputs], [str(index) for index in inputs]
    yield Chart(
        "channels-classes", "Change of the class convolution",
        "The attention branch's 1×1 convolution to classes: folded weight after − before, by class "
        f"and input channel.{out_cut}{in_cut}",
        figures.heat(values, rows, columns, ("class", "channel"), diverging=True),
        ["class", *columns],
        [[name, *row] for name, row in zip(rows, values.tolist(), strict=True)],
    )  # fmt: skip


def _table(
    names: Sequence[str], columns: dict[str, list[Any]]
) -> tuple[list[str], list[list[Any]]]:
    rows = [list(row) for row in zip(names, *columns.values(), strict=True)]
    return ["", *columns], rows


def _largest(values: NDArray[Any], most: int, what: str) -> tuple[list[int], str]:
    if len(values) <= most:
        return list(range(len(values))), ""
    order = np.argsort(-values, kind="stable")[:most]
    cut = f" The {most} {what} of {len(values)} that changed most."
    return [int(index) for index in np.sort(order)], cut
