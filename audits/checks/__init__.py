"""Checks of the whole synthetic table against the real ones; each gives one `Evidence`."""
