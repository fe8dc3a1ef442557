"""The page in a real browser, on a real server of the sample pictures."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, Route, expect, sync_playwright

from lookalike import Index
from tests.forked import COMMAND, Lookalike

CHROMIUM = shutil.which("chromium")
FILES = Path(__file__).parents[1] / "src" / "lookalike" / "serve" / "page"
MOST_BYTES = 60_000
WIDE, PHONE = (1280, 800), (390, 844)
expect.set_options(timeout=15_000)  # other tests run at the same time
NASTY = "<img src=x onerror=document.title=1>.jpg"

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")


@dataclass
class Visit:
    """A page that is open, with what went wrong in it and what it asked for."""

    page: Page
    url: str
    faults: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def open(self, address: str = "/") -> None:
        self.page.goto(self.url + address)
        expect(self.page.locator("#count")).to_contain_text("picture")

    def names(self) -> list[str]:
        """The pictures that are shown, best first."""
        labels = self.page.locator("#grid .tile:not([hidden]) .pick")
        expect(labels.first).to_be_visible()
        told = labels.evaluate_all("all => all.map(each => each.getAttribute('aria-label'))")
        return [label.split(",")[0] for label in told]

    def drop(self, *files: Path, zone: str = "#drop > :first-child") -> None:
        """Drop files as a file manager does."""
        given = [[file.name, b64encode(file.read_bytes()).decode()] for file in files]
        data = self.page.evaluate_handle(
            """files => {
                const data = new DataTransfer();
                for (const [name, text] of files) {
                    const bytes = Uint8Array.from(atob(text), each => each.charCodeAt(0));
                    data.items.add(new File([bytes], name, {type: "image/jpeg"}));
                }
                return data;
            }""",
            given,
        )
        self.page.dispatch_event("body", "dragenter", {"dataTransfer": data})
        expect(self.page.locator("#drop")).to_be_visible()
        self.page.dispatch_event(zone, "drop", {"dataTransfer": data})

    def settled(self) -> None:
        """Wait until the answer to what is asked is shown."""
        expect(self.page.locator("#results")).to_have_attribute("aria-busy", "false")

    def ask_with(self, file: Path) -> None:
        self.open()
        self.drop(file)
        expect(self.page.locator("#heading")).to_have_text("What looks alike")
        expect(self.page.locator(".pick[aria-label*=score]").first).to_be_visible()

    def tile(self, name: str) -> Locator:
        return self.page.locator(f".tile:has([aria-label^='{name}'])")

    def chips(self) -> list[str]:
        return [
            " ".join(each.split()) for each in self.page.locator(".weighing p").all_inner_texts()
        ]

    def violations(self) -> list[str]:
        """What axe-core finds serious or critical."""
        found = Axe().run(self.page).response["violations"]
        return [
            f"{each['id']}: {[node['target'] for node in each['nodes']]}"
            for each in found
            if each["impact"] in ("serious", "critical")
        ]

    def is_too_wide(self) -> bool:
        return bool(
            self.page.evaluate(
                "document.documentElement.scrollWidth > document.documentElement.clientWidth"
            )
        )


Open = Callable[..., Visit]


@pytest.fixture(scope="module")
def pictures(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample pictures; one of them twice more, and one of an unfriendly name."""
    folder = tmp_path_factory.mktemp("page") / "photos"
    shutil.copytree(samples, folder)
    shutil.copy(samples / "birds" / "crow.jpg", folder / "crow-again.jpg")
    with Image.open(samples / "birds" / "crow.jpg") as crow:
        crow.resize((120, 97)).save(folder / "crow-small.jpg", quality=90)
    shutil.copy(samples / "tools" / "mallet.jpg", folder / NASTY)
    return folder


