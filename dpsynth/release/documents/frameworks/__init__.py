"""What four frameworks ask of a release, one file each, and where a bundle answers it."""
