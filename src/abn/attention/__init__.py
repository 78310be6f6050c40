"""Attention maps: shape, alignment with masks, which to edit, overlays."""
