"""Generations: models fitted to what models made, and how much of the real table is left."""
