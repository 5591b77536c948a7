"""The pages in a real browser, used as a person uses them: the report of a run, and the live page of one that goes on."""

from __future__ import annotations

import json
import re
import shutil
import signal
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from bazaar.runtime.history import HISTORY_FILE, encode_line, histories_of
from bazaar.views.report import make_report
from tests.builders import a_line, a_plan
from tests.processes.browsing import Visit, open_browser, visit
from tests.processes.command import ended, launched, run
from tests.processes.test_live_page import address_of
from tests.waiting import wait_until

pytestmark = [pytest.mark.xdist_group("browser"), pytest.mark.timeout(600)]

CALM = ("--pace", "fast", "--set", "think_s=0.1")  # leaves the browser and the server some of the processors
TABS = 7  # one more than the connections that a browser opens to a server
HIDE = """hidden => {
    Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


@pytest.fixture
def person(browser: Browser) -> Iterator[Visit]:
    with visit(browser) as person:
        yield person
    assert person.complaints == []


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, mongo_uri: str) -> Path:
    """The folder of a run in which a trader was killed, and that over-sold."""
    folder = tmp_path_factory.mktemp("browser")
    arguments = ("localhost", 6, 2, "--pace", "fast", "--duration", 5, "--seed", 3, "--fault", "kill:trader1@1")
    status, said, complained = run(folder, mongo_uri, *arguments, "--out", folder / "run")
    assert (status, complained) == (0, ""), said
    return folder / "run"


@pytest.fixture(scope="module")
def healed(tmp_path_factory: pytest.TempPathFactory, mongo_uri: str) -> Path:
    """The folder of a run along a path of six peers, of whom the third was killed."""
    folder = tmp_path_factory.mktemp("healed")
    (folder / "path.txt").write_text("0 1\n1 0 2\n2 1 3\n3 2 4\n4 3 5\n5 4\n")
    arguments = ("localhost", 6, 1, "--pace", "fast", "--duration", 5, "--routing", "neighbours", "--graph", "path.txt")
    name = a_plan(seed=3, peers=6, traders=1).names[2]
    status, said, complained = run(
        folder, mongo_uri, *arguments, "--seed", 3, "--fault", f"kill:{name}@1", "--out", "run"
    )
    assert (status, complained) == (0, ""), said
    return folder / "run"


def slide_to(page: Page, seconds: float) -> None:
    """Moves the slider to a moment after the opening of the market."""
    page.locator("#time").evaluate(
        "(slider, t) => { slider.value = t + (run.opening ?? 0); slider.dispatchEvent(new Event('input')); }", seconds
    )


# ----------------------------------------------------------------------------------------------- the report
def test_the_report_opens_from_its_file_and_asks_nobody_for_anything(person: Visit, finished: Path) -> None:
    url = (finished / "report.html").as_uri()
    page = person.open(url)
    expect(page.locator("#verdict")).to_have_text(re.compile(r"^held: (\d+) of \1 checks hold$"))
    assert page.locator("#charts canvas").count() == 5
    assert person.asked == [url]


def test_one_slides_through_time(person: Visit, finished: Path) -> None:
    page = person.open((finished / "report.html").as_uri())
    traders, dead = page.locator("g.peer.trader"), page.locator("g.peer.dead")
    expect(page.locator("#moment")).to_have_text(re.compile(r"^\d+\.\d\d s$"))
    assert (traders.count(), dead.count()) == (1, 1)  # at the end
    slide_to(page, 0.5)
    expect(page.locator("#moment")).to_have_text("0.50 s")
    assert (traders.count(), dead.count()) == (2, 0)
    slide_to(page, 1.5)
    assert (traders.count(), dead.count()) == (2, 1)  # nobody has noticed yet
    assert "Fault: kill:trader1@1" in page.locator("#feed").inner_text()
    slide_to(page, -30)
    assert (traders.count(), dead.count()) == (0, 0)
    slide_to(page, 1.5)
    page.locator("#time").focus()
    page.keyboard.press("PageDown")
    before = page.locator("#moment").inner_text()
    page.keyboard.press("ArrowLeft")
    assert page.locator("#moment").inner_text() != before
    page.locator("#lanes svg").click(position={"x": 400, "y": 20})
    assert page.locator("#moment").inner_text() != before


def test_the_number_of_traders_is_marked_where_it_changed(person: Visit, finished: Path, tmp_path: Path) -> None:
    page = person.open((finished / "report.html").as_uri())
    assert page.locator("#lanes .resized").count() == 0
    assert not page.locator("#sizes").is_visible()
    grown = shutil.copytree(finished, tmp_path / "grown")
    first = next(iter(histories_of(grown, ())["warehouse"]))
    with (grown / "warehouse" / HISTORY_FILE).open("ab") as file:
        for after_s, seats in ((2.0, 2), (4.0, 1)):
            facts = {"seats": seats, "by": "buyer0", "wait_ms": 40}
            file.write(encode_line(a_line(first.at + after_s, "warehouse", 1, "resized", facts)))
    page = person.open(make_report(grown).as_uri())
    assert page.locator("#lanes text.number").all_text_contents() == ["2", "1"]
    assert page.locator("#lanes .resized").count() == 2
    assert page.locator("#sizes").is_visible()
    assert "from now on there are 2 traders, as buyer0 asked" in page.locator("#feed").inner_text()


def test_the_edges_are_those_of_the_chosen_moment(person: Visit, healed: Path, finished: Path) -> None:
    page = person.open((healed / "report.html").as_uri())
    edges = {kind: page.locator(f".edge.{kind}") for kind in ("kept", "lost", "made")}
    death = page.evaluate("run.changes.find((change) => change.now === 'dead').t - run.opening")
    slide_to(page, death - 0.01)
    assert {kind: found.count() for kind, found in edges.items()} == {"kept": 5, "lost": 0, "made": 0}
    slide_to(page, death + 0.01)
    assert {kind: found.count() for kind, found in edges.items()} == {"kept": 3, "lost": 2, "made": 0}
    slide_to(page, 30)
    assert {kind: found.count() for kind, found in edges.items()} == {"kept": 3, "lost": 2, "made": 1}
    assert page.locator("#healing").is_visible()
    direct = person.open((finished / "report.html").as_uri())
    assert direct.locator(".edge.kept").count() == direct.locator(".edge").count() > 0
    assert not direct.locator("#healing").is_visible()


def test_one_clicks_an_order_and_reads_what_became_of_it(person: Visit, finished: Path) -> None:
    page = person.open((finished / "report.html").as_uri())
    button = page.locator("#list button").first
    button.click()
    order = button.inner_text()
    expect(page.locator("#story h3").first).to_contain_text(f"Order {order}")
    told = page.locator("#story table").inner_text()
    assert re.search(r"\borders (fish|salt|boar) of\b", told)
    assert page.locator("#story svg.spacetime circle.dot").count() == page.locator("#story tbody tr").count() > 2
    assert button.get_attribute("aria-pressed") == "true"
    page.get_by_role("button", name="go to that moment").click()
    placed = re.search(r"placed (\d+\.\d\d)\d s after", page.locator("#story").inner_text())
    assert placed is not None
    assert abs(float(page.locator("#moment").inner_text().removesuffix(" s")) - float(placed[1])) < 0.02


def test_a_peer_is_chosen_and_nothing_can_be_done_to_it_in_a_report(person: Visit, finished: Path) -> None:
    page = person.open((finished / "report.html").as_uri())
    page.locator("g.peer.dead").click()
    expect(page.locator("#chosen")).to_have_text(re.compile(r"^\w+: a (buyer|seller), first .*; dead\.$"))
    for part in ("#acts", "#ask", "#follow"):
        expect(page.locator(part)).to_be_hidden()


# --------------------------------------------------------------------------------------------- the live page
def follows(page: Page) -> None:
    """Waits until this page has been sent something new."""
    since = page.evaluate("run.events")
    wait_until(lambda: page.evaluate("run.events") > since, 30.0)  # Playwright's own wait needs `eval`


def sees_trade(page: Page) -> None:
    """Waits until an order has been answered: a run that ends before has nothing to judge."""
    wait_until(lambda: page.evaluate("run.columns.shipped.some((number) => number)"), 30.0)


def ask_for(page: Page, order: str) -> None:
    page.get_by_label("Order").fill(order)
    page.get_by_role("button", name="tell").click()


def test_one_kills_a_trader_and_sees_it_fall_its_seat_change_and_the_verdict_hold(
    person: Visit, tmp_path: Path, mongo_uri: str
) -> None:
    out = tmp_path / "run"
    with launched(tmp_path, mongo_uri, "localhost", 5, 1, *CALM, "--seed", 5, "--serve", "--out", out) as command:
        page = person.open(address_of(command))
        verdict = page.locator("#verdict")
        expect(verdict).to_have_text("live")
        follows(page)
        trader = page.locator("g.peer.trader")
        name = trader.locator(".name").text_content() or ""
        trader.click()
        expect(page.locator("#chosen")).to_contain_text(f"{name}: a ")
        page.get_by_role("button", name=f"kill: {name}").click()
        expect(page.locator("#answer")).to_have_text(
            f"kill {name}: done. The others notice after 2 s without a sign of life."
        )
        fallen = page.locator("g.peer.dead")
        expect(fallen.locator(".name")).to_have_text(name)
        expect(page.locator("#feed")).to_contain_text(f"Fault: kill:{name}@")
        expect(page.get_by_role("button", name=f"kill: {name}")).to_be_disabled()
        expect(page.get_by_role("button", name=f"restart: {name}")).to_be_enabled()
        successor = page.locator(f"g.peer.trader:not([aria-label^='{name},'])")
        expect(successor.locator(".seat")).to_have_text("trader0")
        follows(page)
        page.get_by_role("button", name=f"restart: {name}").click()
        expect(fallen).to_have_count(0)
        command.send_signal(signal.SIGINT)
        expect(verdict).to_have_text(re.compile(r"^this run has ended\. held: (\d+) of \1 checks hold$"))
        expect(page.locator("#figures")).to_contain_text(f"kill:{name}@")
        expect(page.locator("#acts")).to_be_hidden()
        status, said, complained = ended(command)
        assert (status, complained) == (0, ""), said
        with page.expect_popup() as report:  # the server is gone, but the page has kept the report
            page.get_by_role("link", name="Open its report").click()
        expect(report.value.locator("#verdict")).to_have_text(re.compile("^held: "))
        assert str(out / "report.html") in page.locator("#about").inner_text()
    faults = json.loads((out / "summary.json").read_text())["faults"]
    assert [fault["what"].partition("@")[0] for fault in faults] == [f"kill:{name}", f"restart:{name}"]


def test_a_pause_shows_and_is_ended_and_the_story_of_an_order_is_told_meanwhile(
    person: Visit, tmp_path: Path, mongo_uri: str
) -> None:
    with launched(tmp_path, mongo_uri, "localhost", 5, 2, *CALM, "--seed", 5, "--serve", "--out", "run") as command:
        page = person.open(address_of(command))
        expect(page.locator("#verdict")).to_have_text("live")
        page.locator("g.peer:not(.trader)").first.click()
        page.get_by_role("button", name="pause ").click()
        paused = page.locator("g.peer.paused")
        expect(paused).to_have_count(1)
        page.get_by_role("button", name="resume: ").click()
        expect(paused).to_have_count(0)
        page.get_by_role("button", name="warehouse").click()
        expect(page.locator("#chosen")).to_contain_text("warehouse: not a peer")
        expect(page.get_by_role("button", name="resign: warehouse")).to_be_disabled()
        ask_for(page, example := page.get_by_label("Order").get_attribute("placeholder") or "")
        expect(page.locator("#story h3").first).to_contain_text(f"Order {example}")
        person.expected = "story?order=%3Cb"
        ask_for(page, "<b>none</b>")
        expect(page.locator("#story")).to_contain_text("no history mentions an order '<b>none</b>'")
        slide_to(page, 0.1)
        expect(page.locator("#moment")).to_have_text("0.10 s")
        follows(page)
        expect(page.locator("#moment")).to_have_text("0.10 s")  # one looks back while it goes on
        page.get_by_role("button", name="follow the run").click()
        expect(page.locator("#moment")).not_to_have_text("0.10 s")
        sees_trade(page)
        command.send_signal(signal.SIGINT)
        assert ended(command)[0] == 0


SLOW_MS, NEWS_EVERY_MS, PIECES = 80, 20, 60
SLOWLY = f"""() => new Promise(tell => {{
    const all = [];
    draw = () => {{
        const began = performance.now();
        while (performance.now() < began + {SLOW_MS});
        all.push([began, performance.now()]);
    }};
    let left = {PIECES};
    const news = setInterval(() => {{
        drawSoon();
        if (!--left) clearInterval(news);
    }}, {NEWS_EVERY_MS});
    const quiet = setInterval(() => {{
        if (!left && !isDrawing) {{ clearInterval(quiet); tell(all); }}
    }}, 50);
}})"""


def test_a_browser_that_draws_too_slowly_leaves_out_drawings_and_rests_between_them(
    person: Visit, finished: Path
) -> None:
    page = person.open((finished / "report.html").as_uri())
    drawings = page.evaluate(SLOWLY)
    assert 1 < len(drawings) < PIECES
    for (began, ended_at), (again, _) in pairwise(drawings):
        assert again - ended_at >= ended_at - began


def test_seven_windows_follow_a_run_at_a_time(person: Visit, tmp_path: Path, mongo_uri: str) -> None:
    """A browser opens six connections to a server; here all seven windows are visible, and want a stream each."""
    with launched(tmp_path, mongo_uri, "localhost", 5, 2, *CALM, "--serve", "--out", "run") as command:
        url = address_of(command)
        pages = [person.open(url) for _ in range(TABS)]
        for page in (*pages, *reversed(pages)):
            follows(page)
            expect(page.locator("#verdict")).to_have_text("live")
        person.expected = "events"  # at the end the windows without a stream find the server gone
        pages[-1].locator("g.peer").first.click()
        pages[-1].get_by_role("button", name="kill: ").click()
        for page in pages:
            expect(page.locator("g.peer.dead")).to_have_count(1)
        sees_trade(pages[-1])
        command.send_signal(signal.SIGINT)
        assert ended(command)[0] == 0


def test_a_hidden_page_gives_its_stream_back_and_takes_it_again(person: Visit, tmp_path: Path, mongo_uri: str) -> None:
    with launched(tmp_path, mongo_uri, "localhost", 5, 2, *CALM, "--serve", "--out", "run") as command:
        page = person.open(address_of(command))
        follows(page)
        page.evaluate(HIDE, True)
        assert page.evaluate("stream") is None
        page.evaluate(HIDE, False)
        follows(page)
        sees_trade(page)
        # In one call, because the page goes on to grow.
        twice = page.evaluate("run.happenings.length - new Set(run.happenings.map(JSON.stringify)).size")
        assert twice == 0
        command.send_signal(signal.SIGINT)
        assert ended(command)[0] == 0


def test_the_page_of_a_run_that_is_over_says_so_and_offers_the_report_and_any_orders_story(
    person: Visit, finished: Path
) -> None:
    with launched(finished, None, "view", finished) as command:
        page = person.open(address_of(command))
        expect(page.locator("#verdict")).to_have_text(re.compile(r"^this run has ended\. held: "))
        expect(page.locator("#acts")).to_be_hidden()
        ask_for(page, example := page.get_by_label("Order").get_attribute("placeholder") or "")
        expect(page.locator("#story h3").first).to_contain_text(f"Order {example}")
        with page.expect_popup() as report:
            page.get_by_role("link", name="Open its report").click()
        expect(report.value.locator("#verdict")).to_have_text(re.compile("^held: "))
        command.send_signal(signal.SIGINT)
        assert ended(command)[0] == 0
