"""The page in a browser: its layout, its themes and its search, without an error or a request."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, sync_playwright

from stages.report.__main__ import REPORT
from tests.conftest import ROOT, run
from tests.stages.report.fabricated import BARE, HOSTILE, fabricate

OWN_WIDTH = "one => one.tagName === 'CANVAS' ? one.width / devicePixelRatio : one.width.baseVal.value"
SPILT = """() => [...document.querySelectorAll("article, figure, .facts > div, .terms > div")]
  .filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.innerText)"""
SIZES = [(1400, 900), (390, 844)]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The Chromium that is installed."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no browser to look at the report with: apt-get install chromium")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="session", params=["everything", "bare"])
def page_file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of all that there can be, and one of the least."""
    folder = fabricate(tmp_path_factory.mktemp(request.param), **(BARE if request.param == "bare" else {}))
    run(folder, sys.executable, "-m", "stages.report", PYTHONPATH=str(ROOT))
    return folder / REPORT


class Visit:
    """The page in a browser, with all that it said and asked for."""

    def __init__(self, browser: Browser, file: Path, size: tuple[int, int], scheme: Any) -> None:
        self.said: list[str] = []
        self.requests: list[str] = []
        width, height = size
        self.page: Page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
        self.page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.said.append(f"error: {error}"))
        self.page.on("request", lambda asked: self.requests.append(asked.url))
        self.page.goto(file.as_uri())
        self.drawn()

    def drawn(self) -> None:
        self.page.wait_for_selector("html[data-charts=ready]", timeout=60_000)

    def overflow(self) -> int:
        return int(self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))


def check_figure(figure: Locator) -> None:
    """Assert that a visible figure is drawn for its place and says what there is to see."""
    plot = figure.locator(".plot")
    name = plot.get_attribute("aria-label")
    assert name is not None
    assert len(name) > 20, "the label says what there is to see"
    assert plot.get_attribute("role") == "img"
    drawn = plot.locator("svg, canvas").bounding_box()
    assert drawn is not None
    assert drawn["width"] > 200
    assert abs(drawn["width"] - plot.locator("svg, canvas").evaluate(OWN_WIDTH)) < 1, "drawn for its place, not scaled"
    assert drawn["height"] > 20
    assert figure.locator("details tbody tr").count() > 0


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
@pytest.mark.parametrize("size", SIZES)
def test_the_page_in_a_browser(browser: Browser, page_file: Path, size: tuple[int, int], scheme: str) -> None:
    visit = Visit(browser, page_file, size, scheme)
    page = visit.page
    page.evaluate("document.querySelectorAll('details.fold').forEach(one => one.open = true)")
    names = set()
    for turn in range(20):
        for choice in page.locator(".choice select").all():
            choice.select_option(index=turn % choice.locator("option").count())
        visit.drawn()
        for figure in page.locator("figure:visible").all():
            name = figure.get_attribute("id")
            if name not in names:
                names.add(name)
                check_figure(figure)
    assert names == {figure.get_attribute("id") for figure in page.locator("figure").all()}
    assert len(names) >= 10
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert visit.overflow() <= 0
    assert page.evaluate(SPILT) == [], "texts stay within their cards"
    assert page.title() == "Towerline: report"
    assert page.locator("html").get_attribute("data-theme") == scheme
    assert visit.requests == [page_file.as_uri()]
    assert visit.said == []
    page.close()


def test_a_chart_follows_the_width_of_the_page(browser: Browser, page_file: Path) -> None:
    visit = Visit(browser, page_file, SIZES[0], "light")
    visit.page.set_viewport_size({"width": 390, "height": 844})
    visit.page.wait_for_function(
        "document.querySelector('#item-map svg, #item-map canvas').getBoundingClientRect().width < 390"
    )
    assert visit.overflow() <= 0
    visit.page.close()


