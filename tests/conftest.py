"""What several tests share: a very small BERT and its tokenizer, on disk as `save_pretrained` leaves them."""

import pytest


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory):
    """A function that writes a random BERT of a given class to a fresh folder, and returns the folder."""
    import torch
    import transformers

    torch.set_num_threads(1)
    words = "a the man woman dog reads runs sleeps eats in park house good bad very not"
    vocabulary = f"[PAD] [UNK] [CLS] [SEP] [MASK] . , ? ! {words}".split()
    sizes = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 64}

    def write(kind, *, labels=("no", "yes", "maybe"), layers=2, model_max_length=32, seed=0):
        names = {} if labels is None else {"id2label": dict(enumerate(labels))}
        folder = tmp_path_factory.mktemp(kind)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            # Weights drawn wide, so that texts differ in their probabilities by far more than rounding.
            shape = sizes | {"num_hidden_layers": layers, "initializer_range": 0.5, "vocab_size": len(vocabulary)}
            getattr(transformers, kind)(transformers.BertConfig(**shape, **names)).save_pretrained(folder)
        ids = {token: index for index, token in enumerate(vocabulary)}
        transformers.BertTokenizer(vocab=ids, model_max_length=model_max_length).save_pretrained(folder)
        return folder

    return write
