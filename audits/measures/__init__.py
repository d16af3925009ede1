"""Measures that checks and attacks share: densities, neighbourhoods, learners, resampling."""
