"""The stand-in for the Hub: unmodified libraries download from it, and fail against it as they do against the Hub.

HF_ENDPOINT is read when huggingface_hub is imported, so each client is a subprocess with a fresh HF_HOME; it prints
what it saw as one line of JSON.
"""

import json
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
from loopback_hub import PAPER_MODELS, LoopbackHub, clean_environment, write_paper_checkpoints, write_paper_datasets

ERRORS = """
def error(call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except Exception as raised:
        classes = [type(raised).__name__, type(raised.__cause__).__name__]
        return {"classes": classes, "message": str(raised)}
"""

DOWNLOAD = (
    ERRORS
    + """
import json, sys
import torch
from datasets import load_dataset
from huggingface_hub import HfApi, hf_hub_download
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

torch.set_num_threads(1)
folder, models = sys.argv[1], json.loads(sys.argv[2])
seen = {"models": {}, "tokens": {}}
for hub_id, (kind, _) in models.items():
    tokenizer = AutoTokenizer.from_pretrained(hub_id)
    ids = tokenizer("A MAN is reading!", "Café xyz")["input_ids"]
    limit = min(tokenizer.model_max_length, 10**9)
    seen["tokens"][hub_id] = [type(tokenizer).__name__, limit, ids, tokenizer.convert_ids_to_tokens(ids)]
    model = AutoModel.from_pretrained(hub_id)
    written = load_file(f"{folder}/models/{hub_id}/model.safetensors")
    equal = all(torch.equal(value, written[f"{kind}.{name}"]) for name, value in model.state_dict().items())
    seen["models"][hub_id] = [equal, model.config.num_hidden_layers, model.config.vocab_size - len(tokenizer)]
snli = load_dataset("stanfordnlp/snli", "plain_text", split="test")
qqp = load_dataset("nyu-mll/glue", "qqp", split="validation")
seen["snli"], seen["qqp"] = snli.to_dict(), qqp.to_dict()
seen["names"] = [snli.features["label"].names, qqp.features["label"].names]
seen["unlabelled"] = load_dataset("nyu-mll/glue", "qqp", split="test")["label"][:]
seen["xet"] = "hf_xet" in sys.modules
paths = ["config.json", "vocab.txt", "none"]
seen["paths"] = [entry.path for entry in HfApi().get_paths_info("google-bert/bert-base-uncased", paths)]
seen["errors"] = {
    "file": error(hf_hub_download, "google-bert/bert-base-uncased", "none.json"),
    "revision": error(hf_hub_download, "google-bert/bert-base-uncased", "config.json", revision="none"),
    "repository": error(hf_hub_download, "no/such", "config.json"),
    "model": error(AutoModel.from_pretrained, "no/such"),
    "model folder": error(AutoModel.from_pretrained, "/no/such/folder"),
    "tokenizer": error(AutoTokenizer.from_pretrained, "no/such"),
    "dataset": error(load_dataset, "no/such", split="test"),
    "dataset folder": error(load_dataset, "/no/such/folder", split="test"),
    "config": error(load_dataset, "nyu-mll/glue", "none", split="test"),
    "split": error(load_dataset, "nyu-mll/glue", "qqp", split="none"),
}
print(json.dumps(seen))
"""
)

# huggingface_hub waits 1 + 2 + 4 + 8 + 8 seconds between its tries; the test leaves the tries and skips the waits.
UNREACHABLE = (
    ERRORS
    + """
import json, time
from datasets import load_dataset
from transformers import AutoConfig

time.sleep = lambda seconds: None
hub_id = "google-bert/bert-base-uncased"
seen = {"model": error(AutoConfig.from_pretrained, hub_id), "dataset": error(load_dataset, "stanfordnlp/snli")}
print(json.dumps(seen))
"""
)


def run_client(script, endpoint, home, *arguments):
    command = [sys.executable, "-c", script, *arguments]
    environment = clean_environment(endpoint, home)
    done = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mirror")
    write_paper_checkpoints(folder)
    write_paper_datasets(folder, rows=60)
    return folder


@pytest.fixture(scope="module")
def served(folder, tmp_path_factory):
    """What one client saw, and what the server was asked for."""
    with LoopbackHub(folder) as hub:
        home = tmp_path_factory.mktemp("home")
        return run_client(DOWNLOAD, hub.endpoint, home, str(folder), json.dumps(PAPER_MODELS)), hub.log, hub.requests


def test_models_arrive_with_the_weights_that_were_written(served):
    seen, log, _ = served
    assert seen["models"] == {hub_id: [True, layers, 0] for hub_id, (_, layers) in PAPER_MODELS.items()}
    fetched = {path for method, path, status in log if (method, status) == ("GET", 200) and "/resolve/" in path}
    for hub_id in PAPER_MODELS:
        assert any(path.startswith(f"/{hub_id}/") and path.endswith("/model.safetensors") for path in fetched)


