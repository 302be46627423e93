"""Classification by the likelihood of label words: what a decoder expects to read after a prompt tells the class."""

import contextlib
import functools
import inspect
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

import torch
import transformers
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError
from transformers.cache_utils import DynamicLayer
from transformers.initialization import no_init_weights
from transformers.modeling_outputs import SequenceClassifierOutput

from trusteq.errors import ModelError
from trusteq.models.template import Template

SETTINGS = "trusteq_label_words"  # the key of a checkpoint's config.json
LEAST_SHARED = 8  # tokens that all rows of a batch begin with, from which they are computed once
# Ends of texts after which a word must have the same tokens: a letter, a mark, a digit.
_ENDS = ("a", "It is.", "1")
Word = Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)]


class LabelWords(BaseModel):
    """What tells the classes, in their order, and what their likelihood is divided by.

    words: of each class; tokens: their ids, after a prompt. by: a class has the sum of its tokens' log-likelihoods, or
    their mean. calibration: how `log_prior`, the logarithm of what each class has before a text is read, was estimated
    (`label_calibration`), on `estimated_on` texts; None where it was not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    words: tuple[str, ...]
    tokens: tuple[Word, ...]
    by: Literal["sum", "mean"] = "sum"
    calibration: Literal["none", "contextual", "batch"] = "none"
    log_prior: tuple[float, ...] | None = None
    estimated_on: NonNegativeInt = 0

    @classmethod
    def of(cls, config: transformers.PretrainedConfig) -> "LabelWords":
        """Return what a configuration says; raise ModelError where it does not fit the model."""
        try:
            found = cls.model_validate(getattr(config, SETTINGS, None))
        except ValidationError:
            found = None
        n, n_known = config.num_labels, config.get_text_config().vocab_size
        prior = found and (found.log_prior or (0.0,) * n)
        if found is None or not len(found.words) == len(found.tokens) == len(prior) == n or n < 2:
            raise ModelError(
                f"{SETTINGS} of config.json does not tell a word for each class; save the classifier again"
            )
        if beyond := [token for of in found.tokens for token in of if token >= n_known]:
            raise ModelError(
                f"{SETTINGS} of config.json has token {beyond[0]}, and the model knows {n_known}; save it again"
            )
        return found

    @property
    def lengths(self) -> tuple[int, ...]:
        """The number of tokens of each word."""
        return tuple(map(len, self.tokens))

    @property
    def continuations(self) -> list[tuple[int, ...]]:
        """What follows a prompt so that each token of each word comes next once: no one starts another."""
        starts = {of[:-1] for of in self.tokens}
        return sorted(of for of in starts if not any(of == other[: len(of)] for other in starts - {of}))

    def row(self, word: tuple[int, ...]) -> int:
        """Return the number of the continuation that a word is read from."""
        return next(at for at, of in enumerate(self.continuations) if of[: len(word) - 1] == word[:-1])


class LabelWordsModel(transformers.PreTrainedModel):
    """A causal language model whose logits are the log-likelihoods of the classes' words after a prompt."""

    config_class = transformers.PretrainedConfig
    base_model_prefix = "decoder"
    _supports_sdpa = _supports_flash_attn = True

    def __init__(self, config, decoder: transformers.PreTrainedModel | None = None):
        super().__init__(config)
        self.decoder = transformers.AutoModelForCausalLM.from_config(config) if decoder is None else decoder
        self.label_words = LabelWords.of(config)
        self.post_init()

    @classmethod
    def around(cls, decoder: transformers.PreTrainedModel, words: LabelWords) -> "LabelWordsModel":
        """Return a model around a decoder, whose configuration is from now on that of a classifier."""
        setattr(decoder.config, SETTINGS, words.model_dump(mode="json"))
        with no_init_weights():  # the decoder has its weights
            return cls(decoder.config, decoder)

    @property
    def n_after(self) -> int:
        """The number of tokens that follow a prompt."""
        return max(self.label_words.lengths) - 1

    def forward(self, input_ids, attention_mask=None, token_type_ids=None, labels=None):
        """Return logits of shape (n, C), and the cross-entropy loss where labels are given.

        input_ids: (n, tokens), padded on the right, where attention_mask is 0. A decoder has no token types.
        """
        logits, known = self.log_likelihoods(input_ids, attention_mask), self.label_words
        if known.by == "mean":
            logits = logits / logits.new_tensor(known.lengths)
        if known.log_prior is not None:
            logits = logits - logits.new_tensor(known.log_prior)
        loss = None if labels is None else torch.nn.functional.cross_entropy(logits, labels)
        return SequenceClassifierOutput(loss=loss, logits=logits)

    def log_likelihoods(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
        """Return the summed log-likelihood of each class's word after each prompt, (n, C), in nats."""
        known = self.label_words
        ends = input_ids.new_full((len(input_ids),), input_ids.shape[1])
        ends = ends if attention_mask is None else attention_mask.sum(dim=1)
        scores = self._next_scores(input_ids, ends).unflatten(0, (len(input_ids), -1))
        norms = scores.logsumexp(dim=-1)  # of (n, continuations, places, vocabulary)
        rows = zip(map(known.row, known.tokens), known.tokens, known.lengths, strict=True)
        likelihoods = [scores[:, row, range(n), word] - norms[:, row, :n] for row, word, n in rows]
        return torch.stack([of_word.sum(dim=1) for of_word in likelihoods], dim=1)

    def _next_scores(self, ids: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
        """Return the scores of the token after each prompt and after each token of each continuation.

        ends: tokens of each prompt, (n,). Returns (n * continuations, 1 + n_after, vocabulary).
        """
        known = self.label_words.continuations
        places = ends.repeat_interleave(len(known))[:, None] - 1 + torch.arange(1 + self.n_after, device=ids.device)
        mask = torch.arange(ids.shape[1] + self.n_after, device=ids.device) <= places[:, -1:]
        mask = None if bool(mask.all()) else mask.long()
        if not self.n_after:
            return self._read({"input_ids": ids}, mask, places)
        after = ids.new_tensor([[*of, *[0] * (self.n_after - len(of))] for of in known]).repeat(len(ids), 1)
        if torch.is_inference_mode_enabled():
            extended = _extended(ids, after, places[:, 1:])
            return self._read({"input_ids": extended}, mask, places)
        # Whoever follows the embeddings sees them once, and those of the prompts alone.
        table = self.get_input_embeddings()
        embedded = _extended(table(ids), table.forward(after), places[:, 1:])
        return self._read({"inputs_embeds": embedded}, mask, places)

    def _read(self, given: dict[str, torch.Tensor], mask: torch.Tensor | None, places: torch.Tensor) -> torch.Tensor:
        """Return the scores of the next token at some places of each row, (rows, places, vocabulary)."""
        cache, n_shared = self._shared(given.get("input_ids"), places), 0
        options = {"attention_mask": mask, "use_cache": False}
        if cache is not None:
            ids, n_shared = given["input_ids"], cache.get_seq_length()
            cache.batch_repeat_interleave(len(ids))
            mask = torch.ones_like(ids) if mask is None else mask
            given = {"input_ids": ids[:, n_shared:]}
            options = {"attention_mask": mask, "past_key_values": cache, "use_cache": True}
        with self._head_reads(places - n_shared):
            return self.decoder(**given, **options).logits.float()

    def _shared(self, ids: torch.Tensor | None, places: torch.Tensor) -> transformers.Cache | None:
        """Return the keys and values of what all rows begin with, of one row; None where they are not shared."""
        if not (n := self._n_shared(ids, places)):
            return None
        found = self.decoder.base_model(ids[:1, :n], use_cache=True).past_key_values
        # The library counts what was read in the first layer, whose attention may be dropped.
        return found if found.get_seq_length() == n else None

    def _n_shared(self, ids: torch.Tensor | None, places: torch.Tensor) -> int:
        """Return how many tokens all rows begin with, if they are computed once: in inference, where it pays."""
        if ids is None or len(ids) < 2 or not torch.is_inference_mode_enabled() or not self._keeps_all:
            return 0
        before = ids[:, : int(places.min())]  # the token whose successor is asked for is computed in each row
        n = int((before == before[:1]).all(dim=0).long().cumprod(dim=0).sum())
        return n if n >= LEAST_SHARED else 0

    @functools.cached_property
    def _keeps_all(self) -> bool:
        """Whether the decoder keeps keys and values of all that it has read: no window, no other kind of memory."""
        if "past_key_values" not in inspect.signature(self.decoder.forward).parameters:
            return False
        layers = transformers.DynamicCache(config=self.decoder.config).layers
        return bool(layers) and all(type(layer) is DynamicLayer for layer in layers)

    @contextlib.contextmanager
    def _head_reads(self, places: torch.Tensor) -> Iterator[None]:
        """Give the decoder's head the states at these places alone, (rows, places): it scores a whole vocabulary."""

        def chosen(head, given):
            states = given[0]
            return (states.gather(1, places[..., None].expand(-1, -1, states.shape[-1])), *given[1:])

        handle = self.decoder.get_output_embeddings().register_forward_pre_hook(chosen)
        try:
            yield
        finally:
            handle.remove()


def _extended(rows: torch.Tensor, after: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Return each row once for each continuation, which stands at its places, (rows, n_after): ids, or embeddings."""
    wider = rows.repeat_interleave(len(after) // len(rows), dim=0)
    wider = torch.cat([wider, torch.zeros_like(after)], dim=1)
    index = places.reshape(*places.shape, *[1] * (after.ndim - 2)).expand_as(after)
    return wider.scatter(1, index, after)


def tokens_of(words: Mapping[str, str], tokenizer, template: Template) -> tuple[tuple[int, ...], ...]:
    """Return the token ids of each class's word where it follows the template.

    Raises ModelError for a word that is empty, shared by classes, the beginning of another, or not read as tokens of
    its own after the template.
    """
    found = {}
    for label, word in words.items():
        if not word.strip():
            raise ModelError(f"words: class {label!r} has an empty word; give each class one, such as ' {label}'")
        found[label] = _following(label, word, tokenizer, template)
    for label, tokens in found.items():
        for other, longer in found.items():
            if label != other and longer[: len(tokens)] == tokens:
                how = "the word" if longer == tokens else "the beginning of the word"
                raise ModelError(
                    f"words: {words[label]!r} of class {label!r} is {how} of class {other!r}, {words[other]!r}, to the "
                    "tokenizer; give each class a word of its own"
                )
    return tuple(found.values())


def _following(label: str, word: str, tokenizer, template: Template) -> tuple[int, ...]:
    """Return the tokens of a word after the template, whatever text it ends."""
    found = set()
    for end in _ENDS:
        prompt = template.join(*[end] * template.n_texts)
        before, whole = (tokenizer(text)["input_ids"] for text in (prompt, prompt + word))
        found.add(tuple(whole[len(before) :]) if whole[: len(before)] == before else ())
    if len(found) > 1 or not all(found):
        raise ModelError(
            f"words: {word!r} of class {label!r} is not read as tokens of its own after template {template.text!r}; "
            "begin the word with the space that parts them, and end the template without it"
        )
    tokens = found.pop()
    if tokenizer.unk_token_id in tokens:
        raise ModelError(f"words: {word!r} of class {label!r} is unknown to the tokenizer; give a word that it knows")
    return tokens


def is_causal(config: transformers.PretrainedConfig) -> bool:
    """Return whether a checkpoint was saved as a language model that reads from left to right, or asked by words.

    A GGUF does not say as what: there it is whether its family reads so, and not in both directions too.
    """
    known = transformers.models.auto.modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values()
    if not config.architectures:
        kind = type(config)
        return kind in transformers.MODEL_FOR_CAUSAL_LM_MAPPING and kind not in transformers.MODEL_FOR_MASKED_LM_MAPPING
    return config.architectures[0] in (*known, LabelWordsModel.__name__)
