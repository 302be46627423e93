"""What the tests of pages share: a run with all its tables, what a page shows, as a list, and a browser."""

import made_up
import pytest

from trusteq.study import calibrate, compare


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A made-up run with all tables of calibration and comparison; of one example it is known what matters."""
    run = made_up.make_run(tmp_path_factory.mktemp("results"))
    examples = made_up.EXAMPLES.assign(evidence=[((0, 1),), (), (), ()], shortcut=[(), (), (), ()])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trusteq.study.sides.load_examples", lambda *_, **__: examples)
        for name, table in calibrate.tables(run, made_up.TASK, 0).items():
            run.write(table, "calibration", made_up.TASK, 0, name)
        for name, table in compare.tables(run, made_up.TASK).items():
            run.write(table, "comparison", made_up.TASK, name)
    return run


@pytest.fixture
def shown(monkeypatch):
    """Collect what is displayed, in order: styled tables, figures, texts."""
    found = []
    monkeypatch.setattr("trusteq.pages.show.display", found.append)
    return found


@pytest.fixture
def open_page(browser):
    """A function that opens a page and waits for the instruments; what went wrong on it fails the test at its end."""
    contexts, wrong = [], []

    def open_page(file, *, width=1440, ready="ceiling", before=""):
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, has_touch=width < 600))
        contexts[-1].set_default_timeout(15_000)
        page = contexts[-1].new_page()
        page.add_init_script(before)
        page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda asked: None if asked.url.startswith(("file:", "blob:")) else wrong.append(asked.url))
        page.goto(file.as_uri())
        page.get_by_role("status").first.filter(has_text=ready).wait_for() if ready else None
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []
