"""The instruments of "Try it", in a real browser: their numbers beside Python's, and the page by mouse and keyboard.

Models have random weights, drawn wide; predictions are made up. What is asked of the scripts is asked in a page that is
opened from file://, as a reader opens it.
"""

import json

import instruments_page
import numpy as np
import pandas as pd
import pytest
import torch
from instruments_page import decoded

from trusteq.alignment.ranking import chance_jaccard
from trusteq.attribution.features import Texts
from trusteq.attribution.lime import perturbations, surrogate
from trusteq.calibration.bins import BINNINGS
from trusteq.calibration.intervals import null_bands
from trusteq.calibration.proper_scores import reliability_table, rescale, scores
from trusteq.estimates import paired_difference, quantile
from trusteq.examples.load import load_examples
from trusteq.models.build import build
from trusteq.models.classifier import load_classifier
from trusteq.models.recipe import Recipe
from trusteq.pages import instruments
from trusteq.project import root
from trusteq.registry import validated
from trusteq.statistics import stream, value_order
from trusteq.store import describe, to_json, write_text
from trusteq.study.experiment import Experiment
from trusteq.study.results import Results
from trusteq.verdict.margins import Measured, decide, load_margins

TASK, LABELS = "demo-nli", ("entailment", "neutral", "contradiction")
MODELS = ("demo-large", "demo-mini", "demo-tiny")
N_PAIRS = 200
# Texts that a tokenizer treats in ways of its own: accents, marks, Chinese, control characters, special tokens, length.
ODD = ["", "Ünïcode CAFÉ", "a,b;c... $5+<x>`~", "你好 man世界", "tab\there\u200b\x00now", "[SEP] a [MASK]man [sep]"]
ODD += ["ΣΑΣ İ", "man " * 90, "x" * 101 + " woman", "played unplayable player's"]
OTHERS = [{"architectures": ["DistilBertForSequenceClassification"]}, {"hidden_act": "relu"}, {"compression": []}]


@pytest.fixture(scope="session")
def examples():
    return load_examples(TASK, "test")


def made_up_predictions(examples, rng, *, skill):
    """Probabilities that speak for the gold label more or less, overconfident."""
    logits = rng.normal(size=(len(examples), 3))
    logits[np.arange(len(examples)), examples["label"]] += skill
    found = np.exp(1.5 * logits)
    table = pd.DataFrame(found / found.sum(axis=1, keepdims=True), columns=LABELS)
    return pd.concat([examples[["id", "label"]].reset_index(drop=True), table], axis=1)


@pytest.fixture(scope="session")
def run(tmp_path_factory, examples):
    """A run of three untrained models, which is to say what the page needs of one."""
    values = {"name": "page", "title": "Untrained", "tasks": [TASK], "models": {name: {} for name in MODELS}}
    values["methods"] = {"lime": {"n_samples": 10}}
    run = Results(tmp_path_factory.mktemp("results") / "page", validated(Experiment, values, where="made up"))
    rng = np.random.default_rng(1)
    for number, name in enumerate(MODELS):
        save_random(run.experiment.model(name), run.model(TASK, name, 0), seconds=3.0 - number)
        run.write(made_up_predictions(examples, rng, skill=2 - number / 2), "predictions", TASK, name, 0)
    run.write(made_up_predictions(examples, rng, skill=0), "predictions", TASK, MODELS[0], "0-random-head")
    return run


