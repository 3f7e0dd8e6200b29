"""What is learned from readings: history, limits, episodes; later personal models."""
