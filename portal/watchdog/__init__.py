"""The watchdog: synthetic patients whose scheduled deterioration must raise and deliver an alert."""
