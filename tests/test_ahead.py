"""Looking ahead: in order, bounded, and never waiting for one for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from lookalike.ingest.ahead import Impatient, ahead, batched


def test_results_come_in_order_and_no_more_is_begun_than_the_depth() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for number in range(50):
            taken += 1
            yield number

    def work(number: int) -> int:
        time.sleep(0.002 * (number % 3))
        return number * number

    with ThreadPoolExecutor(3) as pool:
        for place, result in enumerate(ahead(pool, work, items(), 5)):
            assert result == place * place
            assert taken <= place + 5
    assert taken == 50


def test_batches_are_full_but_the_last() -> None:
    assert list(batched(range(7), 3)) == [[0, 1, 2], [3, 4, 5], [6]]


def test_what_takes_too_long_is_left_behind_and_everything_else_is_done_in_order() -> None:
    let_go = threading.Event()

    def work(number: int) -> str:
        if number in {2, 3, 9}:  # more than there are threads
            let_go.wait(30)
        return f"done {number}"

    pool = Impatient(2, "test", 0.2)
    began = time.monotonic()
    try:
        found = list(pool.ahead(work, range(12), 6, otherwise=lambda number: f"late {number}"))
    finally:
        let_go.set()
        pool.leave()
    assert time.monotonic() - began < 10
    late = {2, 3, 9}
    assert found == [f"{'late' if number in late else 'done'} {number}" for number in range(12)]


def test_what_must_come_first_does_not_count_as_too_long() -> None:
    arrived = [threading.Event() for _ in range(4)]

    def work(number: int) -> int:
        assert arrived[number].wait(10)
        return number

    def ready(number: int) -> None:
        time.sleep(0.5)
        arrived[number].set()

    pool = Impatient(2, "test", 0.2)
    try:
        found = list(pool.ahead(work, range(4), 4, otherwise=lambda number: -1, ready=ready))
    finally:
        pool.leave()
    assert found == [0, 1, 2, 3]
