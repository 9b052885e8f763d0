"""The faults of one simulation, and their rates; drawn from the seed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

TARGETS = (
    "ClaimAttempt",
    "OpenPublishers",
    "RepublishOutput",
    "republish begun",
    "republish marked",
    "republish committing",
    "StartTasks",
    "report Started",
    "send Frame",
    "receives Started",
    "receives SegmentAcked",
    "InjectBarrier",
    "WriteSegment",
    "object stored",
    "segment written",
    "flush waiting",
    "AckEpoch",
    "WriteManifest",
    "manifest stored",
    "manifest written",
    "CommitEpoch",
    "PublishEpoch",
    "publish begun",
    "publish produced",
    "publish marked",
    "publish committing",
    "publish committed",
    "ApplyEpoch",
    "applied one task",
    "published",
    "ReportDone",
    "CollectGarbage",
    "base written",
    "object deleted",
)
"""Steps of the protocol at which a simulation may crash more often than elsewhere."""


@dataclass(frozen=True, slots=True)
class Faults:
    """Rates are per occasion. Durations are in milliseconds.

    Attributes:
        crash: of a process, at any step. target, target_crash: one kind of step, and the rate there.
        freeze: that a process is not killed there but only stands still for a while (a suspended machine).
        restart_time: how long it takes at most until an attempt is replaced.
        both: that a crash takes the coordinator's process and a worker's at once.
        zombie: that a process of an attempt that is over goes on; zombie_time: for how long at most.
        kept: that a worker's process goes on in the next attempt.
        false_alarm: per second, that an attempt is given up although nothing is wrong with it.
        stop: per second, that the job is stopped in good order and started again.
        store_fails, store_answer_lost: of a write. store_slow, read_slow: that a write or a read takes up to a second.
        torn: that a write which was in flight when its process died leaves half an object.
        broker_away: per second; away_time. commit_answer_lost: of a transaction's end.
        disk_lost: of a machine at a restart. reboot: of a machine at a restart, which loses what was not synced.
        markers_expire: at a restart.
        long_delay: of a message.
        delay: the usual maximum delay of a message.
        repeat: a message arrives once more, also in a later attempt.
        link_cut: per message; the link is cut, starting with this message.
        cut_time: its maximum duration.
        rescale: per second; another attempt follows regularly.
        scattered: slots are not 0, 1, 2 ...
        grow: per second, and at a restart; the input gets more partitions.
        savepoint: at a stop; the job starts from a savepoint.
        clock_jump: per second; the wall clock jumps by up to an hour in either direction.
    """

    crash: float = 0.0
    target: str = ""
    target_crash: float = 0.0
    freeze: float = 0.0
    restart_time: int = 1000
    both: float = 0.0
    zombie: float = 0.0
    zombie_time: int = 1
    kept: float = 0.0
    false_alarm: float = 0.0
    stop: float = 0.0
    store_fails: float = 0.0
    store_answer_lost: float = 0.0
    store_slow: float = 0.0
    read_slow: float = 0.0
    torn: float = 0.0
    broker_away: float = 0.0
    away_time: int = 1
    commit_answer_lost: float = 0.0
    disk_lost: float = 0.0
    markers_expire: float = 0.0
    reboot: float = 0.0
    long_delay: float = 0.0
    delay: int = 2
    repeat: float = 0.0
    link_cut: float = 0.0
    cut_time: int = 1
    rescale: float = 0.0
    scattered: float = 0.0
    grow: float = 0.0
    savepoint: float = 0.0
    clock_jump: float = 0.0

    @classmethod
    def draw(cls, random: Random) -> Faults:
        """Draw some of the faults, at rates of many magnitudes."""

        def rate(*choices: float) -> float:
            return random.choice((0.0, *choices))

        drawn = cls(
            crash=rate(0.0003, 0.001, 0.003),
            target=random.choice(TARGETS),
            target_crash=rate(0.03, 0.15, 0.3),
            freeze=rate(0.3, 0.8),
            restart_time=random.choice((10, 100, 1000)),
            both=rate(0.2),
            zombie=rate(0.3, 0.8, 1.0),
            zombie_time=random.choice((200, 1000, 4000)),
            kept=rate(0.5, 0.9),
            false_alarm=rate(0.1, 0.5),
            stop=rate(0.1, 0.3),
            store_fails=rate(0.002, 0.01),
            store_answer_lost=rate(0.002, 0.02),
            store_slow=rate(0.02, 0.2),
            torn=rate(0.5),
            broker_away=rate(0.1, 0.4),
            away_time=random.choice((100, 1000, 8000)),
            commit_answer_lost=rate(0.02, 0.1, 0.3),
            disk_lost=rate(0.1, 0.5),
            markers_expire=rate(0.1, 0.4),
            long_delay=rate(0.001, 0.01, 0.05),
            delay=random.choice((1, 5, 50)),
            reboot=rate(0.1, 0.5),
            repeat=rate(0.01, 0.2),
            link_cut=rate(0.0005, 0.005),
            cut_time=random.choice((100, 1000, 4000)),
            rescale=rate(0.1, 0.4),
            scattered=rate(0.5),
            grow=rate(0.1, 0.3),
            savepoint=rate(0.5, 1.0),
            clock_jump=rate(0.1, 0.3),
        )
        # By a generator of its own, which shifts nothing else that a seed draws. In one seed of four: what must happen
        # in time is not looked at for a second after each slow read.
        return replace(drawn, read_slow=Random(repr(drawn)).choice((0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.02, 0.2)))
