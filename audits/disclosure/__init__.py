"""The three tests of WP29 Opinion 05/2014: what an attempt is, and how it is judged."""
