"""Images: where they come from, how they lie on disk, how they are loaded."""