@contextlib.contextmanager
def serving(database: Path, *options: str) -> Iterator[str]:
    """The address of a server, a process of its own."""
    command = [*COMMAND, "serve", "--port", "0", "--db", str(database)]
    with tempfile.TemporaryDirectory() as cache:
        process = Lookalike(
            [*command, *options],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "XDG_CACHE_HOME": cache},
        )
        try:
            assert process.stderr
            for line in process.stderr:
                if found := re.search(r"http://\S+", line):
                    yield found[0].rstrip("/")
                    break
            else:
                pytest.fail("the server did not start")
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)


@pytest.fixture(scope="module")
def server(pictures: Path) -> Iterator[str]:
    database = pictures.parent / "photos.db"
    with Index.open(database) as index:
        index.add(pictures)
    with serving(database, "--root", str(pictures), "--show-paths") as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Open]:
    """Opens pages; in the end none of them may have met a fault, or asked another server."""
    visits: list[Visit] = []

    def begin(size: tuple[int, int] = WIDE, url: str = "", **options: Any) -> Visit:
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **options)
        context.set_default_timeout(10_000)
        page = context.new_page()
        begun = Visit(page, url or request.getfixturevalue("server"))
        visits.append(begun)
        page.on("pageerror", lambda error: begun.faults.append(str(error)))
        page.on("console", lambda said: begun.faults.extend([said.text] * (said.type == "error")))
        page.on("request", lambda asked: begun.asked.append(asked.url))
        return begun

    yield begin
    for each in visits:
        assert [url for url in each.asked if not url.startswith((each.url, "blob:"))] == []
        # What the browser itself notes of answers that tests provoke is none.
        faults = [said for said in each.faults if not said.startswith("Failed to load resource")]
        assert faults == []
        each.page.context.close()


def test_there_is_a_browser_or_it_is_said_aloud(say: Callable[[str], None]) -> None:
    if CHROMIUM is None:
        say("NOT TESTED: the page. There is no Chromium; on Debian: apt-get install chromium")
        pytest.skip("there is no Chromium")


def test_the_page_is_small_and_has_no_inline_scripts_or_styles() -> None:
    files = [file for file in FILES.iterdir() if not file.name.startswith("login")]
    assert sum(file.stat().st_size for file in files) < MOST_BYTES
    text = (FILES / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<style|style=|\son\w+=|<script(?![^>]*src=)", text)
    for file in files:
        content = file.read_text(encoding="utf-8")
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", content
        )


@needs_browser
def test_from_a_drop_to_a_part_to_more_like_this_to_a_filter_and_back(
    visit: Open, samples: Path
) -> None:
    this = visit()
    page = this.page
    this.ask_with(samples / "flowers" / "daffodil.webp")
    assert this.names()[0] == "daffodil.webp"
    assert this.chips() == ["like daffodil.webp"]
    whole = page.url
    assert re.search(r"\?upload=[0-9a-f]{32}$", whole)
    scores = page.locator(".label span:first-child").all_inner_texts()
    assert scores == sorted(scores, reverse=True)

    box = page.locator("#stage .frame").bounding_box()
    assert box
    at = [
        (box["x"] + box["width"] * part, box["y"] + box["height"] * part) for part in (0.25, 0.75)
    ]
    page.mouse.move(*at[0])
    page.mouse.down()
    page.mouse.move(*at[1], steps=5)
    page.mouse.up()
    page.wait_for_url(re.compile(r"upload=1%5B"))
    this.settled()
    part = page.url
    x, y, width, height = map(
        float, re.findall(r"[\d.]+", part.split("%5B")[1].split("%5D")[0].replace("%2C", ","))
    )
    assert (x, y, width, height) == pytest.approx((25, 25, 50, 50), abs=1)
    # Other scores than those of the whole picture, whose copy is in the index.
    assert page.locator(".label span:first-child").first.inner_text() < scores[0]

    this.tile("petunia.jpg").hover()
    page.get_by_role("button", name="More like petunia.jpg").click()
    expect(page.locator(".term")).to_have_count(2)
    this.settled()
    expect(this.tile("petunia.jpg")).to_have_attribute("data-sign", "more")
    this.tile("marigold.jpg").hover()
    page.get_by_role("button", name="Less like marigold.jpg").click()
    expect(page.locator(".term")).to_have_count(3)
    this.settled()
    assert this.chips() == [
        "more like daffodil.webp",
        "more like petunia.jpg",
        "less like marigold.jpg",
    ]
    expect(page.locator(".term").last.locator("output")).to_have_text("−0.5")
    three = page.url

    page.fill("#where", "width > and")
    page.keyboard.press("Enter")
    expect(page.locator("#wrong")).to_be_visible()
    expect(page.locator("#where")).to_have_attribute("aria-invalid", "true")
    caret, where = page.locator("#caret").bounding_box(), page.locator("#where").bounding_box()
    assert caret and where
    letter = page.locator("#caret").evaluate("each => each.getBoundingClientRect().width")
    assert (caret["x"] - where["x"] - 12) / letter == pytest.approx(len("width > "), abs=0.5)
    page.fill("#where", 'format = "webp"')
    page.keyboard.press("Enter")
    expect(page.locator("#wrong")).to_be_hidden()
    this.settled()
    assert all(name.endswith(".webp") for name in this.names())

    # One step for the filter, however often it was changed; one for each term; one for the box.
    for address in (three, None, part, whole):
        page.go_back()
        if address:
            assert page.url == address
    this.settled()
    expect(page.locator("#where")).to_have_value("")
    assert page.locator(".label span:first-child").first.inner_text() == scores[0]
    expect(page.locator(".crop")).to_be_hidden()


