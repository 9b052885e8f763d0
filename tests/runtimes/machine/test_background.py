"""Background calls on a thread of this process."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from rayflow.runtimes.machine.background import Thread


def test_calls_run_in_order_and_what_follows_them_runs_on_the_callers_thread() -> None:
    thread, seen = Thread(), list[tuple[int, threading.Thread]]()
    for number in range(100):
        thread.call(lambda number=number: number, lambda number: seen.append((number, threading.current_thread())))
    while thread.waiting:
        thread.wait(60)
        thread.collect()
    assert seen == [(number, threading.current_thread()) for number in range(100)]
    thread.close()


def test_close_waits_for_the_running_call_and_drops_the_others() -> None:
    thread, begun, go_on, made = Thread(), threading.Event(), threading.Event(), list[str]()

    def first() -> None:
        begun.set()
        assert go_on.wait(60)
        made.append("first")

    thread.call(first, lambda _: None)
    thread.call(lambda: made.append("second"), lambda _: None)
    assert begun.wait(60)
    closing = threading.Thread(target=thread.close)
    closing.start()
    while thread.waiting:
        pass
    go_on.set()
    closing.join(60)
    assert made == ["first"]


def test_what_a_call_raises_is_raised_by_collect() -> None:
    thread = Thread()
    thread.call(lambda: 1 // 0, lambda _: None)
    thread.wait(60)
    with pytest.raises(ZeroDivisionError):
        thread.collect()
    thread.close()


def test_a_call_that_hangs_and_was_abandoned_does_not_hold_up_the_end_of_the_process() -> None:
    program = """
import threading
from rayflow.runtimes.machine.background import Thread
thread, begun = Thread(), threading.Event()
thread.call(lambda: (begun.set(), threading.Event().wait()), print)
begun.wait()
thread.abandon()
print("over", thread.waiting)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout == "over 0\n"
