"""How often an epoch is tried."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from rayflow.connectors.kafka.tries import Tries, TryAgain, Unknown
from rayflow.core.errors import BrokerRefused, TransactionTooShort

LASTING = KafkaError(KafkaError.POLICY_VIOLATION)
PASSING = KafkaError(KafkaError._TRANSPORT)


def test_the_fifth_failure_of_an_epoch_is_raised_and_outages_are_not_counted() -> None:
    tries = Tries("job", 7, 60.0)
    for failed in (TryAgain(LASTING), Unknown(LASTING), TryAgain(LASTING), Unknown(LASTING)):
        tries.add(failed)
        for passing in (TryAgain(PASSING), Unknown(PASSING), Unknown()):
            tries.add(passing)
        tries.settled()
    with pytest.raises(BrokerRefused, match="to publish"):
        tries.add(TryAgain(LASTING))


def test_only_an_attempt_with_an_unknown_outcome_makes_the_outcome_unknown() -> None:
    tries = Tries("job", 7, 60.0)
    assert not tries.unknown
    tries.add(TryAgain(PASSING))
    assert not tries.unknown
    tries.add(Unknown(PASSING))
    tries.add(TryAgain(PASSING))
    assert tries.unknown
    tries.settled()
    assert not tries.unknown


def test_the_third_transaction_that_was_too_short_is_the_last() -> None:
    tries = Tries("job", 7, 60.0)
    for slow in (True, False, True, False):
        tries.add(Unknown(slow=slow))
        tries.settled()
    tries.add(Unknown(slow=True))
    with pytest.raises(TransactionTooShort, match=r"epoch 7 .*60 s.* 3 tries"):
        tries.settled()
