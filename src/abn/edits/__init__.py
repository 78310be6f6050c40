"""People's edits of attention maps: from a Label Studio export to target maps."""
