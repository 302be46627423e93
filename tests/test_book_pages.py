"""The built book in a browser: opened from files, at a desk and on a phone, light and dark, by who sees it and who not.

Needs Playwright and axe-core, which the extra `test` brings, and Chromium.
"""

import importlib.resources

import pytest

MISSING = "the book's pages are not opened: {} is missing"
pytest.importorskip("playwright.sync_api", reason=MISSING.format("playwright (pip install playwright)"))
pytest.importorskip("axe_playwright_python", reason=MISSING.format("axe-core (pip install axe-playwright-python)"))

WIDTHS, THEMES = (1440, 390), ("light", "dark")
# One page of each kind; test-slow reads them all.
KINDS = ("intro", "method", "bibliography", "search", "glossary", "runs/results", "runs/beyond", "runs/lesson_lime")
KINDS += ("runs/04_comparison-demo-nli", "runs/explorer")
# What depends on the width, or on the theme, alone.
NARROW, DARK = (
    ["scrollable-region-focusable", "color-contrast", "target-size"],
    ["color-contrast", "link-in-text-block"],
)


@pytest.fixture(scope="module")
def names(html) -> list[str]:
    files = [file.relative_to(html) for file in html.rglob("*.html") if "_static" not in file.parts]
    return sorted(str(file.with_suffix("")) for file in files if file.name != "index.html")  # which leads to the first


@pytest.fixture(scope="module")
def axe() -> str:
    return (importlib.resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture
def visit(browser, html):
    """A function that opens a page in a theme at the first width, and returns it once its formulas are set."""
    contexts = {theme: browser.new_context(color_scheme=theme, reduced_motion="reduce") for theme in THEMES}
    tabs = {theme: context.new_page() for theme, context in contexts.items()}

    def visit(name: str, theme: str = "light"):
        tab = tabs[theme]
        tab.set_viewport_size({"width": WIDTHS[0], "height": 900})
        tab.goto((html / f"{name}.html").as_uri())
        tab.evaluate("Promise.all([window.MathJax?.startup?.promise, document.fonts.ready]).then(() => null)")
        assert tab.evaluate("document.documentElement.dataset.theme") == theme
        return tab

    yield visit
    for context in contexts.values():
        context.close()


def resize(tab, width: int) -> None:
    tab.set_viewport_size({"width": width, "height": 900})
    tab.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def findings(tab, axe: str, rules: list[str] | None = None) -> list[tuple[str, str]]:
    """Return what axe-core finds that is serious or critical: rule and element."""
    if not tab.evaluate("'axe' in window"):
        tab.evaluate(axe)
    options = {"resultTypes": ["violations"], "preload": False}  # it would ask for style sheets, refused on file://
    options |= {} if rules is None else {"runOnly": rules}
    found = tab.evaluate("(options) => axe.run(document, options)", options)["violations"]
    grave = [rule for rule in found if rule["impact"] in ("serious", "critical")]
    return [(rule["id"], str(node["target"]), node["failureSummary"]) for rule in grave for node in rule["nodes"]]


def test_every_page_opens_from_its_file_without_error_request_or_sideways_scroll(visit, names):
    tab, said, asked = visit("intro"), [], []
    tab.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda request: asked.append(request.url))
    for name in names:
        visit(name)
        for width in WIDTHS:
            resize(tab, width)
            assert tab.evaluate("document.documentElement.scrollWidth") <= width, (name, width)
        assert said == [], name
    assert asked and [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []


@pytest.mark.parametrize("name", KINDS)
def test_a_page_of_each_kind_is_for_everyone(visit, axe, name):
    tab = visit(name)
    assert findings(tab, axe) == []
    resize(tab, WIDTHS[1])
    assert findings(tab, axe, NARROW) == []
    assert findings(visit(name, "dark"), axe, DARK) == []


@pytest.mark.slow
def test_every_page_is_for_everyone_in_both_themes_at_both_widths(visit, axe, names):
    for name in names:
        for theme in THEMES:
            tab = visit(name, theme)
            for width in WIDTHS:
                resize(tab, width)
                assert findings(tab, axe) == [], (name, theme, width)


def test_what_scrolls_can_be_scrolled_by_keyboard_and_nothing_else_is_a_stop(visit):
    tab = visit("runs/04_comparison-demo-nli")
    for width in WIDTHS:
        resize(tab, width)
        boxes = tab.evaluate(
            "Array.from(document.querySelectorAll('.bd-article .pst-scrollable-table-container, .tq-figure-box'))"
            ".map((box) => [box.scrollWidth > box.clientWidth, box.tabIndex == 0, box.ariaLabel])"
        )
        assert boxes and all(scrolls == stops == bool(name) for scrolls, stops, name in boxes)
    assert any(scrolls for scrolls, *_ in boxes)  # on the phone


def test_figures_have_the_colours_of_the_theme(visit):
    """Text is dark on light and light on dark, and so are the colours of methods, which are as dark as text."""
    text = "getComputedStyle(document.querySelector('svg.tq-figure')).fill"
    assert visit("runs/04_comparison-demo-nli").evaluate(text) == "rgb(0, 0, 0)"
    dark = visit("runs/04_comparison-demo-nli", "dark").evaluate(text)
    assert min(map(int, dark.removeprefix("rgb(").removesuffix(")").split(","))) > 200


def test_paper_is_white_whatever_the_screen_is(visit):
    tab, themes = visit("runs/04_comparison-demo-nli", "dark"), []
    for event in ("beforeprint", "afterprint"):
        tab.evaluate(f"window.dispatchEvent(new Event('{event}'))")
        themes.append(tab.evaluate("document.documentElement.dataset.theme"))
    assert themes == ["light", "dark"]


def test_the_data_of_a_table_can_be_downloaded_without_a_server(visit):
    tab = visit("runs/03_calibration-demo-nli-0")
    with tab.expect_download() as download:
        tab.locator(".tq-data a").first.click()
    assert download.value.suggested_filename == "03_calibration-demo-nli-0-1.csv"
    assert download.value.path().read_text(encoding="utf-8").startswith("panel,")  # the figure that opens the page
