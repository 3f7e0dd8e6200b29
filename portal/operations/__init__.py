"""What operators look at: refused packets, the state of the path, metrics; and their commands."""
