"""What all tests share."""

from hypothesis import settings

from tests.kafka.fixtures import kafka, kafka_sasl, own_kafka

__all__ = ["kafka", "kafka_sasl", "own_kafka"]

# How long an example takes is the machine's affair.
settings.register_profile("rayflow", deadline=None, print_blob=True)
settings.load_profile("rayflow")
