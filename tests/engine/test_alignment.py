"""Barrier alignment, on its own and against a model of what may pass when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayflow.core.errors import InvariantBroken
from rayflow.core.ids import ChannelId
from rayflow.engine.alignment import Alignment
from rayflow.engine.events import BarrierReceived, ChannelEvent, WatermarkReceived

A, B, C = (ChannelId("x", source, 0) for source in range(3))


def test_a_channel_that_is_ahead_is_held_until_all_have_delivered_the_barrier() -> None:
    alignment = Alignment([A, B], 1)
    assert not alignment.barrier(BarrierReceived(A, 1))
    late, early = WatermarkReceived(A, 5), WatermarkReceived(B, 4)
    assert alignment.holds(late)
    assert not alignment.holds(early)
    assert alignment.barrier(BarrierReceived(B, 1))
    assert alignment.release() == [late]
    assert alignment.epoch == 2
    alignment.validate()


def test_a_single_channel_is_aligned_at_once() -> None:
    alignment = Alignment([A], 3)
    assert alignment.barrier(BarrierReceived(A, 3))


def test_a_barrier_of_another_epoch_is_a_broken_invariant() -> None:
    alignment = Alignment([A, B], 2)
    with pytest.raises(InvariantBroken, match="barrier 3"):
        alignment.barrier(BarrierReceived(A, 3))


def test_a_barrier_on_a_foreign_channel_is_a_broken_invariant() -> None:
    with pytest.raises(InvariantBroken, match="no input"):
        Alignment([A], 1).barrier(BarrierReceived(B, 1))


def test_the_end_of_a_bounded_run_is_known_whichever_channel_tells_it() -> None:
    alignment = Alignment([A, B], 1)
    alignment.barrier(BarrierReceived(A, 1, drain=True))
    alignment.barrier(BarrierReceived(B, 1, drain=True))
    assert alignment.drain
    alignment.release()
    assert not alignment.drain


@given(st.data())
def test_every_epoch_gets_each_channels_events_before_its_barrier_and_none_after_it(data: st.DataObject) -> None:
    channels = [A, B, C][: data.draw(st.integers(1, 3))]
    epochs = data.draw(st.integers(1, 4))
    scripts: dict[ChannelId, list[ChannelEvent]] = {}
    for channel in channels:
        script: list[ChannelEvent] = []
        for epoch in range(1, epochs + 1):
            script += [WatermarkReceived(channel, epoch) for _ in range(data.draw(st.integers(0, 3)))]
            script.append(BarrierReceived(channel, epoch))
        scripts[channel] = script
    alignment = Alignment(channels, 1)
    seen: dict[int, list[ChannelEvent]] = {epoch: [] for epoch in range(1, epochs + 1)}

    def take(event: ChannelEvent) -> None:
        if alignment.holds(event):
            return
        if isinstance(event, BarrierReceived):
            if alignment.barrier(event):
                for held in alignment.release():
                    take(held)
        else:
            seen[alignment.epoch].append(event)

    while any(scripts.values()):
        channel = data.draw(st.sampled_from([c for c in channels if scripts[c]]))
        take(scripts[channel].pop(0))
        alignment.validate()
    assert alignment.epoch == epochs + 1
    assert alignment.held == 0
    for epoch, events in seen.items():
        assert all(isinstance(event, WatermarkReceived) and event.watermark == epoch for event in events)
