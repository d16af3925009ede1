"""What leaves the house: policy, gate, bundle, report, verification."""
