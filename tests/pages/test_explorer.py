"""The explorer, beside the tables that it shows: its data, and in a real browser its filters, links and keys."""

import functools

import instruments_page
import made_up
import numpy as np
import pandas as pd
import pytest
from instruments_page import decoded

from trusteq import blocks
from trusteq.alignment.ranking import chance_jaccard
from trusteq.examples.load import load_examples
from trusteq.pages import explorer, instruments
from trusteq.project import root
from trusteq.study.results import Results

PUBLISHED = root() / "data" / "published"
BANDS = ("no more than chance", "between chance and ceiling", "at the ceiling or above")
WHO = ("both", "large", "small", "neither")


@pytest.fixture(scope="module")
def demo():
    return Results.open(PUBLISHED / "demo")


@pytest.fixture(scope="module")
def data(demo):
    return explorer.explained(demo)


def make_page(run, folder, *, agreement=0):
    show = functools.partial(instruments.instrument, "explorer", agreement=agreement)
    return instruments_page.make_page(run, folder, explorer.write, show)


@pytest.fixture(scope="module")
def site(demo, tmp_path_factory):
    return make_page(demo, tmp_path_factory.mktemp("site"))


@pytest.fixture
def typed(run, monkeypatch):
    """The made-up run, whose texts hold marks that a page could take for its own."""
    monkeypatch.setattr(explorer, "load_examples", lambda *_, **__: made_up.EXAMPLES)
    return run


def facts_of(run, task, model, method):
    """Return of each explained example what the filters ask for, from the run's tables: band, who, flip, label."""
    each = run.comparison(task, "examples").query(f"method == '{method}' and model_b == '{model}'")
    each = each[each["model_a"] == run.experiment.large].set_index("id")
    mean = run.comparison(task, "alignment").query(f"method == '{method}' and model_b == '{model}'")
    ceiling = mean.set_index("model_a").at[run.experiment.large, "ceiling"]
    above = np.where(each["jaccard"] >= ceiling, BANDS[2], BANDS[1])
    found = pd.DataFrame({"band": np.where(each["jaccard"] <= each["chance"], BANDS[0], above)}, index=each.index)
    labels = list(run.experiment.task(task).labels)
    sides = [run.predictions(task, name, 0).set_index("id").loc[each.index] for name in (run.experiment.large, model)]
    got = [side[labels].to_numpy().argmax(axis=1) for side in sides]
    right = [of == side["label"].to_numpy() for of, side in zip(got, sides, strict=True)]
    who = np.select([right[0] & right[1], right[0], right[1]], WHO[:3], WHO[3])
    return found.assign(who=who, flip=got[0] != got[1], label=np.array(labels)[sides[0]["label"]])


