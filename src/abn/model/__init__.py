"""The attention branch network."""
