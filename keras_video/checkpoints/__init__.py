"""Reads weight files of other projects, and puts arrays into our networks by name."""
