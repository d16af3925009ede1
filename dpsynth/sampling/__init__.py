"""From a fitted model to rows: drawn at large, drawn under a condition, or filled in."""
