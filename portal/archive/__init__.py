"""Old readings: putting whole quarters away, and bringing them back for those who ask."""