@needs_browser
def test_a_question_is_a_link(visit: Open, samples: Path) -> None:
    this = visit()
    this.ask_with(samples / "flowers" / "daffodil.webp")
    this.page.get_by_role("button", name="Search for a part").click()
    this.page.locator(".pick").nth(3).focus()
    this.page.keyboard.press("m")
    expect(this.page.locator(".term")).to_have_count(2)
    this.settled()
    other = visit()
    other.open(this.page.url.removeprefix(this.url))
    expect(other.page.locator(".term")).to_have_count(2)
    expect(other.page.locator(".crop")).to_be_visible()
    other.settled()
    assert other.names() == this.names()
    expect(other.page.locator(".weighing .name").nth(1)).to_have_text(re.compile(r"\.\w+$"))


@needs_browser
def test_weights_and_terms_change_what_is_found(visit: Open, samples: Path) -> None:
    this = visit()
    page = this.page
    this.ask_with(samples / "birds" / "crow.jpg")
    this.drop(samples / "flowers" / "daffodil.webp", zone="#drop-add")
    expect(page.locator(".term")).to_have_count(2)
    this.settled()
    weight = page.get_by_role("slider", name="Weight of daffodil.webp")
    weight.fill("-1")
    page.wait_for_url(re.compile(r"upload=-1"))
    this.settled()
    assert this.chips()[1] == "less like daffodil.webp"
    assert "daffodil.webp" not in this.names()[:20]
    weight.fill("2")
    page.wait_for_url(re.compile(r"upload=2"))
    expect(this.tile("daffodil.webp").first).to_be_visible()
    assert this.names()[0] == "daffodil.webp"
    page.get_by_role("button", name="Take crow.jpg out of the question").click()
    expect(page.locator(".term")).to_have_count(1)

    page.locator("#score").fill("0.5")
    page.wait_for_url(re.compile("min=0.5"))
    this.settled()
    assert all(
        float(each) >= 0.5 for each in page.locator(".label span:first-child").all_inner_texts()
    )


