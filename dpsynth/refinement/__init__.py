"""Noisy marginals put to use in a model and its samples: post-processing, free of charge."""
