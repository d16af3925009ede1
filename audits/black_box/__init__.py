"""The generator as a black box: refits, shadow models, canaries."""