class TestData:
    def test_texts_are_whole_and_their_words_at_odd_places(self, demo, data):
        for task in data:
            examples = load_examples(demo.experiment.task(task["name"]), "test").set_index("id")
            words = demo.attribution(task["name"], "demo-large", 0, "lime").drop_duplicates(
                ["id", "segment", "position"]
            )
            assert task["n"] == len(task["ids"]) == words["id"].nunique() == 30 and task["has_texts"]
            for name, texts in zip(task["ids"], task["texts"], strict=True):
                assert ["".join(pieces) for pieces in texts] == examples.loc[name, ["text_a", "text_b"]].tolist()
                shown = [word for pieces in texts for word in pieces[1::2]]
                assert shown == words["word"][words["id"] == name].tolist()

    def test_weights_and_top_words_are_those_of_the_tables(self, demo, data):
        for task in data:
            gold = dict(zip(task["ids"], np.array(task["labels"])[task["gold"]], strict=True))
            for method in task["methods"]:
                for at, model in enumerate(demo.experiment.models):
                    table = demo.attribution(task["name"], model, 0, method["name"])
                    rows = table[table["label"] == table["id"].map(gold)]
                    weights = decoded(method["weights"][at], 1).ravel()
                    np.testing.assert_array_equal(weights, rows["weight"].astype(np.float32))
                    for name, tops in zip(task["ids"], method["tops"][at], strict=True):
                        own = rows["weight"][rows["id"] == name].abs().to_numpy()
                        weighty = own[own > 1e-9]  # neither 0 nor noise is a top word
                        assert sorted(own[tops])[::-1] == sorted(weighty)[::-1][:10] and len(set(tops)) == len(tops)

    def test_agreement_is_that_of_the_top_words(self, data):
        for task in data:
            sizes = [sum(len(pieces) // 2 for pieces in texts) for texts in task["texts"]]
            for method in task["methods"]:
                large, *others = method["tops"]
                assert method["pairs"][0] is None
                for pair, tops in zip(method["pairs"][1:], others, strict=True):
                    sets = [(set(a), set(b)) for a, b in zip(large, tops, strict=True)]
                    assert pair["jaccard"] == pytest.approx([len(a & b) / len(a | b) for a, b in sets], abs=1e-6)
                    chance = [chance_jaccard(n, len(a), len(b)) for n, (a, b) in zip(sizes, sets, strict=True)]
                    assert pair["chance"] == pytest.approx(chance, abs=1e-6)

    def test_a_corpus_published_without_texts_has_numbers_for_words(self):
        (task,) = explorer.explained(Results.open(PUBLISHED / "sst2-minilm"))
        assert not task["has_texts"]
        for texts in task["texts"]:
            assert [pieces[1::2] for pieces in texts] == [[str(n + 1) for n in range(len(of) // 2)] for of in texts]
        n = sum(len(pieces) // 2 for texts in task["texts"] for pieces in texts)
        assert {len(decoded(weights, 1)) for of in task["methods"] for weights in of["weights"]} == {n}

    def test_features_without_a_place_are_left_out(self):
        run = Results.open(PUBLISHED / "snli-again")
        (task,) = explorer.explained(run)
        left = set(run.experiment.task_methods("snli")) - {of["name"] for of in task["methods"]}
        assert left == {"lime-as-released"}

    def test_of_tables_on_disk_the_first_block_is_taken(self, demo, data, monkeypatch):
        for name, value in {"MOST_HELD": 0, "BLOCK": 7}.items():
            monkeypatch.setattr(blocks, name, value)
        for found, whole in zip(explorer.explained(demo), data, strict=True):
            assert (found["ids"], found["n"]) == (whole["ids"][:7], 30)
            n = sum(len(pieces) // 2 for texts in found["texts"] for pieces in texts)
            for method, of in zip(found["methods"], whole["methods"], strict=True):
                for weights, expected in zip(method["weights"], of["weights"], strict=True):
                    np.testing.assert_array_equal(decoded(weights, 1), decoded(expected, 1)[:n])
                assert method["tops"] == [tops[:7] for tops in of["tops"]]

    def test_of_many_examples_the_first_are_taken_and_it_is_said(self, demo, data, monkeypatch):
        monkeypatch.setattr(explorer, "MOST_ATTRIBUTIONS", 6000)
        for cut, every in zip(explorer.explained(demo), data, strict=True):
            n = len(cut["ids"])
            assert 0 < n < 30 == cut["n"] and cut["ids"] == every["ids"][:n] and cut["texts"] == every["texts"][:n]
            weights = sum(len(decoded(of, 1)) for method in cut["methods"] for of in method["weights"])
            assert weights <= 3000 < weights * (n + 2) / n

    def test_one_model_alone_is_compared_with_none(self, run):
        models = {"demo-large": run.experiment.models["demo-large"]}
        alone = Results(run.folder, run.experiment.model_copy(update={"models": models}))
        assert explorer.explained(alone) == []

    def test_it_is_small(self, site):
        assert (site.parent / "instruments" / "explained.js").stat().st_size < 200_000


class TestPage:
    """`open_page` sees to it that nothing is asked of other hosts and nothing goes wrong."""

    def said(self, page):
        return page.get_by_role("status").inner_text()

    def choose(self, page, title, label):
        page.get_by_label(title, exact=True).select_option(label=label)

    def passing(self, page):
        """Return the ids of the examples that pass the filters."""
        options = page.get_by_label("Example", exact=True).locator("option").all_inner_texts()
        return [option.partition(",")[0] for option in options]

    def titles(self, run):
        return {name: run.experiment.model(name).title for name in run.experiment.models}

    @pytest.mark.parametrize("task", ["demo-nli", "demo-pi"])
    def test_filters_let_pass_what_the_tables_say(self, open_page, site, demo, task):
        page, titles, seen = open_page(site), self.titles(demo), set()
        self.choose(page, "Task", demo.experiment.task(task).title)
        for model, method in (("demo-distilled", "lime"), ("demo-tiny", "lime"), ("demo-tiny", "shap")):
            self.choose(page, "Compressed model", titles[model])
            self.choose(page, "Method", method)
            facts = facts_of(demo, task, model, method)
            who = ("both", f"only {titles['demo-large']}", f"only {titles[model]}", "neither")
            filters = [("Agreement", "band", dict(zip(BANDS, BANDS, strict=True)))]
            filters += [("Who is right", "who", dict(zip(WHO, who, strict=True)))]
            filters += [("Answers", "flip", {False: "the same", True: "different: a flip"})]
            filters += [("Gold label", "label", {label: label for label in facts["label"].unique()})]
            for title, column, choices in filters:
                for value, label in choices.items():
                    self.choose(page, title, label)
                    wanted = facts.index[facts[column] == value].tolist()
                    assert self.passing(page) == wanted
                    many = f"of {len(wanted)} that pass, of 30" if wanted else "None of 30 examples passes"
                    assert many in self.said(page)
                    seen.add((column, value, bool(wanted)))
                self.choose(page, title, "any")
            assert self.passing(page) == facts.index.tolist()
        assert {column for column, _, passed in seen if passed} == {"band", "who", "flip", "label"}
        self.choose(page, "Answers", "different: a flip")
        self.choose(page, "Gold label", facts["label"].iloc[0])
        both = facts["flip"] & (facts["label"] == facts["label"].iloc[0])
        assert self.passing(page) == facts.index[both].tolist()
        page.get_by_role("button", name="Show all again").click()
        assert self.passing(page) == facts.index.tolist()

    def test_an_example_has_its_words_weights_and_answers(self, open_page, site, demo, data):
        (task, _), titles = data, self.titles(demo)
        row = 4
        page = open_page(site, before=f"location.hash = 'explorer=demo-nli/{task['ids'][row]}'")
        columns = page.locator("section")
        assert columns.locator("h4").all_inner_texts() == [
            f"{titles[name]}, {method}" for method in ("lime", "shap") for name in ("demo-large", "demo-distilled")
        ]
        gold = task["labels"][task["gold"][row]]
        predicted = demo.predictions("demo-nli", "demo-large", 0).set_index("id").loc[task["ids"][row], task["labels"]]
        verdict = "right" if predicted.astype(float).idxmax() == gold else "wrong"
        shown = f"{predicted.astype(float).idxmax()} {predicted.max():.1%}, {verdict}"
        assert columns.nth(0).locator(".tq-answer").inner_text() == shown
        table = demo.attribution("demo-nli", "demo-large", 0, "lime")
        own = table[(table["id"] == task["ids"][row]) & (table["label"] == gold)]
        words = columns.nth(0).locator(".tq-word")
        assert words.all_inner_texts() == own["word"].tolist()
        titled = [float(word.get_attribute("title")) for word in words.all()]
        assert titled == pytest.approx(own["weight"].tolist(), abs=5.1e-5)
        top = [float(word.get_attribute("title")) for word in columns.nth(0).locator(".tq-top").all()]
        assert sorted(map(abs, top)) == pytest.approx(sorted(own["weight"].abs())[-10:], abs=5.1e-5)
        shared = len(set(task["methods"][0]["tops"][0][row]) & set(task["methods"][0]["tops"][1][row]))
        assert columns.nth(0).locator(".tq-shared").count() == shared == columns.nth(1).locator(".tq-shared").count()
        page.get_by_text("What the models answer").click()
        assert page.locator("details[open] tbody th").all_inner_texts() == list(titles.values())
        page.get_by_text("The weights as a table").click()
        cell = page.locator("details[open]").nth(1).locator("tbody tr").first.locator("td").first.inner_text()
        cell = cell.replace("−", "-").removesuffix("\u00a0top")
        assert float(cell) == pytest.approx(own["weight"].iloc[0], abs=5.1e-5)
        self.choose(page, "Show", "every model, this method")
        assert columns.locator("h4").all_inner_texts() == [f"{title}, lime" for title in titles.values()]

    def test_arrow_keys_lead_on_and_back(self, open_page, site, data):
        page, ids = open_page(site), data[0]["ids"]
        card = page.get_by_role("group", name="Example")
        card.focus()
        for key, wanted in (
            ("ArrowRight", 1),
            ("ArrowRight", 2),
            ("ArrowLeft", 1),
            ("ArrowLeft", 0),
            ("ArrowLeft", 29),
        ):
            page.keyboard.press(key)
            assert card.get_by_role("heading", level=3).inner_text().startswith(f"{ids[wanted]}:")
            assert page.evaluate("location.hash") == f"#explorer=demo-nli/{ids[wanted]}"
            assert card.evaluate("of => of === document.activeElement")
        summary = page.get_by_text("The weights as a table")
        summary.click()  # stays open, and has the focus
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowLeft")
        assert page.locator("details[open]").count() == 1
        page.get_by_role("button", name="Next").click()
        assert card.get_by_role("heading", level=3).inner_text().startswith(f"{ids[0]}:")
        page.get_by_label("Method", exact=True).focus()  # whose choices the arrows change
        page.keyboard.press("ArrowRight")
        assert card.get_by_role("heading", level=3).inner_text().startswith(f"{ids[0]}:")
        self.choose(page, "Who is right", "neither")
        passing = self.passing(page)
        card.focus()
        page.keyboard.press("ArrowRight")
        assert card.get_by_role("heading", level=3).inner_text().startswith(f"{passing[1 % len(passing)]}:")

    def test_keys_of_the_page_itself_rest_meanwhile(self, open_page, site):
        page = open_page(site)
        page.evaluate("document.addEventListener('keydown', ({ key }) => (window.heard ||= []).push(key))")
        page.get_by_role("group", name="Example").focus()
        for key in ("ArrowRight", "Alt+ArrowRight", "a"):
            page.keyboard.press(key)
        assert page.evaluate("heard") == ["Alt", "ArrowRight", "a"]

    def test_an_address_leads_to_its_example(self, open_page, site, data):
        ids = data[1]["ids"]
        page = open_page(site, before=f"location.hash = 'explorer=demo-pi/{ids[7]}'")
        assert "Example 8 of 30" in self.said(page)
        link = page.get_by_role("link", name="Link to this example")
        assert link.get_attribute("href") == f"#explorer=demo-pi/{ids[7]}"
        self.choose(page, "Answers", "different: a flip")
        hidden = next(name for name in ids if name not in self.passing(page))
        page.evaluate(f"location.hash = 'explorer=demo-pi/{hidden}'")
        page.get_by_role("status").filter(has_text="of 30 that pass").wait_for()
        assert page.get_by_role("heading", level=3).inner_text().startswith(f"{hidden}:")
        for wrong in ("demo-pi/none", "none/test-2", "%E0%A4%A/x"):
            page.evaluate(f"location.hash = 'explorer={wrong}'")
            page.get_by_role("status").filter(has_text=f"No example {wrong} is here").wait_for()
            assert page.get_by_role("heading", level=3).inner_text().startswith(f"{hidden}:")
        page.get_by_role("button", name="Next").click()
        assert "No example" not in self.said(page)

    def test_texts_are_text(self, open_page, typed, tmp_path):
        page = open_page(make_page(typed, tmp_path))
        assert page.locator(".tq-text").first.inner_text() == "a <b> & c"
        assert page.locator(".tq-instrument b").count() == 0

    def test_a_filter_may_be_set_at_first(self, open_page, demo, tmp_path):
        page = open_page(make_page(demo, tmp_path, agreement=1))
        facts = facts_of(demo, "demo-nli", "demo-distilled", "lime")
        assert self.passing(page) == facts.index[facts["band"] == BANDS[0]].tolist()

    def test_without_texts_words_are_numbered(self, open_page, tmp_path):
        run = Results.open(PUBLISHED / "sst2-minilm")
        page = open_page(make_page(run, tmp_path))
        assert "words are numbered" in self.said(page)
        assert page.locator(".tq-text").first.inner_text().startswith("1 2 3")
        self.choose(page, "Agreement", BANDS[0])  # whatever is shared of ten words or fewer is chance
        bands = facts_of(run, "sst2", "minilm-3-layers", "lime")["band"]
        assert self.passing(page) == bands.index[bands == BANDS[0]].tolist()

    @pytest.mark.parametrize("width", [1440, 390])
    def test_no_page_scrolls_sideways(self, open_page, site, width):
        page = open_page(site, width=width)
        for summary in page.locator("summary").all():
            summary.click()
        assert page.evaluate("document.scrollingElement.scrollWidth") <= width
        for control in page.locator("select").all():
            assert control.evaluate("of => of.labels.length") == 1
