"""Reads weight files that come from other projects."""
