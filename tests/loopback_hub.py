"""A loopback server that speaks the Hugging Face Hub's HTTP protocol, and small stand-ins for the paper's repositories.

Unmodified `huggingface_hub`, `transformers` and `datasets` download from it when `HF_ENDPOINT` names it before they are
imported; `clean_environment` prepares a subprocess for that. Importing this module needs the standard library only.
"""

import hashlib
import itertools
import json
import os
import random
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

API = re.compile(r"/api/(models|datasets)/([^/]+/[^/]+)(?:/(revision|tree|paths-info)/([^/]+)(?:/(.*))?)?")
FILE = re.compile(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


class Request(NamedTuple):
    method: str
    path: str
    status: int


class HubError(Exception):
    """A 404 as the Hub words it: `args` are the X-Error-Code and, once the repository is known, its commit."""


class Repository:
    """One folder as the Hub sees it: relative paths to contents' git blob ids, and one commit that names them all."""

    def __init__(self, folder):
        self.folder = folder
        self.files = {p.relative_to(folder).as_posix(): _blob_id(p) for p in sorted(folder.rglob("*")) if p.is_file()}
        self.commit = hashlib.sha1(json.dumps(self.files).encode()).hexdigest()
        parents = {parent.as_posix() for path in self.files for parent in Path(path).parents}
        self.folders = sorted(parents - {"."})

    def info(self, hub_id):
        siblings = [{"rfilename": path} for path in self.files]
        flags = {"private": False, "gated": False, "disabled": False, "downloads": 0, "likes": 0, "tags": []}
        return {"id": hub_id, "sha": self.commit, "siblings": siblings, **flags}

    def entry(self, path):
        if path in self.files:
            size = (self.folder / path).stat().st_size
            return {"type": "file", "path": path, "oid": self.files[path], "size": size}
        return {"type": "directory", "path": path, "oid": hashlib.sha1(path.encode()).hexdigest(), "size": 0}

    def tree(self, root, recursive):
        if root and root not in self.folders:
            raise HubError("EntryNotFound", self.commit)
        prefix = f"{root}/" if root else ""
        below = [path for path in [*self.folders, *self.files] if path.startswith(prefix)]
        return [self.entry(path) for path in below if recursive or "/" not in path[len(prefix) :]]

    def paths_info(self, paths):
        return [self.entry(path) for path in paths if path in self.files or path in self.folders]


class LoopbackHub:
    """Serve `folder/models/<hub id>/` and `folder/datasets/<hub id>/` on 127.0.0.1 while the context lasts.

    The folder is read on construction: what is written to it afterwards is not seen. `log` holds every request,
    `requests` the paths (without query) of those that were answered with success.
    """

    def __init__(self, folder):
        folders = [p for kind in ("models", "datasets") for p in Path(folder, kind).glob("*/*") if p.is_dir()]
        self.repositories = {p.relative_to(folder).as_posix(): Repository(p) for p in folders}
        self.log = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.hub = self
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    @property
    def requests(self):
        return [request.path for request in self.log if request.status < 300]

    def __enter__(self):
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        return self

    def __exit__(self, *exc_info):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def repository(self, kind, hub_id, revision):
        repository = self.repositories.get(f"{kind}/{hub_id}")
        if repository is None:
            raise HubError("RepoNotFound")
        if revision not in ("main", repository.commit):
            raise HubError("RevisionNotFound")
        return repository


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        url = urlsplit(self.path)
        # The body is read whatever the answer: what is left of it would be taken for the next request.
        form = parse_qs(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())
        try:
            if match := FILE.fullmatch(url.path):
                self._send_file(match)
            elif match := API.fullmatch(url.path):
                self._send_api(match, parse_qs(url.query), form)
            else:
                raise HubError("NotFound")
        except HubError as error:
            code, *commit = error.args
            self._send(404, b"{}", {"X-Error-Code": code, "X-Error-Message": code, **_commit_header(*commit)})

    do_HEAD = do_POST = do_GET

    def _send_file(self, match):
        datasets, hub_id, revision, path = match.groups()
        repository = self.server.hub.repository("datasets" if datasets else "models", hub_id, unquote(revision))
        path = unquote(path)
        if path not in repository.files:
            raise HubError("EntryNotFound", repository.commit)
        body = (repository.folder / path).read_bytes()
        # No X-Xet-* header and no redirect: this is what keeps hf-xet out and plain HTTP in.
        headers = {"ETag": f'"{repository.files[path]}"', "Accept-Ranges": "bytes", **_commit_header(repository.commit)}
        # A range without a start (the last n bytes) or beyond the end is answered in full: a server may ignore any.
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked is None or int(asked[1]) >= len(body):
            return self._send(200, body, headers)
        start, stop = int(asked[1]), min(int(asked[2] or len(body)) + 1, len(body))
        self._send(206, body[start:stop], {**headers, "Content-Range": f"bytes {start}-{stop - 1}/{len(body)}"})

    def _send_api(self, match, query, form):
        kind, hub_id, action, revision, path = match.groups()
        repository = self.server.hub.repository(kind, hub_id, unquote(revision or "main"))
        if action == "tree":
            answer = repository.tree(unquote(path or ""), query.get("recursive", [""])[0].lower() in ("1", "true"))
        elif action == "paths-info":
            answer = repository.paths_info(form.get("paths", []))
        else:
            answer = repository.info(hub_id)
        self._send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _send(self, status, body, headers):
        self.server.hub.log.append(Request(self.command, urlsplit(self.path).path, status))
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *args):
        """Keep quiet: `LoopbackHub.log` is the record."""


