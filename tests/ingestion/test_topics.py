"""What is asked about topics of a broker that does not answer."""

import socket

import pytest
from confluent_kafka import KafkaException

from ingestion import kafka


def test_a_broker_that_hangs_is_an_error_of_kafka_like_any_other(monkeypatch):
    monkeypatch.setattr(kafka, "ANSWER_WITHIN_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(KafkaException):
        kafka.topic_id(f"127.0.0.1:{silent.getsockname()[1]}", kafka.READINGS)
