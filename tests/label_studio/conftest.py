"""The fixtures of a real server."""

from tests.label_studio.server import key, studio, studio_process

__all__ = ["key", "studio", "studio_process"]
