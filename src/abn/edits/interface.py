"""The labelling interface: the names that tasks, edits and the project in Label Studio share."""

from typing import Any

IMAGE = "image"
BRUSH = "attention"
POLYGON = "polygon"
ELLIPSE = "ellipse"
RECTANGLE = "rectangle"
KEYPOINT = "keypoint"
VERDICT = "verdict"

LABEL = "Attention"
FINE = "The map is fine as it is"
SELECT = "Mark for editing"
"""No edit: the image goes into data/selected.csv, for selection.strategy manual."""

CONFIG = f"""<View>
  <View style="display: flex; gap: 1em; align-items: baseline">
    <Header value="Look here:  brush"/>
    <BrushLabels name="{BRUSH}" toName="{IMAGE}">
      <Label value="{LABEL}" background="#ff3b30" hotkey="1"/>
    </BrushLabels>
    <Header value="polygon"/>
    <PolygonLabels name="{POLYGON}" toName="{IMAGE}" strokeWidth="2">
      <Label value="{LABEL}" background="#ff9500" hotkey="2"/>
    </PolygonLabels>
    <Header value="ellipse"/>
    <EllipseLabels name="{ELLIPSE}" toName="{IMAGE}" strokeWidth="2">
      <Label value="{LABEL}" background="#34c759" hotkey="3"/>
    </EllipseLabels>
    <Header value="rectangle"/>
    <RectangleLabels name="{RECTANGLE}" toName="{IMAGE}" strokeWidth="2" canRotate="true">
      <Label value="{LABEL}" background="#007aff" hotkey="4"/>
    </RectangleLabels>
    <Header value="point"/>
    <KeyPointLabels name="{KEYPOINT}" toName="{IMAGE}" strokeWidth="8">
      <Label value="{LABEL}" background="#af52de" hotkey="5"/>
    </KeyPointLabels>
  </View>
  <Choices name="{VERDICT}" toName="{IMAGE}" choice="single" showInline="true">
    <Choice value="{FINE}" hotkey="0"/>
    <Choice value="{SELECT}" hotkey="9"/>
  </Choices>
  <Image name="{IMAGE}" value="$image" zoom="true" brightnessControl="true" maxWidth="720px"/>
</View>
"""
"""All tools draw the one label; what a person paints or draws is joined by its maximum."""


def brush_region(region_id: str, rle: list[int], side: int) -> dict[str, Any]:
    """Give a brush region on a canvas of ``side``×``side``, as Label Studio reads and writes it."""
    return {
        "id": region_id,
        "type": "brushlabels",
        "from_name": BRUSH,
        "to_name": IMAGE,
        "original_width": side,
        "original_height": side,
        "image_rotation": 0,
        "value": {"format": "rle", "rle": rle, "brushlabels": [LABEL]},
    }