def test_the_theme_can_be_switched_by_keyboard(browser: Browser, page_file: Path) -> None:
    visit = Visit(browser, page_file, SIZES[0], "light")
    page = visit.page
    state = """() => {
      const axis = document.querySelector("#comparison-ndcg .plot svg .role-axis-label text");
      return [getComputedStyle(document.body).backgroundColor, getComputedStyle(axis).fill];
    }"""
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    button = page.locator("#theme")
    assert button.evaluate("one => one === document.activeElement")
    light = page.evaluate(state)
    page.keyboard.press("Enter")
    visit.drawn()
    dark = page.evaluate(state)
    assert all(before != after for before, after in zip(light, dark, strict=True)), "paper and charts change"
    assert button.get_attribute("aria-pressed") == "true"
    page.reload()
    visit.drawn()
    assert page.evaluate(state) == dark, "the choice lasts"
    button.click()
    visit.drawn()
    assert page.evaluate(state) == light
    assert visit.said == []
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_the_search_finds_by_id_and_title(
    browser: Browser, page_file: Path, size: tuple[int, int], scheme: str
) -> None:
    visit = Visit(browser, page_file, size, scheme)
    finder = visit.page.locator("#finder")
    box, status, shown = finder.locator("input"), finder.locator("[role=status]"), finder.locator(".shown")
    box.fill("Nobody <b>")
    assert status.inner_text() == "No user and no item of this page has “Nobody <b>” in its id or title."
    assert shown.locator("article").count() == 0
    box.fill(HOSTILE[0][:15])
    assert shown.locator("h3").inner_text() == HOSTILE[0]
    assert finder.locator("img").count() == 0
    headings = shown.locator("h4").all_inner_texts()
    assert [heading.lower() for heading in headings] == ["recommended", "similar users"]
    assert shown.locator("li").count() > 0
    # The few users of the bare page may have nobody similar.
    for other in shown.locator(".lists > div:last-child a").all()[:1]:
        name = other.inner_text()
        other.click()
        assert shown.locator("h3").inner_text() == name
        assert box.input_value() == name
    visit.page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert visit.overflow() <= 0
    assert visit.page.evaluate(SPILT) == []
    box.fill("")
    assert shown.inner_text() == ""
    assert visit.requests == [page_file.as_uri()]
    assert visit.said == []
    visit.page.close()


def test_the_search_offers_other_matches(browser: Browser, tmp_path: Path) -> None:
    run(fabricate(tmp_path), sys.executable, "-m", "stages.report", PYTHONPATH=str(ROOT))
    visit = Visit(browser, tmp_path / REPORT, SIZES[0], "light")
    finder = visit.page.locator("#finder")
    finder.locator("input").fill("title: ITEM 1")
    names = finder.locator(".matches button bdi").all_inner_texts()
    assert len(names) > 1
    assert all(name.startswith("Title: item 1") for name in names)
    assert finder.locator("[role=status]").inner_text() == f"{len(names)} matches"
    finder.locator(".matches button").last.click()
    assert finder.locator("h3").inner_text() == names[-1]
    assert finder.locator(".matches button[aria-pressed=true] bdi").all_inner_texts() == names[-1:]
    assert "similar items" in finder.locator("h4").inner_text().lower()
    finder.locator("input").fill("t")
    assert finder.locator(".matches button").count() == 10
    assert "; the first 10 are:" in finder.locator("[role=status]").inner_text()
    assert visit.said == []
    visit.page.close()


def test_a_tooltip_shows_texts_of_others_as_text(browser: Browser, tmp_path: Path) -> None:
    run(fabricate(tmp_path), sys.executable, "-m", "stages.report", PYTHONPATH=str(ROOT))
    visit = Visit(browser, tmp_path / REPORT, SIZES[0], "light")
    page = visit.page
    page.locator("#comparison-ndcg .plot .mark-symbol path").last.hover()
    tooltip = page.locator("#vg-tooltip-element")
    tooltip.wait_for(state="visible")
    assert "<img src=x" in tooltip.inner_text()
    assert tooltip.locator("img").count() == 0
    assert visit.said == []
    page.close()