def test_tokenizers_lower_case_whether_from_tokenizer_json_or_from_vocab_alone(served, folder):
    seen, _, requests = served
    words = ["[CLS]", "a", "man", "is", "reading", "!", "[SEP]", "c", "##a", "##f", "##e", "x", "##y", "##z", "[SEP]"]
    vocabulary = (folder / "models/google-bert/bert-base-uncased/vocab.txt").read_text().splitlines()
    ids = [vocabulary.index(word) for word in words]
    for hub_id in PAPER_MODELS:
        alone = hub_id.startswith("google/")
        # Without tokenizer_config.json no maximum length is known: whoever truncates has to name it.
        assert seen["tokens"][hub_id] == ["BertTokenizer", 10**9 if alone else 512, ids, words]
        assert any(path.startswith(f"/{hub_id}/") and path.endswith("tokenizer.json") for path in requests) != alone


def test_datasets_arrive_with_the_hub_columns_and_labels(served):
    seen, _, requests = served
    assert list(seen["snli"]) == ["premise", "hypothesis", "label"]
    assert list(seen["qqp"]) == ["question1", "question2", "label", "idx"]
    assert seen["names"] == [["entailment", "neutral", "contradiction"], ["not_duplicate", "duplicate"]]
    assert [seen["snli"]["label"].count(label) for label in (-1, 0, 1, 2)] == [6, 18, 18, 18]
    assert [seen["qqp"]["label"].count(label) for label in (0, 1)] == [30, 30]
    assert seen["unlabelled"] == [-1] * 60
    assert any(path.endswith("/plain_text/test-00000-of-00001.parquet") for path in requests)


def test_download_is_plain_http(served):
    seen, _, requests = served
    assert not seen["xet"]
    assert seen["paths"] == ["config.json", "vocab.txt"]
    assert all(path.startswith(("/api/", "/datasets/")) or "/resolve/" in path for path in requests)


@pytest.mark.parametrize(
    ("what", "raised", "cause"),
    [
        ("file", "RemoteEntryNotFoundError", "HTTPStatusError"),
        ("revision", "RevisionNotFoundError", "HTTPStatusError"),
        ("repository", "RepositoryNotFoundError", "HTTPStatusError"),
        ("model", "OSError", "RepositoryNotFoundError"),
        ("model folder", "OSError", "HFValidationError"),
        ("tokenizer", "OSError", "RepositoryNotFoundError"),
        ("dataset", "DatasetNotFoundError", "NoneType"),
        ("dataset folder", "FileNotFoundError", "NoneType"),
        ("config", "ValueError", "NoneType"),
        ("split", "ValueError", "NoneType"),
    ],
)
def test_what_is_missing_raises_as_on_the_hub(served, what, raised, cause):
    assert served[0]["errors"][what]["classes"] == [raised, cause]


def test_unreachable_hub_raises_connection_errors(tmp_path):
    with socket.socket() as bound:
        # Bound and not listening: the port is nobody else's, and connections to it are refused.
        bound.bind(("127.0.0.1", 0))
        seen = run_client(UNREACHABLE, f"http://127.0.0.1:{bound.getsockname()[1]}", tmp_path)
    assert seen["model"]["classes"] == ["OSError", "LocalEntryNotFoundError"]
    assert seen["model"]["message"].startswith("We couldn't connect to 'http://127.0.0.1:")
    assert seen["dataset"]["classes"] == ["ConnectionError", "NoneType"]


def fetch(url, *, method="GET", **headers):
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(urllib.request.Request(url, method=method, headers=headers)) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


@pytest.fixture
def small(tmp_path):
    for path in ("datasets/a/b/README.md", "datasets/a/b/deep/er/part.csv", "models/a/b/config.json"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("0123456789")
    with LoopbackHub(tmp_path) as hub:
        yield hub


def test_head_range_and_etag(small):
    url = f"{small.endpoint}/datasets/a/b/resolve/main/README.md"
    status, headers, body = fetch(url, method="HEAD")
    assert (status, headers["Content-Length"], body) == (200, "10", b"")
    # `printf 0123456789 | git hash-object --stdin`
    assert headers["ETag"] == '"ad471007bd7f5983d273b9584e5629230150fd54"'
    assert headers["X-Repo-Commit"] == small.repositories["datasets/a/b"].commit
    status, headers, body = fetch(url, Range="bytes=2-4")
    assert (status, headers["Content-Range"], body) == (206, "bytes 2-4/10", b"234")
    assert fetch(url, Range="bytes=8-")[2] == b"89"


def test_tree_lists_one_level_or_all(small):
    def paths(rest):
        return [entry["path"] for entry in json.loads(fetch(f"{small.endpoint}/api/datasets/a/b/tree/main{rest}")[2])]

    assert paths("") == ["deep", "README.md"]
    assert paths("?recursive=true") == ["deep", "deep/er", "README.md", "deep/er/part.csv"]
    assert paths("/deep") == ["deep/er"]
    assert paths("/deep%2Fer") == ["deep/er/part.csv"]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/api/models/no/such", "RepoNotFound"),
        ("/api/models/a/b/revision/none", "RevisionNotFound"),
        ("/api/datasets/a/b/tree/main/none", "EntryNotFound"),
        ("/a/b/resolve/main/../config.json", "EntryNotFound"),
        ("/elsewhere", "NotFound"),
    ],
)
def test_errors_carry_the_hub_code_and_are_not_counted_as_served(small, path, code):
    status, headers, _ = fetch(small.endpoint + path)
    assert (status, headers["X-Error-Code"]) == (404, code)
    assert small.requests == []
    assert small.log == [("GET", path, 404)]