def _blob_id(path):
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _commit_header(commit=None):
    return {"X-Repo-Commit": commit} if commit else {}


def clean_environment(endpoint, home):
    """Return this process's environment without settings of the Hub's libraries, pointed at `endpoint` and `home`."""
    dropped = re.compile(r"(HF|HUGGING_?FACE|TRANSFORMERS|DATASETS|TRUSTEQ)_.*|.*_PROXY", re.IGNORECASE)
    kept = {name: value for name, value in os.environ.items() if not dropped.fullmatch(name)}
    # load_dataset otherwise sends a HEAD request to a fixed address on S3 to count downloads, whatever HF_ENDPOINT is.
    quiet = {"HF_UPDATE_DOWNLOAD_COUNTS": "0", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    return {**kept, **quiet, "HF_ENDPOINT": endpoint, "HF_HOME": str(home), "NO_PROXY": "*", "OMP_NUM_THREADS": "1"}


# Hub id -> (model type, layers). All are narrow (hidden 32); the layer counts are the originals'.
PAPER_MODELS = {
    "google-bert/bert-base-uncased": ("bert", 12),
    "distilbert/distilbert-base-uncased": ("distilbert", 6),
    "google/bert_uncased_L-8_H-512_A-8": ("bert", 8),
    "google/bert_uncased_L-4_H-256_A-4": ("bert", 4),
    "google/bert_uncased_L-2_H-128_A-2": ("bert", 2),
}
# Of roberta.yaml and deberta.yaml, as those of the paper.
FAMILY_MODELS = {
    "FacebookAI/roberta-base": ("roberta", 12),
    "distilbert/distilroberta-base": ("roberta", 6),
    "microsoft/deberta-v3-base": ("deberta", 12),
    "microsoft/deberta-v3-small": ("deberta", 6),
    "microsoft/deberta-v3-xsmall": ("deberta", 12),
}
PEOPLE = ("man", "woman", "boy", "girl", "teacher", "student", "farmer", "singer", "doctor", "painter")
ACTS = ("reading a book", "riding a horse", "eating an apple", "washing a car", "playing the drums", "cutting bread")
PLACES = ("in the park", "at home", "by the river", "in a garden", "near the station", "on the beach")


def snli_rows(rows, *, seed):
    """Return `rows` dicts of premise, hypothesis, label; three in a row share a premise, every tenth has label -1."""
    scenes = itertools.cycle(_shuffled(itertools.product(PEOPLE, ACTS, PLACES), seed))
    table = []
    for who, act, place in itertools.islice(scenes, -(-rows // 3)):
        premise = f"A {who} is {act} {place}."
        hypotheses = f"Someone is {act}.", f"The {who} is {act} for a friend.", f"Nobody is {act} {place}."
        table += [{"premise": premise, "hypothesis": text, "label": label} for label, text in enumerate(hypotheses)]
    return [{**row, "label": -1} if i % 10 == 9 else row for i, row in enumerate(table[:rows])]


def qqp_rows(rows, *, seed, labelled=True):
    """Return `rows` dicts of question1, question2, label (1 duplicate; all -1 where not `labelled`), idx."""
    scenes = itertools.cycle(_shuffled(itertools.product(ACTS, PLACES), seed))
    table = []
    for idx, (act, place) in enumerate(itertools.islice(scenes, rows)):
        same = idx % 2 == 1
        other = act if same else ACTS[(ACTS.index(act) + 1) % len(ACTS)]
        texts = {"question1": f"How do I start {act} {place}?", "question2": f"What helps me start {other} {place}?"}
        table.append({**texts, "label": int(same) if labelled else -1, "idx": idx})
    return table


def write_paper_datasets(folder, rows=60):
    """Write SNLI and QQP stand-ins of `rows` rows a split, from a template grammar, laid out as on the Hub."""
    splits = ("train", "validation", "test")
    snli = {split: snli_rows(rows, seed=seed) for seed, split in enumerate(splits)}
    qqp = {split: qqp_rows(rows, seed=seed, labelled=split != "test") for seed, split in enumerate(splits)}
    datasets = Path(folder, "datasets")
    _write_dataset(datasets / "stanfordnlp/snli", "plain_text", snli, ["entailment", "neutral", "contradiction"])
    _write_dataset(datasets / "nyu-mll/glue", "qqp", qqp, ["not_duplicate", "duplicate"])


def write_paper_checkpoints(folder, seed=0):
    """Write the five models of the paper, randomly initialised, with their pretraining heads and their tokenizers.

    As on the Hub, Google's three hold no tokenizer but vocab.txt; unlike there, their weights are safetensors.
    """
    import torch
    import transformers

    vocabulary = _vocabulary()
    size, narrow = len(vocabulary), {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64}
    for number, (hub_id, (kind, layers)) in enumerate(PAPER_MODELS.items()):
        with torch.random.fork_rng():
            torch.manual_seed(seed + number)
            if kind == "bert":
                config = transformers.BertConfig(vocab_size=size, num_hidden_layers=layers, **narrow)
                model = transformers.BertForPreTraining(config)
            else:
                sizes = {"dim": 32, "n_heads": 4, "hidden_dim": 64}
                config = transformers.DistilBertConfig(vocab_size=size, n_layers=layers, **sizes)
                model = transformers.DistilBertForMaskedLM(config)
        target = Path(folder, "models", hub_id)
        model.save_pretrained(target)
        (target / "vocab.txt").write_text("".join(f"{token}\n" for token in vocabulary))
        if not hub_id.startswith("google/"):
            tokenizer = transformers.BertTokenizer(vocab={token: index for index, token in enumerate(vocabulary)})
            tokenizer.backend_tokenizer.save(str(target / "tokenizer.json"))
            (target / "tokenizer_config.json").write_text('{"do_lower_case": true, "model_max_length": 512}\n')


def write_family_datasets(folder, rows=60):
    """Write SNLI and MRPC stand-ins of `rows` rows a split, from the same grammar, laid out as on the Hub."""
    splits = ("train", "validation", "test")
    snli = {split: snli_rows(rows, seed=seed) for seed, split in enumerate(splits)}
    names = {"question1": "sentence1", "question2": "sentence2"}
    mrpc = {
        split: [{names.get(key, key): value for key, value in row.items()} for row in qqp_rows(rows, seed=seed)]
        for seed, split in enumerate(splits)
    }
    datasets = Path(folder, "datasets")
    _write_dataset(datasets / "stanfordnlp/snli", "plain_text", snli, ["entailment", "neutral", "contradiction"])
    _write_dataset(datasets / "nyu-mll/glue", "mrpc", mrpc, ["not_equivalent", "equivalent"])


def write_family_checkpoints(folder, seed=0):
    """Write the models of roberta.yaml and deberta.yaml, randomly initialised, with their heads and tokenizers.

    As on the Hub: RoBERTa's with its language model's head; DeBERTa's, whose weights are those of a discriminator, with
    two heads that the library knows by no name. Unlike there, DeBERTa's has a tokenizer.json.
    """
    import torch
    import transformers

    words = [piece for piece in _vocabulary() if not piece.startswith(("[", "##"))]
    narrow = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64}
    for number, (hub_id, (kind, layers)) in enumerate(FAMILY_MODELS.items()):
        target = Path(folder, "models", hub_id)
        with torch.random.fork_rng():
            torch.manual_seed(seed + number)
            if kind == "roberta":
                tokenizer = _byte_pairs(words)
                shape = {"max_position_embeddings": 514, "type_vocab_size": 1, "pad_token_id": 1}
                ids = {"bos_token_id": 0, "eos_token_id": 2}
                config = transformers.RobertaConfig(
                    vocab_size=len(tokenizer), num_hidden_layers=layers, **narrow, **shape, **ids
                )
                transformers.RobertaForMaskedLM(config).save_pretrained(target)
            else:
                pieces = [("[PAD]", 0.0), ("[CLS]", 0.0), ("[SEP]", 0.0), ("[UNK]", 0.0)]
                pieces += [(f"▁{word}", -1.0) for word in words] + [
                    (char, -9.0) for char in sorted(set("".join(words)))
                ]
                tokenizer = transformers.DebertaV2Tokenizer(vocab=[*pieces, ("▁", -9.0), ("[MASK]", 0.0)])
                v3 = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 16}
                v3 |= {"norm_rel_ebd": "layer_norm", "share_att_key": True, "position_biased_input": False}
                v3 |= {"type_vocab_size": 0, "pooler_hidden_size": 32}
                config = transformers.DebertaV2Config(
                    vocab_size=len(tokenizer), num_hidden_layers=layers, **narrow, **v3
                )
                model = transformers.DebertaV2Model(config)
                state = {f"deberta.{name}": values for name, values in model.state_dict().items()}
                state |= {
                    "mask_predictions.dense.weight": torch.zeros(32, 32),
                    "lm_predictions.lm_head.bias": torch.ones(9),
                }
                model.save_pretrained(target, state_dict=state)
        tokenizer.model_max_length = 512
        tokenizer.save_pretrained(target)


def _byte_pairs(words):
    """Return RoBERTa's tokenizer with one token a word, which the merges of its letters, from the left, make."""
    import tokenizers
    import transformers

    letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    merges = dict.fromkeys(
        (whole[:end], whole[end]) for word in words for whole in (word, f"Ġ{word}") for end in range(1, len(whole))
    )
    made = [*letters, *dict.fromkeys("".join(pair) for pair in merges)]
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys(["<s>", "<pad>", "</s>", "<unk>", *made]))}
    return transformers.RobertaTokenizer(vocab=vocabulary | {"<mask>": len(vocabulary)}, merges=list(merges))


