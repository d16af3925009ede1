"""Public codecs, built from noisy answers only."""
