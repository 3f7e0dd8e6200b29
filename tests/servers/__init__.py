"""Real servers for the tests: Apache Kafka, PostgreSQL, Redis, S3, each on a free port of loopback, gone afterwards."""
