"""Attacks, one file each, found by file name; see `audits.registry` for what a file must hold."""
