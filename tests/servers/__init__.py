"""Real servers for the tests: Apache Kafka, PostgreSQL, Redis, each on a free port of loopback, gone afterwards."""
