"""What all tests share."""

from tests.kafka.fixtures import kafka, kafka_sasl, own_kafka

__all__ = ["kafka", "kafka_sasl", "own_kafka"]
