"""Spans of OpenTelemetry, where the program records any.

Who sets up OpenTelemetry's SDK decides that; by default nobody does. Then nothing is imported here,
and a span costs a look for the SDK among the modules. Spans say how much there was and how long it
took: no paths, no questions, nothing secret.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from opentelemetry.context import Context

    Here: TypeAlias = Context | None

Facts: TypeAlias = "dict[str, str | int | float]"

_SDK = "opentelemetry.sdk.trace"
_NAME = "lookalike"


@dataclass(frozen=True, slots=True)
class Lap:
    """When some work began and ended, in nanoseconds since the epoch, on whatever machine."""

    began_ns: int
    ended_ns: int

    @property
    def seconds(self) -> float:
        """How long it took; never negative, though clocks are set back now and then."""
        return max(self.ended_ns - self.began_ns, 0) / 1e9

    @classmethod
    def since(cls, began_ns: int) -> Lap:
        """One that ends now."""
        return cls(began_ns, time.time_ns())

    @classmethod
    def until_now(cls, seconds: float) -> Lap:
        """One of so many seconds that ends now."""
        ended_ns = time.time_ns()
        return cls(ended_ns - int(seconds * 1e9), ended_ns)


def is_on() -> bool:
    """Whether spans may be recorded."""
    return _SDK in sys.modules


def here() -> Here:
    """What is under way in this thread, as the parent of spans in another; None if that is off."""
    if not is_on():
        return None
    from opentelemetry import context  # noqa: PLC0415 - loaded by now, here and below

    return context.get_current()


def asked_by(headers: Mapping[str, str]) -> Here:
    """The parent that a caller names: its ``traceparent``, under small letters."""
    if not is_on():
        return None
    from opentelemetry import propagate  # noqa: PLC0415

    return propagate.extract(headers)


@contextlib.contextmanager
def _recorded(
    name: str,
    parent: Here,
    others: Sequence[Here],
    is_request: bool,
    attributes: Facts,
) -> Iterator[Facts]:
    from opentelemetry import trace  # noqa: PLC0415

    known = [trace.get_current_span(other).get_span_context() for other in others]
    with trace.get_tracer(_NAME).start_as_current_span(
        name,
        context=parent,
        links=[trace.Link(each) for each in known if each.is_valid],
        kind=trace.SpanKind.SERVER if is_request else trace.SpanKind.INTERNAL,
        attributes=attributes,
        record_exception=False,  # messages may name files
        set_status_on_exception=False,
    ) as span:
        later: Facts = {}
        try:
            yield later
        except Exception as error:
            span.set_status(trace.StatusCode.ERROR, type(error).__name__)
            raise
        finally:
            span.set_attributes(later)


def span(
    name: str,
    facts: Facts | None = None,
    *,
    parent: Here = None,
    others: Sequence[Here] = (),
    is_request: bool = False,
) -> contextlib.AbstractContextManager[Facts]:
    """Within it is a span of this name; it gives a dictionary for what is known only later.

    Args:
        name: says what is done.
        facts: what is known of it now.
        parent: else it is within what is under way in this thread.
        others: what it is done for, besides its parent.
        is_request: whether somebody waits for it who has asked over the network.
    """
    if not is_on():
        return contextlib.nullcontext({})
    return _recorded(name, parent, others, is_request, facts or {})


def record_batch(decode: Sequence[Lap], embed: Lap, write: Lap) -> None:
    """Record a batch of pictures that has been indexed, with its stages within it.

    Args:
        decode: reading, decoding and preparing each of its pictures, in threads.
        embed: the model.
        write: the database.
    """
    if not is_on():
        return
    from opentelemetry import trace  # noqa: PLC0415

    tracer = trace.get_tracer(_NAME)
    began_ns = min((lap.began_ns for lap in decode), default=embed.began_ns)
    decoded_ns = max((lap.ended_ns for lap in decode), default=embed.began_ns)
    batch = tracer.start_span(
        "lookalike.batch",
        start_time=began_ns,
        attributes={"lookalike.pictures": len(decode)},
    )
    within = trace.set_span_in_context(batch)
    decode_s = round(sum(lap.seconds for lap in decode), 6)
    for name, lap, facts in (
        ("lookalike.decode", Lap(began_ns, decoded_ns), {"lookalike.thread_seconds": decode_s}),
        ("lookalike.embed", embed, {}),
        ("lookalike.upsert", write, {}),
    ):
        stage = tracer.start_span(name, context=within, start_time=lap.began_ns, attributes=facts)
        stage.end(lap.ended_ns)
    batch.end(write.ended_ns)
