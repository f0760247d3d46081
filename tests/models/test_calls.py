"""Many requests at once: order kept, patience counted, one error for all."""

from __future__ import annotations

import threading
import time

import pytest

from solo_hub.core.errors import ModelError
from solo_hub.models.calls import Busy, Calls, retry_after


def calls(**more):
    slept = []
    made = Calls("The server", **{"pause": 0.001, "sleep": slept.append, **more})
    return made, slept


def test_answers_come_in_the_order_of_the_questions():
    made, _ = calls(concurrency=4)

    def send(number):
        time.sleep(0.02 if number % 2 else 0)
        return number * 10

    assert made.send_all(send, list(range(9))) == [n * 10 for n in range(9)]


@pytest.mark.parametrize("bodies", [[], [1]])
def test_none_and_one(bodies):
    assert calls()[0].send_all(lambda n: n, bodies) == bodies


def test_no_more_under_way_than_allowed():
    made, _ = calls(concurrency=3)
    now, most, lock = 0, 0, threading.Lock()

    def send(_):
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.01)
        with lock:
            now -= 1

    made.send_all(send, list(range(12)))
    assert most == 3


def test_a_busy_server_is_asked_again_and_asked_less():
    """Pauses double (with jitter down to a half); each refusal halves the number under way, answers raise it again."""
    made, slept = calls(concurrency=8, pause=1.0)
    refusals = iter([Busy("429"), Busy("429"), Busy("503")])

    def send(body):
        for refusal in refusals:
            raise refusal
        return body

    assert made.send(send, "yes") == "yes"
    assert len(slept) == 3
    assert all(2**n / 2 <= wait <= 2**n for n, wait in enumerate(slept))
    assert made.limit == 2  # 8 -> 4 -> 2 -> 1, and one answer
    for _ in range(40):
        made.send(send, "yes")
    assert made.limit == 8


def test_what_the_server_asks_for_is_waited_for():
    made, slept = calls()
    told = [Busy("429", 3.0)]

    def send(body):
        if told:
            raise told.pop()
        return body

    started = time.monotonic()
    made._quiet_until = 0
    worker = threading.Thread(target=made.send, args=(send, 1), daemon=True)
    worker.start()
    worker.join(0.2)
    assert slept == [3.0]
    assert made._quiet_until >= started + 2.9  # nobody else is let in either


def test_a_server_that_is_gone_is_given_up_in_one_sentence():
    made, _ = calls(attempts=3, concurrency=2)
    sent = []

    def send(number):
        sent.append(number)
        raise Busy("connection refused")

    with pytest.raises(ModelError, match=r"The server does not answer: connection refused \(3 attempts\)") as failed:
        made.send_all(send, list(range(50)))
    assert "Retry once" in str(failed.value)
    assert len(sent) <= 2 * 3 * 2  # those under way when the first gave up; the other 46 are not sent


def test_what_will_not_pass_is_not_tried_again():
    made, slept = calls()

    def send(_):
        raise ModelError("refused")

    with pytest.raises(ModelError, match="refused"):
        made.send_all(send, [1, 2, 3])
    assert slept == []


def test_after_an_error_it_can_be_used_again():
    made, _ = calls(attempts=1)
    with pytest.raises(ModelError):
        made.send_all(lambda n: (_ for _ in ()).throw(Busy("no")), [1, 2])
    assert made.send_all(lambda n: n, [1, 2]) == [1, 2]


@pytest.mark.parametrize(
    ("header", "seconds"), [(None, 0), ("", 0), ("2", 2), ("0.5", 0.5), ("-1", 0), ("Wed, 21 Oct 2026 07:28:00 GMT", 0)]
)
def test_retry_after(header, seconds):
    assert retry_after(header) == seconds
