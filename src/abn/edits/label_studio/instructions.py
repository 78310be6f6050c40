"""What annotators read before they begin."""

from abn.edits.interface import FINE, SELECT

INSTRUCTIONS = f"""
<p>The red veil is where the network looked when it named this image.
Correct it: red where one has to look to tell what the image shows, nothing elsewhere.</p>
<p>Click the region in the list on the right,
so that you change it and not paint a new one on top.</p>
<p><b>B</b> brush: look here. <b>E</b> eraser: don't look here.
What you leave alone keeps its strength.
<b>[</b> and <b>]</b> change the size.</p>
<p>Quicker, where a shape will do: <b>2</b> polygon, <b>3</b> ellipse, <b>4</b> rectangle,
<b>5</b> point, each drawn on top of the map.
To start from nothing, delete the region first (Backspace).</p>
<p><b>0</b> “{FINE}”. <b>9</b> “{SELECT}”: no edit, but a wish for the next selection.</p>
<p><b>Ctrl+Enter</b> submits, <b>Ctrl+Space</b> skips an image that you can't judge.</p>
<p>An image submitted with nothing on it says that there is nothing to look at.
Ctrl+Z takes back a stroke. Ctrl+wheel zooms, H and drag moves.</p>
"""