@needs_browser
def test_everything_can_be_done_with_keys_alone(visit: Open) -> None:
    this = visit()
    page = this.page
    this.open()
    names = this.names()

    def focused() -> str:
        return str(page.evaluate("document.activeElement.getAttribute('aria-label')")).split(",")[0]

    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    for _ in range(10):
        page.keyboard.press("Tab")
        if focused() == names[0]:
            break
    assert focused() == names[0]
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    assert focused() == names[1]
    page.keyboard.press("End")
    assert focused() not in names[:2]
    page.keyboard.press("Home")
    assert focused() == names[0]

    page.keyboard.press("Enter")
    expect(page.locator("#details-name")).to_have_text(names[0])
    page.keyboard.press("ArrowRight")
    expect(page.locator("#details-name")).to_have_text(names[1])
    page.keyboard.press("Escape")
    expect(page.locator("#details")).to_be_hidden()
    assert focused() == names[1]

    page.keyboard.press("s")
    expect(page.locator(".term")).to_have_count(1)
    this.settled()
    assert focused() == names[1]  # still there, now the best hit
    assert this.names()[0] == names[1]
    for way, key, sign in (("ArrowRight", "m", "more"), ("ArrowDown", "l", "less")):
        page.keyboard.press(way)
        other, before = focused(), page.locator(".term").count()
        page.keyboard.press(key)
        expect(page.locator(".term")).to_have_count(before + 1)
        this.settled()
        assert this.chips()[-1] == f"{sign} like {other}"
        if key == "m":
            assert focused() == other
        assert focused() in this.names()

    page.keyboard.press("/")
    page.keyboard.type("width > 200")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("where="))
    this.settled()
    page.keyboard.press("Escape")
    assert focused() in this.names()
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    page.keyboard.press("Escape")


@needs_browser
def test_a_part_can_be_chosen_with_keys_alone(visit: Open, samples: Path) -> None:
    this = visit()
    page = this.page
    this.ask_with(samples / "deer" / "fawn.jpg")
    page.get_by_role("button", name="Search for a part").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Shift+ArrowDown")
    page.wait_for_url(re.compile(quote("[20,25,50,55]")))
    expect(page.locator(".crop")).to_be_focused()
    label = page.locator(".crop").get_attribute("aria-label") or ""
    assert label.startswith("Part that is searched for: 50 % wide, 55 % high, 20 % from the left")
    page.keyboard.press("Delete")
    page.wait_for_url(re.compile("upload=[0-9a-f]{32}"))
    expect(page.locator(".crop")).to_be_hidden()


@needs_browser
def test_more_pictures_come_at_the_end_and_none_moves(visit: Open, pictures: Path) -> None:
    this = visit()
    page = this.page
    this.open()
    assert len(this.names()) <= 48
    shown = "[...document.querySelectorAll('.tile:not([hidden])')]"
    places = f"() => {shown}.map(each => each.style.cssText)"
    before = page.evaluate(places)
    expected = sum(1 for file in pictures.rglob("*") if file.suffix in (".jpg", ".png", ".webp"))
    page.mouse.move(800, 500)
    for _ in range(20):
        page.mouse.wheel(0, 1500)
        page.wait_for_timeout(50)
        if not page.locator("#summary").inner_text().endswith("+"):
            break
    expect(page.locator(".tile:not([hidden])")).to_have_count(len(set(this.names())))
    assert abs(len(this.names()) - expected) <= 4  # other tests take some out
    assert page.evaluate(places)[: len(before)] == before
    tops = page.evaluate(f"() => {shown}.map(each => [each.style.top, each.style.height])")
    assert len({top for top, _ in tops}) == len(set(map(tuple, tops)))  # rows of equal height


@needs_browser
def test_on_a_phone_nothing_is_wider_than_the_screen(visit: Open, samples: Path) -> None:
    this = visit(PHONE, has_touch=True, is_mobile=True)
    page = this.page
    this.ask_with(samples / "deer" / "fawn.jpg")
    assert not this.is_too_wide()
    page.locator(".tile .less").nth(2).tap()
    expect(page.locator(".term")).to_have_count(2)
    this.settled()
    assert not this.is_too_wide()
    page.locator(".pick").first.tap()
    expect(page.locator("#details")).to_be_visible()
    assert page.locator("#details").evaluate("each => each.scrollWidth <= each.clientWidth")
    page.go_back()
    expect(page.locator("#details")).to_be_hidden()
    for view in ("Duplicates", "Index"):
        page.get_by_role("link", name=view).tap()
        expect(page.locator("#other h2")).to_be_visible()
        assert not this.is_too_wide()


