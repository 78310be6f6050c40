"""Compare the channels of the attention branch's convolutions before and after the refinement."""

from abn import atomic, paths
from abn.channels import table
from abn.channels.contributions import convolutions
from abn.data import prepared
from abn.model import checkpoint
from abn.stage import Stage, run
from abn.training import engine


def main(stage: Stage) -> None:
    """Write a row for each weight: raw, folded, contribution, change, rank."""
    params = stage.params
    data = prepared.load(paths.PREPARED)
    machine = engine.start(params.runtime, params.seed)
    rows = data.rows("test")[: params.channels.images]
    found = []
    for model in (paths.MODEL, paths.REFINED_MODEL):
        network, _ = checkpoint.load(model)
        found.append(convolutions(network, data, rows, machine))
    before, after = found
    compared = table.compare(before, after, data.classes)
    atomic.write_csv(paths.CHANNELS, compared, table.COLUMNS)
    largest = max((row for row in compared if row["conv"] == "map"), key=lambda r: abs(r["change"]))
    stage.log_metrics(
        {
            "images": len(rows),
            "most_changed_channel": largest["channel"],
            "most_changed_by": largest["change"],
        }
    )
    stage.log_artifact(paths.CHANNELS)


if __name__ == "__main__":
    run("analyze_channels", main)
