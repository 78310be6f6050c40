"""Compare the channels of the attention branch's convolutions before and after the refinement."""

from abn import atomic, paths
from abn.channels import claims, findings, held_out, table
from abn.channels.contributions import convolutions, observe
from abn.channels.effects import measure
from abn.channels.inference import Bootstrap
from abn.data import edited, prepared
from abn.model import checkpoint
from abn.stage import Stage, run
from abn.training import engine


def main(stage: Stage) -> None:
    """Write a row for each weight, and what interventions say of the map's channels."""
    params, seed = stage.params.channels, stage.seed
    data = prepared.load(paths.PREPARED)
    edits = edited.load(paths.EDITS, data)
    machine = engine.start(stage.params.runtime, seed)
    images = held_out.choose(data, edits, params.images)
    base, refined = (checkpoint.load(model)[0] for model in (paths.MODEL, paths.REFINED_MODEL))
    observed = (
        observe(base, data, images.rows, machine),
        observe(refined, data, images.rows, machine),
    )
    tests = len(images.labels)
    before = convolutions(base.attention_branch, observed[0], tests)
    after = convolutions(refined.attention_branch, observed[1], tests)

    effects = measure(observed, refined.perception_branch, images, params, seed, machine)
    bars = table.bars(before["map"], after["map"])
    read = claims.judge(bars["weight"], findings.on_alignment(effects))
    bootstrap = Bootstrap(params.resamples, seed)
    measured = findings.columns(effects, read, bootstrap)
    rows = table.compare(before, after, data.classes, measured)
    atomic.write_csv(paths.CHANNELS, rows, [*table.COLUMNS, *measured])
    largest = max((row for row in rows if row["conv"] == "map"), key=lambda r: abs(r["change"]))
    stage.log_metrics(
        {
            "images": tests,
            "most_changed_channel": largest["channel"],
            "most_changed_by": largest["change"],
            "judged_by": images.by,
            **findings.summary(effects, read, bars, data.classes, bootstrap),
        }
    )
    stage.log_artifact(paths.CHANNELS)


if __name__ == "__main__":
    run("analyze_channels", main)
