"""A model that leaves the repository: what MLflow loads and serves."""
