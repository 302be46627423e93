"""What the tests of pages share: a run with all its tables, and what a page shows, as a list."""

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
