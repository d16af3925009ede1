"""Generators: one file each; see `base` for what one is."""
