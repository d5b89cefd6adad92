"""Decisions and edits of a reader: written down at once, replayed exactly."""
