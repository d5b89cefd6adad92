"""The embedded archive: a synthetic twin of a small part of TCIA, served locally.

Everything of it is SYNTHETIC: an analytic phantom in the formats of the real
collections, under UIDs of its own.
"""
