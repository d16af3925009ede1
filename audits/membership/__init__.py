"""Membership inference as a test: arms, controls, the joint test, bounds, records at risk."""
