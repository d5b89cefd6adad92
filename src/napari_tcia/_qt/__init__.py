"""Widgets in plain Qt: they render what they are given and emit intentions."""
