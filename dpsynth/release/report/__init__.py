"""The report: one self-contained HTML page in two editions, and the pictures on it."""
