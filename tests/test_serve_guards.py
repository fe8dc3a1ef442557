"""What protects the server: each guard with the application behind it."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from lookalike import Index, Settings
from lookalike.serve.app import create_app
from lookalike.serve.guarding import guarded
from lookalike.serve.guards import rates, tokens
from lookalike.serve.guards.crowds import Crowd
from lookalike.serve.guards.rates import Buckets, client_of
from lookalike.serve.guards.tokens import COOKIE, MOST_SESSIONS, SESSION_S, TRIES, Sessions
from lookalike.serve.options import ServeOptions

TOKEN = "a-token-that-is-long-enough"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
HERE = "http://127.0.0.1:8077"
INFO = "/api/v1/info"
OPEN = {"/healthz", "/api/v1/healthz", "/login", "/static/login.css"}
Client = Callable[..., TestClient]


@pytest.fixture(scope="module")
def index(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    folder = tmp_path_factory.mktemp("guards")
    shutil.copy(samples / "birds" / "crow.jpg", folder)
    with Index.open(folder / "photos.db") as opened:
        opened.add(folder)
        yield opened


@pytest.fixture
def client(index: Index) -> Iterator[Client]:
    """Makes a client of a guarded server with these options and settings."""
    opened: list[TestClient] = []

    def make(
        *,
        at: str = HERE,
        address: str = "127.0.0.1",
        settings: Settings | None = None,
        route: Callable[[], Any] | None = None,
        **options: Any,
    ) -> TestClient:
        settings = settings or Settings()
        app = create_app(index, options=ServeOptions(**options), settings=settings)
        if route:
            app.add_api_route("/api/v1/extra/{name}", route, methods=["GET", "POST"])
        made = TestClient(
            guarded(app, app.state.service),
            base_url=at,
            client=(address, 50000),
            raise_server_exceptions=False,
            follow_redirects=False,
        )
        made.app_state = app.state._state
        opened.append(made)
        return made

    yield make
    for made in opened:
        made.close()


@pytest.fixture
def standing_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """No allowance grows meanwhile, however long a busy machine takes."""

    def standing(*, per_minute: float, burst: float, clock: object = None) -> Buckets:
        return Buckets(per_minute=per_minute, burst=burst, clock=lambda: 0.0)

    for module in (rates, tokens):
        monkeypatch.setattr(module, "Buckets", standing)


def code(answer: Any) -> tuple[int, str]:
    """The status and the code of a refusal, whose shape is that of all."""
    error = answer.json()["error"]
    assert set(error) >= {"code", "message", "field"}
    assert error["message"]
    return answer.status_code, error["code"]


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8077", "localhost:8077", "LOCALHOST", "[::1]:8077", "photos.example"]
)
def test_it_answers_to_its_own_names(client: Client, host: str) -> None:
    answer = client(allowed_hosts=("photos.example",)).get(INFO, headers={"Host": host})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8077", "127.0.0.1.evil.example", "192.168.1.5", "a@127.0.0.1:b",
     "localhost.", "[::1", ""],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/", INFO, "/healthz", "/static/login.css"])
def test_a_name_that_was_pointed_here_is_refused(client: Client, host: str, path: str) -> None:
    assert code(client().get(path, headers={"Host": host})) == (403, "wrong_host")


def test_a_server_for_others_answers_to_addresses_but_not_to_any_name(client: Client) -> None:
    public = client(host="0.0.0.0", token=TOKEN)
    assert public.get("/healthz", headers={"Host": "192.168.1.5:8077"}).status_code == 200
    assert public.get("/healthz", headers={"Host": "[fd00::5]:8077"}).status_code == 200
    refused = public.get("/healthz", headers={"Host": "evil.example"})
    assert code(refused) == (403, "wrong_host")


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({}, True),  # a program
        ({"Origin": HERE}, True),
        ({"Origin": HERE, "Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Origin": "http://127.0.0.1:9000"}, False),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"}, False),
        ({"Origin": "null"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, False),
    ],
)
@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT"])
def test_pages_of_other_origins_cannot_change_anything(
    client: Client, method: str, headers: dict[str, str], passes: bool
) -> None:
    answer = client().request(method, "/api/v1/nothing", headers=headers)
    assert code(answer) == ((404, "not_found") if passes else (403, "wrong_origin"))


def test_pages_of_other_origins_can_link_here_but_not_use_what_is_here(client: Client) -> None:
    foreign = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    assert code(client().get(INFO, headers=foreign)) == (403, "wrong_origin")
    assert client().get("/", headers=foreign | {"Sec-Fetch-Mode": "navigate"}).status_code == 200


def test_no_origin_is_allowed_to_read_answers(client: Client) -> None:
    asked = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    for answer in (client().get(INFO, headers=asked), client().options(INFO, headers=asked)):
        assert not [name for name in answer.headers if name.startswith("access-control")]
    assert client().options(INFO, headers=asked).status_code == 403


def fails() -> None:
    raise KeyError("secret")


def test_every_answer_tells_browsers_what_they_may_do_with_it(client: Client) -> None:
    server = client(route=fails)
    answers = [
        server.get("/"),
        server.get(INFO),
        server.get("/static/login.css"),
        server.get("/nothing"),
        server.get("/", headers={"Host": "evil.example"}),
        server.post("/", headers={"Origin": "null"}),
        server.get("/api/v1/extra/x"),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 404, 403, 403, 500]
    for answer in answers:
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "unsafe" not in policy
        assert "*" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert answers[1].headers["Cache-Control"] == "no-store"


def test_a_fault_is_told_without_what_is_behind_it(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    answer = client(route=fails).get("/api/v1/extra/x")
    assert code(answer) == (500, "fault")
    assert "secret" not in answer.text
    assert "KeyError" in caplog.text
    assert Path(__file__).name in caplog.text


def every_path(server: TestClient) -> set[str]:
    documented = server.get("/api/v1/openapi.json", headers=BEARER).json()["paths"]
    others = {"/", "/readyz", "/metrics", "/logout", "/static/login.html", "/api/v1/openapi.json"}
    return {path.replace("{", "").replace("}", "") for path in documented} | others


def test_without_the_token_nothing_is_answered_but_whether_it_lives(client: Client) -> None:
    server = client(token=TOKEN)
    paths = every_path(server) - OPEN
    assert {INFO, "/api/v1/readyz", "/api/v1/metrics"} <= paths
    for path in paths:
        for method in ("GET", "HEAD", "POST", "DELETE", "OPTIONS"):
            answer = server.request(method, path)
            assert answer.status_code == 401, (method, path)
            assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert code(server.get(path)) == (401, "unauthorized")
    for path in OPEN:
        assert server.get(path).status_code == 200, path


@pytest.mark.parametrize(
    "given",
    [f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}x", "Bearer ", "Bearer", f"Basic {TOKEN}", TOKEN,
     "Bearer \xe9\xe9"],
)  # fmt: skip
def test_only_the_whole_token_opens(client: Client, given: str) -> None:
    server = client(token=TOKEN)
    headers = {"Authorization": given.encode("latin-1")}
    refused = server.get(INFO, headers=headers)  # type: ignore[arg-type]  # httpx takes bytes
    assert code(refused) == (401, "unauthorized")
    assert TOKEN not in refused.text
    assert server.get(INFO, headers=BEARER).status_code == 200


def test_a_cookie_that_is_made_up_or_the_token_itself_opens_nothing(client: Client) -> None:
    for value in (TOKEN, "", "x" * 43):
        answer = client(token=TOKEN).get(INFO, headers={"Cookie": f"{COOKIE}={value}"})
        assert answer.status_code == 401


def test_a_browser_is_led_to_the_login_and_back(client: Client) -> None:
    server = client(token=TOKEN)
    page = {"Accept": "text/html,*/*"}
    assert server.get("/", headers=page).headers["Location"] == "/login"
    led = server.get("/?q=id%3Aab&where=width%3E3", headers=page)
    assert led.status_code == 303
    form = server.get(led.headers["Location"])
    assert 'type="password"' in form.text
    assert "<script" not in form.text
    wrong = server.post(led.headers["Location"], data={"token": "wrong" * 4})
    assert wrong.status_code == 401
    assert "This token is wrong." in wrong.text
    assert "set-cookie" not in wrong.headers
    done = server.post(led.headers["Location"], data={"token": TOKEN})
    assert (done.status_code, done.headers["Location"]) == (303, "/?q=id%3Aab&where=width%3E3")
    cookie = done.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Secure" not in cookie
    assert TOKEN not in cookie
    assert server.get(INFO).status_code == 200  # the client has kept the cookie
    assert server.get("/login").headers["Location"] == "/"
    session = {"Cookie": f"{COOKIE}={server.cookies[COOKIE]}"}
    assert server.post("/logout").headers["Location"] == "/login"
    assert client(token=TOKEN).get(INFO, headers=session).status_code == 401
    assert server.get(INFO, headers=session).status_code == 401


def test_over_https_the_cookie_never_goes_over_http(client: Client) -> None:
    server = client(at="https://127.0.0.1:8077", token=TOKEN)
    assert "Secure" in server.post("/login", data={"token": TOKEN}).headers["Set-Cookie"]


@pytest.mark.parametrize(
    "wanted",
    ["//evil.example", "https://evil.example", "/\\evil.example", "/\r\nSet-Cookie: a=b", ""],
)
def test_the_login_leads_to_pages_of_this_server_only(client: Client, wanted: str) -> None:
    answer = client(token=TOKEN).post("/login", params={"next": wanted}, data={"token": TOKEN})
    assert answer.headers["Location"] == "/"


def test_what_stands_in_the_address_cannot_become_part_of_the_login_page(client: Client) -> None:
    text = client(token=TOKEN).get('/login?next="><script>alert(1)</script>').text
    assert "<script" not in text


def test_another_page_cannot_log_a_browser_in(client: Client) -> None:
    headers = {"Origin": "http://evil.example"}
    answer = client(token=TOKEN).post("/login", data={"token": TOKEN}, headers=headers)
    assert code(answer) == (403, "wrong_origin")


def test_the_login_takes_no_files(client: Client) -> None:
    answer = client(token=TOKEN).post("/login", files={"token": b"x" * 100})
    assert code(answer) == (415, "wrong_type")


def test_without_a_token_there_is_nothing_to_log_in_to(client: Client) -> None:
    assert client().get("/login").headers["Location"] == "/"
    assert client().post("/login", data={"token": "x"}).headers["Location"] == "/"


@pytest.mark.usefixtures("standing_clock")
def test_guessing_the_token_is_slowed_down_for_who_guesses(client: Client) -> None:
    server = client(token=TOKEN, address="10.0.0.1")
    assert server.post("/login", data={"token": TOKEN}).status_code == 303
    session = {"Cookie": f"{COOKIE}={server.cookies[COOKIE]}"}
    server.cookies.clear()
    statuses = [server.post("/login", data={"token": "x" * 20}).status_code for _ in range(4)]
    wrong = {"Authorization": "Bearer " + "x" * 20}
    statuses += [server.get(INFO, headers=wrong).status_code for _ in range(TRIES - 4)]
    assert statuses == [401] * TRIES
    refused = server.get(INFO, headers=BEARER)
    assert code(refused) == (429, "too_many_requests")
    assert 1 <= int(refused.headers["Retry-After"]) <= 10
    assert server.post("/login", data={"token": TOKEN}).status_code == 429
    assert server.get(INFO, headers=session).status_code == 200  # who is in stays in


def test_sessions_end_after_a_week_and_are_bounded() -> None:
    now = [0.0]
    sessions = Sessions(TOKEN, clock=lambda: now[0])
    first = sessions.begin()
    now[0] = SESSION_S - 1
    assert sessions.knows(first)
    now[0] = SESSION_S + 1
    assert not sessions.knows(first)
    assert not sessions.knows(None)
    second = sessions.begin()
    for _ in range(MOST_SESSIONS):
        third = sessions.begin()
    assert not sessions.knows(second)
    assert sessions.knows(third)


def test_a_bucket_fills_again_and_few_clients_are_remembered() -> None:
    now = [100.0]
    buckets = Buckets(per_minute=60, burst=2, clock=lambda: now[0], most=3)
    assert [buckets.take("a") for _ in range(3)] == [0, 0, 1]
    assert buckets.wait("a") == 1
    assert buckets.take("b") == 0
    now[0] += 1
    assert [buckets.take("a"), buckets.take("a")] == [0, 1]
    now[0] += 1000
    assert [buckets.take("a") for _ in range(3)] == [0, 0, 1]
    for number in range(10):
        buckets.take(str(number))
    assert len(buckets) == 3


def test_one_subscriber_is_one_client() -> None:
    def of(address: str) -> str:
        return client_of({"client": (address, 1)})

    assert of("2001:db8::1") == of("2001:db8::ffff") != of("2001:db8:0:1::1")
    assert of("10.0.0.1") != of("10.0.0.2")
    assert client_of({"client": None}) == ""


@pytest.mark.usefixtures("standing_clock")
def test_who_asks_too_often_waits_and_others_do_not(client: Client) -> None:
    settings = Settings(requests_per_minute=8)  # two at once
    server = client(settings=settings, address="10.0.0.1")
    assert [server.get(INFO).status_code for _ in range(2)] == [200, 200]
    refused = server.get(INFO)
    assert code(refused) == (429, "too_many_requests")
    assert 1 <= int(refused.headers["Retry-After"]) <= 8
    assert server.get("/healthz").status_code == 200
    assert server.get("/static/login.css").status_code == 200
    server._transport.client = ("10.0.0.2", 1)  # type: ignore[attr-defined]
    assert server.get(INFO).status_code == 200
    unlimited = client(settings=Settings(requests_per_minute=0))
    assert {unlimited.get(INFO).status_code for _ in range(50)} == {200}


@pytest.mark.usefixtures("standing_clock")
def test_thumbnails_hardly_count(client: Client) -> None:
    server = client(settings=Settings(requests_per_minute=8))
    path = "/api/v1/images/" + "0" * 32 + "/thumbnail"
    assert 429 not in {server.get(path).status_code for _ in range(35)}
    assert 429 in {server.get(path).status_code for _ in range(10)}


def test_a_crowd_is_refused_and_streams_do_not_fill_the_place() -> None:
    async def scene() -> None:
        release = asyncio.Event()

        async def slow(scope: Scope, receive: Receive, send: Send) -> None:
            await release.wait()
            await PlainTextResponse("done")(scope, receive, send)

        crowd = Crowd(slow, most=2, most_streams=1)
        transport = httpx.ASGITransport(app=crowd)
        async with httpx.AsyncClient(transport=transport, base_url=HERE) as asked:
            stream = asyncio.create_task(asked.get("/jobs/1/events"))
            waiting = [asyncio.create_task(asked.get("/x")) for _ in range(2)]
            await asyncio.sleep(0.05)
            for path in ("/x", "/jobs/2/events"):
                refused = await asked.get(path)
                assert code(refused) == (503, "busy")
                assert refused.headers["Retry-After"] == "1"
            release.set()
            assert [(await task).status_code for task in (stream, *waiting)] == [200] * 3
            assert (await asked.get("/x")).status_code == 200

    asyncio.run(scene())


def test_the_log_of_requests_has_no_questions_and_no_secrets(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="lookalike.serve")
    server = client(token=TOKEN)
    server.get(INFO + "?where=private", headers=BEARER)
    server.post("/login?next=/private", data={"token": TOKEN})
    server.get("/private-path/" + TOKEN)
    lines = [record.getMessage() for record in caplog.records]
    shapes = [line.rsplit(" ", 2)[0] for line in lines]
    assert shapes == ["GET /api/v1/info 200", "POST /login 303", "GET other 404"]
    assert not any(word in line for line in lines for word in (TOKEN, "private"))


def test_figures_are_counted_by_route_and_never_by_what_clients_make_up(client: Client) -> None:
    server = client(route=lambda name: name)
    for name in ("one", "two"):
        server.get(f"/api/v1/extra/{name}")
        server.get(f"/{name}")
    server.get(INFO)
    server.request("BREW", INFO)
    server.get("/", headers={"Host": "evil.example"})
    server.app_state["service"].metrics.batch(3)
    server.app_state["service"].metrics.count_jobs = lambda: {"running": 2}
    text = server.get("/metrics").text
    assert server.get("/metrics").headers["Content-Type"].startswith("text/plain")
    counted = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")

    def requests(method: str, route: str, status: int) -> float:
        labels = f'method="{method}",route="{route}",status="{status}"'
        return float(counted[f"lookalike_requests_total{{{labels}}}"])

    assert requests("GET", "/api/v1/info", 200) == 1
    assert requests("GET", "/api/v1/extra/{name}", 200) == 2
    assert requests("GET", "other", 404) == 2
    assert requests("GET", "other", 403) == 1
    assert requests("other", "/api/v1/info", 405) == 1
    assert float(counted["lookalike_pictures"]) == 1
    assert float(counted["lookalike_batch_size_sum"]) == 3
    assert float(counted['lookalike_jobs{state="running"}']) == 2
    assert float(counted["lookalike_requests_under_way"]) == 1  # this one
    assert float(counted["process_resident_memory_bytes"]) > 50e6
    assert not any(word in text for word in ("one", "evil", "BREW"))
