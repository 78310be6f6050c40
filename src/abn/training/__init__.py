"""Training of the network and refinement of its attention branch."""
