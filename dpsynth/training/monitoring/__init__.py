"""What the monitor is made of: the null of known noise, tests against it, readings, sentences."""
