"""The one exception for what a user can cause and mend."""


class AbnError(Exception):
    """Says what is wrong, where, and what to do; shown to the user without a traceback."""
