"""Episodes, alerts, their life, and their delivery."""
