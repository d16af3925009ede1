"""The checks behind `dpsynth.release.verify`, a file for each kind."""
