"""Bring data here whole and verified, or not at all."""
