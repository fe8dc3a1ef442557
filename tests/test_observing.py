"""What operators see of a run: messages as JSON, figures in a file, and traces."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.parser import text_string_to_metric_families as parsed
from starlette.testclient import TestClient

import lookalike
from lookalike import Index, Settings
from lookalike.cli.traces import are_asked_for
from lookalike.records import row_id
from lookalike.serve.app import create_app
from lookalike.serve.guarding import guarded
from lookalike.serve.indexing import RunFigures
from lookalike.serve.options import ServeOptions
from tests.conftest import Outcome
from tests.serving import API, served

Cli = Callable[..., Outcome]
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{SPAN}-01"


def events(outcome: Outcome) -> list[dict[str, Any]]:
    """What a command has said, each line an object with what all of them have."""
    said = [json.loads(line) for line in outcome.err.splitlines()]
    now = datetime.now(timezone.utc)
    for event in said:
        assert {"time", "level", "message"} <= event.keys()
        assert (
            abs((now - datetime.fromisoformat(event["time"].replace("Z", "+00:00"))).seconds) < 60
        )
    return said


def test_a_run_is_told_as_objects(cli: Cli, photos: Path) -> None:
    name = photos / "birds" / "no\npicture.jpg"
    name.write_text("%PDF")
    outcome = cli("index", photos, "--log-format", "json")
    assert outcome.out.startswith("30 added"), "the summary stays as it was"
    indexed, skipped = events(outcome)
    assert (indexed["event"], indexed["level"]) == ("indexed", "info")
    counts = {name: indexed[name] for name in ("added", "unchanged", "skipped", "total")}
    assert counts == {"added": 30, "unchanged": 0, "skipped": 1, "total": 30}
    assert skipped["level"] == "warning"
    assert (skipped["event"], skipped["path"]) == ("skipped", name.as_posix())
    assert skipped["reason"].startswith("it is a document")
    crow = photos / "birds" / "crow.jpg"
    (searched,) = events(cli("search", crow, "-k", "3", LOOKALIKE_LOG_FORMAT="json"))
    assert (searched["event"], searched["hits"]) == ("searched", 3)
    assert 0 < searched["seconds"] < 60
    assert cli("info", "--log-format", "json", "-q").err == ""
    assert "Usage" in cli().out


def test_every_failure_is_an_object(cli: Cli, tmp_path: Path) -> None:
    for words, code, error in (
        (["search", tmp_path / "none.jpg"], 1, "IndexNotFound"),
        (["index", tmp_path / "none"], 1, "SourceNotFound"),
        (["search"], 2, None),
        (["index", tmp_path, "--no-such-option"], 2, None),
        (["info", "--db", "ftp://somewhere"], 1, "IndexIncompatible"),
    ):
        outcome = cli(*words, "--log-format=json")
        (event,) = events(outcome)
        assert (outcome.code, event["exit_code"], event.get("error")) == (code, code, error)
        assert (event["level"], event["event"]) == ("error", "failed")
    assert events(cli("search", LOOKALIKE_LOG_FORMAT="json"))[0]["exit_code"] == 2
    (event,) = events(cli("search", tmp_path / "none.jpg", "-vv", "--log-format", "json"))
    assert event["traceback"].startswith("Traceback")
    assert cli("info", "--log-format", "xml").code == 2


def test_no_secret_is_in_what_is_told(cli: Cli) -> None:
    for words, token in (
        (["--db", "http://someone:secret@127.0.0.1:1"], ""),
        (["--db", "http://127.0.0.1:1", "--token", "someone:secret"], ""),
        (["--db", "http://127.0.0.1:1"], "someone:secret"),
    ):
        outcome = cli("info", *words, "-vv", "--log-format", "json", LOOKALIKE_TOKEN=token)
        (event,) = events(outcome)
        assert event["error"] == "ServerUnreachable"
        assert "secret" not in outcome.err


def test_a_servers_requests_are_objects(photos: Path, tmp_path: Path) -> None:
    with Index.open(tmp_path / "photos.db") as index:
        index.add(photos / "trees")
    words = ["serve", "--port", "0", "--db", str(tmp_path / "photos.db")]
    process = subprocess.Popen(
        [sys.executable, "-m", "lookalike", *words, "-v", "--log-format", "json"],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    address = json.loads(process.stderr.readline())["message"]
    httpx.get(f"{address}{API}/info?secret=1").raise_for_status()
    process.terminate()
    said = [json.loads(line) for line in process.communicate(timeout=40)[1].splitlines()]
    (request,) = [event for event in said if event.get("event") == "request"]
    assert request.pop("seconds") < 10
    del request["time"], request["message"]
    known = {"event": "request", "method": "GET", "route": f"{API}/info", "status": 200}
    assert request == {"level": "info", **known}


def figures(file: Path) -> dict[str, float]:
    """The figures in a file, by name and labels."""
    families = parsed(file.read_text(encoding="utf-8"))
    samples = [sample for family in families for sample in family.samples]
    return {" ".join([each.name, *each.labels.values()]): each.value for each in samples}


def test_a_run_keeps_figures_in_a_file(cli: Cli, photos: Path, tmp_path: Path) -> None:
    file = tmp_path / "run.prom"
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    options = ("--metrics-file", file)
    assert cli("index", photos, *options, LOOKALIKE_BATCH_SIZE="8").code == 0
    first = figures(file)
    pictures = "lookalike_index_pictures_total"
    assert (first[f"{pictures} added"], first[f"{pictures} skipped"]) == (30, 1)
    assert first["lookalike_pictures"] == 30
    assert first["lookalike_index_batch_size_count"] == 4
    assert first["lookalike_index_batch_size_sum"] == 30
    assert (first["lookalike_index_success"], first["lookalike_index_running"]) == (1, 0)
    assert abs(first["lookalike_index_end_timestamp_seconds"] - time.time()) < 60
    stages = [
        f"lookalike_index_stage_seconds_total {name}" for name in ("decode", "embed", "write")
    ]
    assert all(0 < first[name] < 60 for name in stages)
    (photos / "trees").rename(photos / "woods")
    (photos / "birds" / "crow.jpg").unlink()
    assert cli("index", photos, *options).code == 0
    second = figures(file)
    assert (second[f"{pictures} moved"], second[f"{pictures} removed"]) == (6, 1)
    assert second[f"{pictures} unchanged"] == 23
    assert cli("index", photos, *options, "--db", "http://127.0.0.1:1").code == 1
    assert figures(file)["lookalike_index_success"] == 0
    assert ".prom" in cli("index", photos, "--metrics-file", tmp_path / "run.txt").err
    assert "folder" in cli("index", photos, "--metrics-file", tmp_path / "no" / "run.prom").err


def test_the_guide_names_every_figure_and_event(tmp_path: Path) -> None:
    guide = (Path(__file__).parents[1] / "docs" / "operations.md").read_text(encoding="utf-8")
    RunFigures().write(tmp_path / "none.prom")
    families = {each.name for each in parsed((tmp_path / "none.prom").read_text(encoding="utf-8"))}
    made = {name for name in families if not name.endswith("_created")}
    told = set(re.findall(r"`(lookalike_[a-z_]+?)(?:_total)?(?:\{\w+\})?`", guide))
    assert told == made
    source = Path(lookalike.__file__).parent
    written = "".join(path.read_text(encoding="utf-8") for path in source.rglob("*.py"))
    events = re.findall(r"""event(?:=|": )"(\w+)\"""", written)
    assert set(re.findall(r"^\| `((?!lookalike)\w+)` \|", guide, re.MULTILINE)) == set(events)


def test_a_server_counts_what_its_jobs_do(photos: Path, tmp_path: Path) -> None:
    with (
        Index.open(tmp_path / "photos.db") as index,
        served(index, cache=tmp_path / "cache", roots=(photos.as_posix(),)) as client,
    ):
        job = client.post(f"{API}/index", json={"folders": []}).json()
        deadline = time.monotonic() + 60
        while client.get(f"{API}/jobs/{job['id']}").json()["state"] != "done":
            assert time.monotonic() < deadline
            time.sleep(0.1)
        file = tmp_path / "metrics"
        file.write_bytes(client.get("/metrics").content)
    assert figures(file)["lookalike_index_pictures_total added"] == 30
    assert figures(file)["lookalike_index_batch_size_sum"] == 30


@pytest.fixture(scope="module")
def exporter() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    yield exporter
    provider.shutdown()


def of_name(spans: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in spans.get_finished_spans() if span.name == name]


def within(inner: ReadableSpan, outer: ReadableSpan) -> bool:
    assert inner.context and outer.context and inner.parent
    assert inner.start_time and inner.end_time and outer.start_time and outer.end_time
    assert outer.start_time <= inner.start_time <= inner.end_time <= outer.end_time
    return bool(inner.parent.span_id == outer.context.span_id)


def test_a_run_and_a_search_are_traced(
    exporter: InMemorySpanExporter, photos: Path, tmp_path: Path
) -> None:
    exporter.clear()
    with Index.open(tmp_path / "photos.db", settings=Settings(batch_size=8)) as index:
        index.add(photos)
        index.search(photos / "birds" / "crow.jpg", limit=3)
    (run,) = of_name(exporter, "lookalike.index")
    assert run.attributes
    assert (run.attributes["lookalike.added"], run.attributes["lookalike.total"]) == (30, 30)
    batches = of_name(exporter, "lookalike.batch")
    assert [batch.attributes and batch.attributes["lookalike.pictures"] for batch in batches] == [
        8, 8, 8, 6,
    ]  # fmt: skip
    spans = exporter.get_finished_spans()
    for batch in batches:
        assert within(batch, run)
        stages = [
            span
            for span in spans
            if span.parent and batch.context and span.parent.span_id == batch.context.span_id
        ]
        names = ["lookalike.decode", "lookalike.embed", "lookalike.upsert"]
        assert [stage.name for stage in stages] == names
        assert all(within(stage, batch) for stage in stages)
    (search,) = of_name(exporter, "lookalike.search")
    (question,) = of_name(exporter, "lookalike.question")
    (database,) = of_name(exporter, "lookalike.database")
    assert within(question, search) and within(database, search)
    assert within(of_name(exporter, "lookalike.embed")[-1], question)
    assert str(photos) not in " ".join(span.to_json() for span in spans), "no paths"


def test_a_request_is_traced_within_what_its_caller_does(
    exporter: InMemorySpanExporter, photos: Path, tmp_path: Path
) -> None:
    with Index.open(tmp_path / "photos.db") as index:
        index.add(photos / "trees")
        picture = next((photos / "trees").iterdir())
        app = create_app(index, options=ServeOptions(), settings=Settings())
        guard = guarded(app, app.state.service)
        with TestClient(guard, base_url="http://127.0.0.1:8077") as client:
            exporter.clear()
            body = {"terms": [{"id": row_id(picture.as_posix())}], "where": "width > 17"}
            headers = {"traceparent": TRACEPARENT}
            client.post(f"{API}/search", json=body, headers=headers).raise_for_status()
            client.get(f"{API}/images/{'0' * 32}?secret=1")
    asked, other = of_name(exporter, "POST"), of_name(exporter, "GET")
    (request,) = asked
    assert request.kind is trace.SpanKind.SERVER
    assert request.parent and request.parent.span_id == int(SPAN, 16)
    assert dict(request.attributes or {}) == {
        "http.request.method": "POST",
        "http.route": f"{API}/search",
        "http.response.status_code": 200,
    }
    (search,) = of_name(exporter, "lookalike.search")
    assert search.context and search.context.trace_id == int(TRACE, 16)
    assert within(search, request)
    (missed,) = other
    assert (missed.attributes or {})["http.response.status_code"] == 404
    said = " ".join(span.to_json() for span in exporter.get_finished_spans())
    assert not any(secret in said for secret in ("secret=1", "width > 17", "0" * 32, picture.name))


class Collector(BaseHTTPRequestHandler):
    """Takes traces as OTLP over HTTP has them."""

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            data = gzip.decompress(data)
        self.server.taken.append((self.path, data))  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def collector() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        server.taken = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_a_command_sends_its_traces_where_the_variables_say(
    cli: Cli, photos: Path, collector: HTTPServer
) -> None:
    outcome = cli(
        "index", photos / "trees",
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{collector.server_port}",
        TRACEPARENT=TRACEPARENT,
    )  # fmt: skip
    assert (outcome.code, outcome.err) == (0, "")
    (taken,) = collector.taken  # type: ignore[attr-defined]
    path, data = taken
    assert path == "/v1/traces"
    (resource,) = ExportTraceServiceRequest.FromString(data).resource_spans
    about = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert about["service.name"] == "lookalike"
    spans = {span.name: span for scope in resource.scope_spans for span in scope.spans}
    assert {"lookalike.index", "lookalike.batch", "lookalike.upsert"} <= spans.keys()
    assert spans["lookalike.index"].trace_id.hex() == TRACE
    assert spans["lookalike.index"].parent_span_id.hex() == SPAN


def test_traces_that_cannot_be_sent_harm_nothing(cli: Cli, photos: Path) -> None:
    started = time.monotonic()
    nowhere = cli("index", photos / "trees", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1")
    assert nowhere.code == 0
    assert nowhere.err.startswith("Traces cannot be sent (")
    assert nowhere.err.count("\n") == 1
    assert time.monotonic() - started < 60


SCRIPT = """
import sys
sys.modules.update(dict.fromkeys({missing!r}))
from lookalike.cli.app import app
try:
    app({words!r})
except SystemExit as done:
    assert done.code == 0
print(sorted(name for name in sys.modules if name.startswith("opentelemetry")), file=sys.stderr)
"""


def said_by(*words: str, missing: Sequence[str] = ()) -> list[str]:
    """What a command says, and then what it has loaded of OpenTelemetry."""
    script = SCRIPT.format(words=words, missing=missing)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return done.stderr.splitlines()


def test_nothing_is_loaded_unless_it_is_asked_for_and_installed(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = str(tmp_path / "photos.db")
    with Index.open(database) as index:
        index.add(photos / "trees")
    picture = str(next((photos / "trees").iterdir()))
    assert said_by("search", picture, "--db", database) == ["[]"]
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    assert said_by("models", missing=["opentelemetry.sdk"])[0] == (
        "Sending the traces that OTEL_… ask for needs telemetry; install it with: "
        "pip install 'lookalike[telemetry]'"
    )


def test_the_standard_variables_say_whether_traces_are_sent() -> None:
    there = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
    assert not are_asked_for({})
    assert are_asked_for(there)
    assert are_asked_for({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318"})
    assert are_asked_for({"OTEL_TRACES_EXPORTER": "otlp"})
    assert not are_asked_for({**there, "OTEL_TRACES_EXPORTER": "none"})
    assert not are_asked_for({**there, "OTEL_SDK_DISABLED": "true"})