def save_random(spec, folder, *, seconds):
    """Write an untrained model as a run does, with its facts and its manifest."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model, tokenizer = build(spec, labels=LABELS, recipe=Recipe(max_length=64))
        for name, values in model.named_parameters():
            if "embeddings.weight" not in name:  # biases, 0 else, and LayerNorm's weights, 1 else, are put to the test
                torch.nn.init.normal_(values, mean=float("LayerNorm.weight" in name), std=0.3)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    facts = {"metrics": {"parameters": model.num_parameters()}, "timing": {"inference_seconds": seconds}}
    for name, values in facts.items():
        write_text(to_json(values), folder / f"{name}.json")
    write_text(to_json(describe(list(folder.iterdir()), {}, root=folder)), folder / "manifest.json")


@pytest.fixture(scope="session")
def classifiers(run):
    return [load_classifier(run.model(TASK, name, 0)) for name in (MODELS[0], MODELS[-1])]


def make_page(run, folder):
    """Write a page with the three instruments of "Try it"; return the file."""

    def show():
        instruments.instrument("explain", samples=50, seed=0)
        instruments.instrument("bench", bins=10)
        instruments.instrument("exchange", margin=0.02, threshold=0.6)

    return instruments_page.make_page(run, folder, instruments.write, show)


@pytest.fixture(scope="session")
def site(run, tmp_path_factory):
    return make_page(run, tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def scripts(browser, site):
    """A page to compute in: a function that evaluates JavaScript with an argument."""
    page = browser.new_page()
    page.goto(site.as_uri())
    yield page.evaluate
    page.close()


def masks_of(pair, *, n, seed, classifier=None):
    example = Texts("pair", 3, tuple(pair), classifier=classifier)
    return example, perturbations(example.n_features, n, np.random.default_rng(seed))


class TestModels:
    def test_probabilities_are_pythons(self, scripts, classifiers, examples):
        pairs = examples[["text_a", "text_b"]].head(N_PAIRS).to_numpy().tolist()
        pairs += [[text, "the woman is reading"] for text in ODD] + [["the man sleeps", text] for text in ODD]
        found = scripts("pairs => trusteqData.models.map(of => trusteqBert().load(of).predict(pairs))", pairs)
        for classifier, ours in zip(classifiers, found, strict=True):
            wanted = classifier.predict_proba(*map(list, zip(*pairs, strict=True)))
            assert np.ptp(wanted, axis=0).max() > 0.3  # else a constant would do
            np.testing.assert_allclose(ours, wanted, atol=1e-4)

    def test_tokens_are_the_tokenizers(self, scripts, tiny_bert):
        """By pieces of words, cut to 16 tokens, by a model of two layers and another vocabulary."""
        folder = tiny_bert("BertForSequenceClassification", model_max_length=16)
        classifier = load_classifier(folder)
        vocabulary = json.loads((folder / "tokenizer.json").read_text())
        known = vocabulary["model"]["vocab"]
        # Two words of its vocabulary become pieces: what is split, and where, is then put to the test.
        for word, piece in (("park", "##s"), ("good", "##eats")):
            known[piece] = known.pop(word)
        write_text(json.dumps(vocabulary), folder / "tokenizer.json")
        classifier = load_classifier(folder)
        pairs = [[a, b] for a in [*ODD, "Runs mans dogeats dogseats runsss", "a a a a a a a a a a a a a a a a a"]
                 for b in ["the dog reads.", "", "a man in a house eats and sleeps, " * 3]]  # fmt: skip
        found = scripts("([of, pairs]) => pairs.map(pair => trusteqBert().load(of).encode(...pair))",
                        [instruments.model(folder), pairs])  # fmt: skip
        wanted = classifier.tokenizer(*map(list, zip(*pairs, strict=True)), truncation=True, max_length=16)
        assert [one["ids"] for one in found] == wanted["input_ids"]
        assert [one["second"] for one in found] == [row.index(1) for row in wanted["token_type_ids"]]
        lengths = map(len, classifier.tokenizer(*map(list, zip(*pairs, strict=True)))["input_ids"])
        assert [one["isCut"] for one in found] == [length > 16 for length in lengths]

    @pytest.mark.parametrize("change", OTHERS)
    def test_another_architecture_is_not_taken_for_one(self, tiny_bert, change):
        folder = tiny_bert("BertForSequenceClassification")
        config = json.loads((folder / "config.json").read_text())
        assert instruments.model(folder) is not None
        write_text(json.dumps(config | change), folder / "config.json")
        assert instruments.model(folder) is None


class TestLime:
    def explained(self, scripts, number, pairs, masks):
        asked = "([number, pairs, masks]) => { const model = trusteqBert().load(trusteqData.models[number]);"
        asked += "return pairs.map((pair, at) => trusteqLime().explain(model.predict, pair, masks[at])); }"
        return scripts(asked, [number, pairs, [of.astype(int).tolist() for of in masks]])

    @pytest.mark.parametrize(("number", "n_pairs", "n_masks"), [(1, N_PAIRS, 30), (0, 15, 30)])
    def test_weights_are_pythons_under_the_same_masks(self, scripts, classifiers, examples, number, n_pairs, n_masks):
        pairs = examples[["text_a", "text_b"]].head(n_pairs).to_numpy().tolist()
        features, masks = zip(*(masks_of(pair, n=n_masks, seed=at) for at, pair in enumerate(pairs)), strict=True)
        assert {of.n_features > 20 for of in features} == {True, False}  # where features are chosen, and where not
        found = self.explained(scripts, number, pairs, masks)
        texts = [text for of, mask in zip(features, masks, strict=True) for text in zip(*of.texts(mask), strict=True)]
        asked = classifiers[number].predict_proba(*map(list, zip(*texts, strict=True)))
        largest = 0
        for ours, example, mask, probabilities in zip(found, features, masks, np.split(asked, n_pairs), strict=True):
            wanted = surrogate(mask, probabilities)
            np.testing.assert_allclose(ours["weights"], wanted, atol=1e-3)
            assert [(one["segment"], one["position"], one["word"]) for one in ours["words"]] == list(example.features)
            largest = max(largest, np.abs(wanted).max())
        assert largest > 0.05  # else zeros would do

    def test_texts_are_masked_as_pythons_are(self, scripts):
        pair = ["Été:  well-known_word\tx2, 你好!", "½ ²a; б"]
        example, masks = masks_of(pair, n=30, seed=0)
        found = scripts("([pair, masks]) => masks.map(mask => trusteqLime().masked(pair, mask))",
                        [pair, masks.astype(int).tolist()])  # fmt: skip
        assert found == [list(texts) for texts in zip(*example.texts(masks), strict=True)]

    def test_masks_of_the_page_are_of_limes_kind(self, scripts):
        """All kept, then uniform numbers removed, of uniform features; by the seed alone."""
        draw = "seed => trusteqLime().perturbations(5, 5001, trusteqLime().random(seed, 0, 1))"
        masks = np.array(scripts(draw, 7))
        assert masks[0].tolist() == [1] * 5 and masks.shape == (5001, 5)
        removed = np.bincount(5 - masks[1:].sum(axis=1), minlength=6)
        assert removed[0] == 0 and abs(removed[1:] - 1000).max() < 4 * np.sqrt(1000 * 0.8)
        assert abs(masks[1:].mean(axis=0) - 0.4).max() < 4 * np.sqrt(0.24 / 5000)
        assert np.array_equal(masks, scripts(draw, 7)) and not np.array_equal(masks, scripts(draw, 8))

    def test_top_features_and_their_anchors(self, scripts):
        weights = [[0.1], [-0.5], [0.0], [0.1], [1e-14], [0.3]]
        top = scripts("weights => [3, 10].map(k => trusteqLime().topFeatures(weights, 0, k))", weights)
        assert top == [[1, 5, 0], [1, 5, 0, 3]]  # equal weights in order; neither 0 nor noise is one
        assert scripts("trusteqLime().jaccard([1, 2, 3], [3, 4])") == 1 / 4
        asked = [[n, k, k_b] for n in (1, 9, 17, 60) for k in (3, 10) for k_b in (1, 10)]
        found = scripts("asked => asked.map(of => trusteqLime().chanceJaccard(...of))", asked)
        np.testing.assert_allclose(found, [chance_jaccard(*of) for of in asked], rtol=1e-12)


class TestCalibration:
    @pytest.fixture
    def predictions(self, examples):
        table = made_up_predictions(examples, np.random.default_rng(5), skill=1.5).head(300)
        table.loc[:20, LABELS] = [0.3, 0.3, 0.4]  # on an edge of ten bins, and with ties
        return table[list(LABELS)].to_numpy(), table["label"].to_numpy()

    @pytest.mark.parametrize("binning", BINNINGS)
    @pytest.mark.parametrize(("n_bins", "temperature"), [(10, 1.0), (2, 0.5), (30, 1.0)])
    def test_table_and_errors(self, scripts, predictions, binning, n_bins, temperature):
        probabilities, labels = predictions
        asked = "([rows, labels, temperature, how]) => { const of = trusteqCalibration();"
        asked += "return of.reliability(temperature === 1 ? rows : of.rescale(rows, temperature), labels, how); }"
        how = {"nBins": n_bins, "binning": binning}
        found = scripts(asked, [probabilities.tolist(), labels.tolist(), temperature, how])
        hot = probabilities if temperature == 1 else rescale(probabilities, temperature)
        wanted = reliability_table(hot, labels, n_bins=n_bins, binning=binning)
        errors = scores(hot, labels, n_bins=n_bins, binning=binning)
        if temperature == 1:  # the edges to the last bit: a confidence that lies on one falls into the same bin
            assert [bin["upper"] for bin in found["table"]] == wanted["upper"].tolist()
        assert [found["ece"], found["mce"]] == pytest.approx([errors["ece"], errors["mce"]], abs=1e-12)
        table = pd.DataFrame(found["table"])[["lower", "upper", "count", "accuracy", "confidence"]].astype(float)
        np.testing.assert_allclose(table, wanted[list(table)].astype(float), atol=1e-12)

    @pytest.mark.parametrize("binning", BINNINGS)
    def test_null_bands_by_the_same_draws(self, scripts, predictions, binning):
        """Python draws its labels from rows in the order of their values: the page is given these, and its numbers."""
        rows = predictions[0][value_order(predictions[0])]
        draws, options = 50, {"n_bins": 8, "binning": binning}
        uniform = stream(4, "null bands").random((draws, len(rows))).ravel().tolist()
        asked = "([rows, uniform, how]) => { let at = 0;"
        asked += "return trusteqCalibration().nullBands(rows, () => uniform[at++], how); }"
        found = scripts(asked, [rows.tolist(), uniform, {"nBins": 8, "binning": binning, "draws": draws}])
        wanted = null_bands(rows, draws=draws, seed=4, **options).set_index("score")
        for name in ("ece", "mce"):
            assert found[name] == pytest.approx(wanted.loc[name].to_dict(), abs=1e-12)


def flags(rng, n, share):
    return rng.random(n) < share


class TestReplace:
    def pairs(self):
        """Pairs of models of many kinds: sizes, sure gains, none that differs, groups of all sizes, one group."""
        rng = np.random.default_rng(11)
        for n in (5, 12, 40, 300, 1000):
            for share in (0, 0.02, 0.3):
                first = flags(rng, n, 0.8)
                yield first, first ^ flags(rng, n, share), None
                yield first, first & ~flags(rng, n, share), rng.integers(0, max(n // 4, 2), n)
                yield first, first | flags(rng, n, share), np.repeat(np.arange(n), 3)[:n]
        yield first, ~first, np.zeros(len(first), dtype=int)

    def test_intervals_and_outcomes(self, scripts):
        pairs, outcomes, few = list(self.pairs()), set(), 0
        asked = "([first, second, groups, margin]) => { const of = trusteqReplace(); "
        asked += "const found = of.pairedDifference(first, second, groups);"
        asked += "return [found, of.outcome(found, margin)]; }"
        for number, (first, second, groups) in enumerate(pairs):
            margin = (0.005, 0.02, 0.1, 0.3)[number % 4]
            codes = None if groups is None else groups.tolist()
            found, (outcome, reason) = scripts(asked, [first.tolist(), second.tolist(), codes, margin])
            wanted = paired_difference(first, second, clusters=groups)
            assert [found["low"], found["high"]] == pytest.approx(wanted.interval, abs=1e-9)
            assert (found["value"], found["effective"]) == pytest.approx((wanted.value, wanted.effective))
            of = load_margins({"accuracy": margin})["accuracy"]
            ((decided, why),) = decide([Measured("accuracy", of, (0, 0), wanted)])
            assert outcome == decided, (number, wanted.interval, margin)
            outcomes.add(outcome)
            assert ("rate of the margin" in reason) == ("rate of the margin" in why)
            few += "rate of the margin" in reason
        assert outcomes == {"equivalent", "not-equivalent", "undecided"} and few

    def test_students_t(self, scripts):
        dof = [1.0, 2.5, 9.3, 99.0, 999.0, 3999.0]
        found = scripts("dof => dof.map(of => trusteqReplace().student(0.025, of))", dof)
        assert found == pytest.approx([quantile(0.025, of) for of in dof], rel=1e-9)

    def test_what_is_handed_over(self, scripts):
        large = {"right": [True, True, False, True], "seconds": 10}
        small = {"right": [True, False, True, False], "confidence": [0.9, 0.5, 0.7, 0.7], "seconds": 2}
        found = scripts("([large, small]) => trusteqReplace().handOver(large, small, 0.7)", [large, small])
        assert found == {"right": [True, True, True, False], "handed": 0.25, "saved": pytest.approx(1 - (2 + 2.5) / 10)}


class TestData:
    def test_predictions_are_the_runs_in_single_precision(self, run, examples):
        (found,) = instruments.predictions(run)
        assert found["n"] == len(examples) and found["ids"] == examples["id"].tolist()
        assert found["gold"] == examples["label"].tolist()
        together = examples.groupby("text_a")["id"].apply(set).tolist()
        groups = pd.Series(found["ids"]).groupby(found["groups"]).apply(set).tolist()
        assert sorted(map(sorted, groups)) == sorted(map(sorted, together))
        for name, side in zip(MODELS, found["models"], strict=True):
            wanted = run.predictions(TASK, name, 0)[list(LABELS)].to_numpy()
            np.testing.assert_array_equal(decoded(side["probabilities"], 3), wanted.astype(np.float32))

    def test_of_a_large_split_the_first_examples_are_taken_and_it_is_said(self, run, monkeypatch):
        monkeypatch.setattr(instruments, "MOST_EXAMPLES", 70)
        (found,) = instruments.predictions(run)
        assert found["n"] == 1000 and len(found["gold"]) == len(found["ids"]) == len(found["groups"]) == 70

    def test_published_results_have_no_models(self, tmp_path):
        instruments.write(Results.open(root() / "data" / "published" / "demo"), tmp_path)
        assert (tmp_path / "models.js").read_text().endswith(".models = null;\n")
        assert (tmp_path / "pairs.js").read_text().endswith(".pairs = null;\n")
        assert len(instruments.predictions(Results.open(root() / "data" / "published" / "demo"))) == 2

    def test_models_too_large_for_a_page_are_left_out(self, run, monkeypatch):
        monkeypatch.setattr(instruments, "MOST_WEIGHTS", 1000)
        assert instruments.models(run, TASK) is None

    def test_the_models_are_the_first_and_the_smallest(self, run):
        found = instruments.models(run, TASK)
        assert [of["title"] for of in found] == [run.experiment.model(name).title for name in (MODELS[0], MODELS[-1])]

    def test_all_is_small(self, site):
        files = [file for file in site.parent.parent.rglob("*") if file.is_file()]
        assert sum(file.stat().st_size for file in files) < 4_000_000
        assert site.stat().st_size < 100_000


class TestPage:
    """By mouse, touch and keyboard; `open_page` sees to it that nothing is asked of other hosts or goes wrong."""

    def part(self, page, name):
        return page.locator(f'[data-instrument="{name}"]')

    def said(self, page, name):
        return self.part(page, name).get_by_role("status").inner_text()

    def wait_for_change(self, page, name, before):
        asked = (
            "([name, before]) => document.querySelector(`[data-instrument=${name}] [role=status]`).innerText !== before"
        )
        page.wait_for_function(asked, arg=[name, before])
        return self.said(page, name)

    def test_an_explanation_moves_with_its_seed(self, open_page, site):
        page = open_page(site)
        home = self.part(page, "explain")
        before = [home.locator("ol").nth(side).inner_text() for side in (0, 1)]
        home.get_by_role("button", name="Another seed", exact=True).click()
        home.get_by_role("status").filter(has_text="Mean of 2 draws").wait_for()
        assert [home.locator("ol").nth(side).inner_text() for side in (0, 1)] != before
        assert home.locator("circle").count() == 2
        same = home.get_by_role("button", name="Same model, another seed")
        same.click()
        assert same.get_attribute("aria-pressed") == "true"
        home.locator("h3").filter(has_text="another seed").wait_for()  # which may still be on its way
        titles = home.locator("h3").all_inner_texts()
        assert titles == ["Demo-large", "Demo-large, another seed"]
        for side in home.locator("section").all():
            assert side.locator(".tq-top").count() == 10 == side.locator("ol li").count()

    def test_a_browser_that_grants_no_worker_computes_on_the_page(self, open_page, site):
        page, alone = open_page(site), open_page(site, before="delete window.Worker")
        assert self.said(page, "explain") == self.said(alone, "explain")

    def test_what_is_typed_is_text(self, open_page, site):
        page = open_page(site)
        home = self.part(page, "explain")
        home.get_by_label("First text").fill("<b>A man</b> <img src=x onerror=alert(1)> is reading a novel")
        home.locator(".tq-text").first.filter(has_text="onerror").wait_for()
        assert home.locator("b, img").count() == 0
        home.get_by_label("First text").fill("")
        home.get_by_label("Second text").fill("...")
        home.get_by_role("status").filter(has_text="Type a word").wait_for()
        home.get_by_label("First text").fill("man " * 80)
        home.get_by_role("status").filter(has_text="longer than these models read").wait_for()

    def test_a_pair_can_be_chosen(self, open_page, site, examples):
        page = open_page(site)
        self.part(page, "explain").get_by_label("Choose a pair").select_option(index=5)
        assert self.part(page, "explain").get_by_label("First text").input_value() == examples["text_a"][5]
        shown = self.part(page, "explain").locator(".tq-text").first
        shown.filter(has_text=examples["text_a"][5]).wait_for()

    def test_the_probabilities_shown_are_the_models(self, open_page, site, classifiers, examples):
        page = open_page(site)
        pair = [examples["text_a"].tolist()[:1], examples["text_b"].tolist()[:1]]
        for classifier, column in zip(classifiers, self.part(page, "explain").locator("section").all(), strict=True):
            shown = column.locator(".tq-bars li").all_inner_texts()
            wanted = zip(LABELS, classifier.predict_proba(*pair)[0], strict=True)
            assert [text.strip() for text in shown] == [f"{label} {value:.1%}" for label, value in wanted]

    def test_the_bench_by_keyboard(self, open_page, site, run):
        page = open_page(site)
        home, before = self.part(page, "bench"), self.said(page, "bench")
        found = scores(run.predictions(TASK, MODELS[0], 0)[list(LABELS)], run.predictions(TASK, MODELS[0], 0)["label"])
        assert f"ECE {found['ece']:.3f}" in before and f"MCE {found['mce']:.3f}" in before
        home.get_by_label("Bins 10").focus()
        page.keyboard.press("ArrowRight")
        assert home.locator(".tq-value").first.inner_text() == "11"
        before = self.wait_for_change(page, "bench", before)
        page.keyboard.press("Tab")
        page.keyboard.press("End")  # the hottest temperature
        before = self.wait_for_change(page, "bench", before)
        own = home.get_by_role("button", name="Draw labels from the model itself")
        own.focus()
        page.keyboard.press("Space")
        assert own.get_attribute("aria-pressed") == "true"
        assert "drawn from the model itself" in self.wait_for_change(page, "bench", before)

    def test_the_exchange_beside_python(self, open_page, site, run, examples):
        page = open_page(site)
        sides = [run.predictions(TASK, name, 0) for name in MODELS]
        right = [side[list(LABELS)].to_numpy().argmax(axis=1) == side["label"].to_numpy() for side in sides]
        sure = sides[1][list(LABELS)].to_numpy().max(axis=1) >= 0.6
        joint = np.where(sure, right[1], right[0])
        home, clusters = self.part(page, "exchange"), pd.factorize(examples["text_a"])[0]
        cells = [row.locator("td").all_inner_texts() for row in home.locator("tbody tr").all()]
        for column, ours in ((1, right[1]), (2, joint)):
            low, high = (100 * end for end in paired_difference(right[0], ours, clusters=clusters).interval)
            assert cells[1][column] == f"{low:+.1f} to {high:+.1f}".replace("-", "−")
            assert cells[2][column] == str((right[0] & ~ours).sum()) and cells[3][column] == str(
                (ours & ~right[0]).sum()
            )
        assert cells[4][2] == f"{1 - sure.mean():.1%}"
        assert cells[5][2] == f"{1 - (2 + 3 * (1 - sure.mean())) / 3:.1%}"

    def test_the_exchange_by_keyboard_and_touch(self, open_page, site):
        page = open_page(site, width=390)
        home, before = self.part(page, "exchange"), self.said(page, "exchange")
        home.get_by_label("Hand over below confidence").focus()
        page.keyboard.press("End")  # whoever hands over all is the large model
        after = self.wait_for_change(page, "exchange", before)
        assert "with hand-over: yes" in after
        home.get_by_label("Examples").focus()
        page.keyboard.press("Home")
        after = self.wait_for_change(page, "exchange", after)
        assert "alone: undecided, too few" in after
        home.get_by_role("button", name="Draw other examples").tap()
        home.get_by_text("Which answers turn wrong").tap()
        assert home.get_by_text("With hand-over: none.").is_visible()

    @pytest.mark.parametrize("width", [1440, 390])
    def test_no_page_scrolls_sideways(self, open_page, site, width):
        page = open_page(site, width=width)
        assert page.evaluate("document.scrollingElement.scrollWidth") <= width

    def test_every_control_has_a_name(self, open_page, site):
        page = open_page(site)
        for control in page.locator("select, input, textarea").all():
            assert control.evaluate("of => of.labels.length") == 1
        assert all(of.get_attribute("aria-label") for of in page.get_by_role("img").all())

    def test_without_models_the_rest_works(self, open_page, tmp_path):
        page = open_page(make_page(Results.open(root() / "data" / "published" / "demo"), tmp_path), ready=None)
        assert "build it from a run of the demo" in self.part(page, "explain").inner_text()
        assert "ECE" in self.said(page, "bench") and self.part(page, "exchange").locator("tbody tr").count() == 6
        before = self.said(page, "bench")
        self.part(page, "bench").get_by_label("Task").select_option(index=1)
        self.wait_for_change(page, "bench", before)
