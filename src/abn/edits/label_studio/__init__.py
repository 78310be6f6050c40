"""The round trip through Label Studio: the only code that talks to its server."""
