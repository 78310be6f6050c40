"""Channels of the attention branch before and after the refinement."""