@needs_browser
def test_what_goes_wrong_is_said_with_what_to_do(
    visit: Open, samples: Path, tmp_path: Path
) -> None:
    this = visit()
    page = this.page
    this.ask_with(samples / "deer" / "fawn.jpg")
    damaged = tmp_path / "damaged.jpg"
    damaged.write_bytes(b"no picture at all")
    this.drop(damaged)
    expect(page.locator("#trouble")).to_contain_text("damaged.jpg: ")
    expect(page.locator(".term")).to_have_count(1)

    page.fill("#text", "some words")
    page.keyboard.press("Enter")
    expect(page.locator("#trouble")).to_contain_text("reads no words")
    page.fill("#text", "http://127.0.0.1/private.jpg")
    page.keyboard.press("Enter")
    expect(page.locator("#notice")).to_contain_text("only public http and https addresses")

    page.goto(f"{this.url}/?upload={'0' * 32}")
    expect(page.locator("#notice")).to_contain_text("The picture of this question is gone")
    page.get_by_role("button", name="Ask without it").click()
    expect(page.locator("#heading")).to_have_text("Your pictures")

    page.route("**/api/v1/search", lambda route: route.abort("connectionrefused"))
    page.locator(".acts .ask").first.dispatch_event("click")
    expect(page.locator("#notice")).to_contain_text("The server does not answer")
    page.unroute("**/api/v1/search")
    expect(page.locator("#heading")).to_have_text("What looks alike")
    expect(page.locator(".pick").first).to_be_visible()  # it goes on by itself

    def away(route: Route) -> None:
        error = {"code": "database_unavailable", "message": "Milvus is away.", "field": None}
        route.fulfill(status=503, json={"error": error}, headers={"Retry-After": "600"})

    page.route("**/api/v1/search", away)
    page.locator("#score").fill("0.1")
    expect(page.locator("#notice")).to_contain_text("Milvus is away.")
    page.unroute("**/api/v1/search")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".pick").first).to_be_visible()

    page.fill("#where", "width > 100000")
    page.keyboard.press("Enter")
    expect(page.locator("#notice")).to_contain_text("Nothing fits")
    page.get_by_role("button", name="Without the filter").click()
    expect(page.locator(".pick").first).to_be_visible()


@needs_browser
def test_an_empty_index_says_how_to_fill_it(visit: Open, tmp_path: Path) -> None:
    database = tmp_path / "empty.db"
    Index.open(database).close()
    with serving(database) as address:
        this = visit(url=address)
        this.open()
        expect(this.page.locator("#notice")).to_contain_text("lookalike index FOLDER")
        assert this.violations() == []
        this.page.get_by_role("link", name="Duplicates").click()
        expect(this.page.locator("#other")).to_contain_text("No duplicates")
        this.page.get_by_role("link", name="Index").click()
        expect(this.page.locator("#other")).to_contain_text("lookalike serve --root FOLDER")


@needs_browser
def test_duplicates_are_kept_and_discarded(visit: Open, pictures: Path) -> None:
    this = visit()
    page = this.page
    this.open("/?view=duplicates")
    before = int(page.locator("#count").inner_text().split()[0])
    group = page.get_by_role("group", name=re.compile("crow"))
    expect(group.locator(".member")).to_have_count(3)
    for name, kept in (("crow.jpg", True), ("crow-small.jpg", True), ("crow-again.jpg", False)):
        group.get_by_role("checkbox", name=f"Keep {name}").set_checked(kept)
    expect(group.locator("[data-fate=keep]")).to_have_count(2)
    group.get_by_role("button", name="Take 1 picture out of the index").click()
    expect(page.locator(".done")).to_contain_text("1 picture taken out of the index")
    expect(page.locator("#count")).to_have_text(f"{before - 1} pictures")
    assert (pictures / "crow-again.jpg").exists()
    page.reload()
    group = page.get_by_role("group", name=re.compile("crow"))
    expect(group.locator(".member")).to_have_count(2)
    assert this.violations() == []
    page.get_by_label("Find").select_option("exact")
    expect(page.locator("#other")).not_to_contain_text("crow-again.jpg")


