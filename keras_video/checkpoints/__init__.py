"""Weight files of other projects, and weights as flat dicts of arrays."""
