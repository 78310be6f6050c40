"""The report as one HTML page without network, and in short as Markdown.

Both are functions of the evidence alone: the same evidence gives the same bytes.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterator
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from abn.report import (
    annotators,
    channel_charts,
    channel_claims,
    charts,
    figures,
    findings,
    gallery,
    measures,
    recipes,
    rounds,
)
from abn.report.evidence import Evidence
from abn.report.findings import SIDES

STAGE_TEXT = {
    "prepare": "Images, labels and masks as one set",
    "train_abn": "Train the attention branch network",
    "export_attention": "Maps of all images; choose which to edit",
    "import_edits": "Take in the edited maps",
    "finetune_attention": "Teach the attention branch the edits",
    "analyze_channels": "Which channels make the map",
    "report": "This page",
}


def render(evidence: Evidence) -> str:
    """Give report.html."""
    cards = gallery.choose(evidence)
    sections = _sections(evidence)
    return _environment().get_template("page.html.j2").render(
        **_words(evidence),
        hero=gallery.typical(evidence),
        gallery=cards,
        kinds=gallery.KINDS,
        sections=sections,
        measures=measures.table(evidence, recipes.read(evidence)),
        baselines=measures.BASELINES,
        params=_params(evidence),
        params_digest=_params_digest(evidence),
        figures={
            chart.name: json.loads(chart.figure.to_json())
            for _, _, shown in sections for chart in shown
        },
        plotly=Markup(figures.library()),  # noqa: S704 (the library, not data)
        flow=_flow(evidence),
        sparkline=_sparkline(evidence.training.get("val_accuracy", pd.Series(dtype=float))),
        bars=_bars(evidence),
        channel_claims=channel_claims.read(evidence),
    )  # fmt: skip


def render_text(evidence: Evidence) -> str:
    """Give report.md."""
    text = (
        _environment()
        .get_template("report.md.j2")
        .render(
            **_words(evidence),
            flow=_flow(evidence),
            rounds=list(rounds.charts(evidence)),
            channel_claims=channel_claims.read(evidence),
            splits=[chart for chart in charts.splits(evidence) if chart.name.endswith("-splits")],
        )
    )
    return re.sub(r"\n{3,}", "\n\n", text)


def _words(evidence: Evidence) -> dict[str, Any]:
    found = recipes.read(evidence)
    return {
        "evidence": evidence,
        "findings": findings.find(evidence),
        "recipes": found,
        "comparison": recipes.rows(found),
        "rivals": recipes.rivals(found),
        "editing": annotators.read(evidence),
    }


def _sections(evidence: Evidence) -> list[tuple[str, str, list[charts.Chart]]]:
    return [
        ("rounds", "Rounds", list(rounds.charts(evidence))),
        ("splits", "Before and after", list(charts.splits(evidence))),
        ("price", "What alignment costs", list(charts.price(evidence))),
        ("channels", "Channels of the map", list(channel_charts.channels(evidence))),
        ("predictions", "Predictions", list(charts.predictions(evidence))),
        ("training", "Training", [] if evidence.earlier else list(charts.training(evidence))),
    ]


def flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield each leaf of nested parameters as (dotted key, value)."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", json.dumps(value, ensure_ascii=False)


def _params(evidence: Evidence) -> list[tuple[str, list[tuple[str, str]]]]:
    """Parameters by section; those of none first."""
    sections: dict[str, list[tuple[str, str]]] = {"": []}
    for key, value in flat(_shown_params(evidence)):
        section, _, name = key.partition(".") if "." in key else ("", "", key)
        sections.setdefault(section, []).append((name, value))
    return [(section, values) for section, values in sections.items() if values]


def _params_digest(evidence: Evidence) -> str:
    text = json.dumps(_shown_params(evidence), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _shown_params(evidence: Evidence) -> dict[str, Any]:
    return evidence.params.model_dump(exclude={"tracking"})


def _flow(evidence: Evidence) -> list[dict[str, Any]]:
    lines = dict(_flow_lines(evidence))
    return [
        {"stage": stage, "text": text, "lines": lines.get(stage, [])}
        for stage, text in STAGE_TEXT.items()
    ]


def _flow_lines(evidence: Evidence) -> Iterator[tuple[str, list[str]]]:
    images, accepted = len(evidence.samples), evidence.accepted
    splits = evidence.samples["split"].value_counts(sort=False)
    yield (
        "prepare",
        [
            f"{images:,} images, {len(evidence.prepared.classes):,} classes",
            " · ".join(f"{count:,} {split}" for split, count in splits.items()),
        ],
    )
    trained, base = evidence.trained, evidence.params.model.base
    yield (
        "train_abn",
        [
            f"accuracy {_percent(trained.get('val', {}).get('accuracy'))} on validation",
            f"epoch {trained.get('best_epoch', '–')} of {trained.get('epochs', '–')} kept"
            if base is None
            else f"round {base}'s refined network, not trained",
        ],
    )
    grid = "×".join(map(str, evidence.maps_before.shape[1:]))
    yield "export_attention", [f"{images:,} maps of {grid} cells"]
    simulated = ", simulated" if evidence.simulated else ""
    yield (
        "import_edits",
        [
            f"{len(accepted):,} maps edited{simulated}",
            f"{_percent(_median(accepted['changed']))} of a map changed",
        ],
    )
    yield (
        "finetune_attention",
        [
            f"epoch {evidence.finetuned.get('best_epoch', '–')} kept",
            f"{int((accepted['role'] != 'finetune').sum()):,} edits held out",
        ],
    )
    yield "analyze_channels", [f"most changed: {_most_changed(evidence)}"]


def _most_changed(evidence: Evidence) -> str:
    bars = evidence.channels[evidence.channels["conv"] == "map"]
    row = bars.iloc[int(bars["change"].abs().to_numpy().argmax())]
    return str(row["name"]) if pd.notna(row["name"]) else f"channel {row['channel']}"


def _sparkline(values: "pd.Series[float]") -> str:
    """Points of an SVG polyline in a box of 100×100."""
    known = values.dropna().to_numpy()
    if len(known) < 2:
        return ""
    low, span = float(known.min()), float(known.max() - known.min()) or 1.0
    return " ".join(
        f"{10 + 80 * i / (len(known) - 1):.1f},{85 - 70 * (float(v) - low) / span:.1f}"
        for i, v in enumerate(known)
    )


def _bars(evidence: Evidence) -> list[dict[str, float | str]]:
    """Boxes of an SVG of 100×100: the first channels' folded weights, before and after."""
    bars = evidence.channels[evidence.channels["conv"] == "map"].head(8)
    values = bars[[f"folded_{side}" for side in SIDES]].to_numpy()
    largest = float(abs(values).max(initial=0.0)) or 1.0
    step = 84 / max(len(values), 1)
    return [
        {
            "x": round(8 + channel * step + side * step * 0.42, 1),
            "y": round(50 - max(float(value), 0.0) / largest * 40, 1),
            "width": round(step * 0.38, 1),
            "height": round(abs(float(value)) / largest * 40, 1),
            "side": SIDES[side],
        }
        for channel, pair in enumerate(values)
        for side, value in enumerate(pair)
    ]


def _median(values: "pd.Series[float]") -> float | None:
    known = values.dropna()
    return None if known.empty else float(known.median())


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("abn.report"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {
        "percent": _percent, "decimal": _decimal, "points": findings.points, "cell": _cell,
        "signed": _signed, "place": _place, "markdown": _markdown,
    }  # fmt: skip
    return environment


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


def _decimal(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def _place(value: float) -> str:
    """A share as a place along a ruler, for CSS."""
    return f"{100 * min(max(value, 0.0), 1.0):.2f}%"


def _cell(value: Any) -> str:
    """A cell of a table of numbers."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _markdown(text: Any) -> Markup:
    """Escape text from data for a table cell of GitHub's Markdown."""
    plain = " ".join(str(text).split())
    escaped = re.sub(r"([\\`*_{}\[\]()#+!|~<>&@:-])", lambda found: f"&#{ord(found[0])};", plain)
    return Markup(escaped)  # noqa: S704 (escaped here)