@needs_browser
def test_indexing_shows_how_far_it_is(visit: Open, pictures: Path, samples: Path) -> None:
    this = visit()
    page = this.page
    this.open("/?view=index")
    for number in range(40):
        with Image.open(samples / "birds" / "crow.jpg") as picture:
            picture.rotate(number * 9).save(pictures / f"turned-{number}.jpg")
    (pictures / "broken.jpg").write_bytes(b"broken")
    page.get_by_role("button", name="Index now").click()
    expect(page.locator("progress")).to_be_visible()
    expect(page.locator("#busy")).to_be_visible()
    expect(page.locator(".job .big")).to_have_text("Done", timeout=30_000)
    added = page.locator(".counts span", has_text="added").inner_text()
    assert int(added.split()[0]) >= 40
    page.get_by_text("1 file was skipped").click()
    expect(page.locator(".job li")).to_contain_text("broken.jpg")
    expect(page.locator("#busy")).to_be_hidden()
    assert this.violations() == []
    for path in pictures.glob("turned-*"):
        path.unlink()


@needs_browser
def test_names_are_only_text(visit: Open, pictures: Path) -> None:
    this = visit()
    this.open("/?where=" + quote(f'path = "{pictures / NASTY}"'))
    assert this.names() == [NASTY]
    this.page.locator(".pick").click()
    expect(this.page.locator("#details-name")).to_have_text(NASTY)
    this.page.keyboard.press("s")
    expect(this.page.locator(".weighing .name")).to_have_text(NASTY)
    assert this.page.title() == "lookalike"


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_state_has_a_serious_accessibility_fault(
    visit: Open, samples: Path, scheme: str
) -> None:
    this = visit(color_scheme=scheme, reduced_motion="reduce")
    page = this.page
    this.open()
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    lightness = sum(map(int, re.findall(r"\d+", ground)[:3])) / 3
    assert lightness < 40 if scheme == "dark" else lightness > 215
    assert this.violations() == []
    this.ask_with(samples / "flowers" / "daffodil.webp")
    page.get_by_role("button", name="Search for a part").click()
    page.locator(".pick").nth(2).focus()
    page.keyboard.press("m")
    expect(page.locator(".term")).to_have_count(2)
    page.fill("#where", "width >")
    page.keyboard.press("Enter")
    expect(page.locator("#wrong")).to_be_visible()
    assert this.violations() == []
    page.locator(".pick").nth(3).click()
    expect(page.locator("#details dl")).to_be_visible()
    assert this.violations() == []
    page.keyboard.press("Escape")
    page.locator("#keys").click()
    assert this.violations() == []
    this.open(f"/?upload={'0' * 32}")
    expect(page.locator("#notice .big")).to_be_visible()
    assert this.violations() == []
    this.open("/?view=index")
    assert this.violations() == []
    assert page.evaluate("document.getAnimations().length") == 0


@needs_browser
def test_a_pasted_picture_is_a_question(visit: Open, samples: Path) -> None:
    this = visit()
    this.open()
    text = b64encode((samples / "insects" / "hornet.jpg").read_bytes()).decode()
    this.page.evaluate(
        """text => {
            const data = new DataTransfer();
            const bytes = Uint8Array.from(atob(text), each => each.charCodeAt(0));
            data.items.add(new File([bytes], "", {type: "image/jpeg"}));
            const pasted = new ClipboardEvent("paste", {clipboardData: data, bubbles: true});
            document.body.dispatchEvent(pasted);
        }""",
        text,
    )
    expect(this.page.locator(".weighing .name")).to_have_text("Pasted picture")
    this.settled()
    expect(this.tile("hornet.jpg").first).to_be_visible()
    assert this.names()[0] == "hornet.jpg"
