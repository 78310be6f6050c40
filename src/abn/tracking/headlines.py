"""The metrics by which runs and models are compared, by the names that the stages gave them."""

SIDES = ("before", "after")

HEADLINES = (
    *(f"{side}.{split}.{metric}"
      for split in ("test", "val") for metric in ("iou", "accuracy") for side in SIDES),
    *(f"{side}.held_out.iou" for side in SIDES),
    *(f"{side}.test_shifted.accuracy" for side in SIDES),
    *(f"attention_mse.{side}.report" for side in SIDES),
)  # fmt: skip
"""Of a pipeline's run: few, so that a page that compares runs shows them all; the report and each
stage's own run have the others."""

VALIDATION = (
    *(f"{side}.{where}" for where in ("val.accuracy", "val.iou", "held_out.iou") for side in SIDES),
    *(f"baselines.val.{map_}.iou" for map_ in ("constant_map", "class_mean_mask")),
)  # fmt: skip
"""Of a registered model: what it is promoted by."""
