"""The metrics by which runs and models are compared, by the names that the stages gave them."""

SIDES = ("before", "after")

HEADLINES = tuple(
    name.format(side)
    for side in reversed(SIDES)
    for name in (
        "{}.test.iou", "{}.test.accuracy", "{}.test_shifted.accuracy", "{}.held_out.iou",
        "attention_mse.{}.report", "{}.val.iou", "{}.val.accuracy",
    )
)  # fmt: skip
"""Of a pipeline's run: few, so that a page that compares runs shows them all, and first what was
reached. The report and each stage's own run have the others."""

VALIDATION = (
    *(f"{side}.{where}" for where in ("val.accuracy", "val.iou", "held_out.iou") for side in SIDES),
    *(f"baselines.val.{map_}.iou" for map_ in ("constant_map", "class_mean_mask")),
)  # fmt: skip
"""Of a registered model: what it is promoted by."""
