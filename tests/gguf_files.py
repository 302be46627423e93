"""Files of GGUF: a tiny Llama, written by the package gguf from weights that the plain library has too."""

import gguf
import torch
import transformers

LETTERS = ["<unk>", "<s>", "</s>", "<pad>", *"abcdeghmnorst", "Ġ", "Ġm", "an", "Ġman", "do", "dog"]
MERGES = ["Ġ m", "a n", "Ġm an", "d o", "do g"]
SHAPE = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
SHAPE |= {"num_key_value_heads": 2, "vocab_size": len(LETTERS), "max_position_embeddings": 64, "head_dim": 16}
# The library's names of a layer's tensors, and the file's.
PARTS = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v"}
PARTS |= {"self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up"}
PARTS |= {"mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}


def llama():
    torch.manual_seed(0)
    config = transformers.LlamaConfig(**SHAPE, initializer_range=0.3, tie_word_embeddings=True)
    return transformers.LlamaModel(config).eval()


def turned(weight, heads):
    """Return the rows of query or key weights as llama.cpp turns positions: pairs beside each other."""
    return weight.reshape(heads, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


def tensors(model):
    """Yield (name in the file, weights) of a Llama."""
    state = {name: values.numpy() for name, values in model.state_dict().items()}
    yield "token_embd.weight", state["embed_tokens.weight"]
    yield "output_norm.weight", state["norm.weight"]
    for layer in range(SHAPE["num_hidden_layers"]):
        for ours, theirs in PARTS.items():
            weight = state[f"layers.{layer}.{ours}.weight"]
            heads = {"attn_q": 4, "attn_k": 2}.get(theirs)
            yield f"blk.{layer}.{theirs}.weight", weight if heads is None else turned(weight, heads)


def write(file, model, *, kind="F32", architecture="llama", layers=2, width=64, merges=MERGES, tokens=LETTERS):
    writer = gguf.GGUFWriter(file, architecture)
    writer.add_name("Tiny")
    writer.add_context_length(64)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(96)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(16)
    writer.add_vocab_size(len(LETTERS))
    writer.add_tokenizer_model("gpt2")
    if tokens:
        writer.add_token_list(tokens)
        writer.add_token_merges(merges)
        writer.add_token_types([3] * 4 + [1] * (len(tokens) - 4))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(3)
    for name, weight in tensors(model):
        of = gguf.GGMLQuantizationType[kind if weight.ndim == 2 else "F32"]
        writer.add_tensor(name, gguf.quants.quantize(weight, of), raw_dtype=of)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file
