"""A tokenizer of a few words, with the special tokens that a test asks for."""

import tokenizers
import transformers
from tokenizers import models, pre_tokenizers, processors

WORDS = ["a", "the", "man", "woman", "dog", "reads", "runs", "sleeps", "eats", "in", "park", "and", "house", ",", "."]
SPECIAL = ["<pad>", "<eos>", "<unk>", "<s>"]
EOS = SPECIAL.index("<eos>")


def tokenizer(
    *, pair=None, limit=None, ends=False, tokens=SPECIAL + WORDS, kind=transformers.PreTrainedTokenizerFast, **special
):
    """Words by white space, and no special token but those asked for."""
    vocabulary = {token: number for number, token in enumerate(tokens)}
    backend = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if ends or pair:
        single = "$A <eos>"
        backend.post_processor = processors.TemplateProcessing(
            single=single, pair=pair or "$A $B <eos>", special_tokens=[("<eos>", EOS)]
        )
    options = {} if limit is None else {"model_max_length": limit}
    return kind(tokenizer_object=backend, unk_token="<unk>", eos_token="<eos>", **options, **special)
