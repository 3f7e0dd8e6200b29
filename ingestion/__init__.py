"""From packets to the lake: the vitals table, the reading contract, the door, Kafka and the lake."""