def _write_dataset(folder, config, splits, labels):
    import pyarrow
    import pyarrow.parquet

    (folder / config).mkdir(parents=True)
    files = {split: f"{config}/{split}-00000-of-00001.parquet" for split in splits}
    for split, rows in splits.items():
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / files[split])
    types = {"label": {"class_label": {"names": dict(enumerate(labels))}}, "idx": "int32"}
    features = [{"name": name, "dtype": types.get(name, "string")} for name in splits["train"][0]]
    data_files = [{"split": split, "path": path} for split, path in files.items()]
    card = {
        "dataset_info": [{"config_name": config, "features": features}],
        "configs": [{"config_name": config, "data_files": data_files}],
    }
    # JSON is YAML, which saves an import.
    (folder / "README.md").write_text(f"---\n{json.dumps(card, indent=1)}\n---\nGenerated sentences, no corpus text.\n")


def _vocabulary():
    rows = snli_rows(3 * len(PEOPLE) * len(ACTS) * len(PLACES), seed=0) + qqp_rows(len(ACTS) * len(PLACES), seed=0)
    texts = [text.lower() for row in rows for text in row.values() if isinstance(text, str)]
    words = re.findall(r"\w+", " ".join(texts))
    characters = "abcdefghijklmnopqrstuvwxyz0123456789"
    pieces = [*".,?!'-()[]", *characters, *(f"##{character}" for character in characters), *sorted(set(words))]
    return list(dict.fromkeys(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *pieces]))


def _shuffled(items, seed):
    items = list(items)
    random.Random(seed).shuffle(items)
    return items
