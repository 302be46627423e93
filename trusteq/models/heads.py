"""The classifier of the authors' NLI scripts: two linear layers without activation on the first token."""

import torch
import transformers
from transformers.modeling_outputs import SequenceClassifierOutput


class FirstTokenClassifier(transformers.PreTrainedModel):
    """An encoder and a head hidden -> 2C -> C on its first token's last hidden state (released scripts, NLI)."""

    config_class = transformers.PretrainedConfig
    base_model_prefix = "encoder"

    def __init__(self, config):
        super().__init__(config)
        self.encoder = transformers.AutoModel.from_config(config)
        self.hidden = torch.nn.Linear(config.hidden_size, 2 * config.num_labels)
        self.output = torch.nn.Linear(2 * config.num_labels, config.num_labels)
        self.post_init()

    def forward(self, input_ids, attention_mask=None, token_type_ids=None, labels=None):
        """Return logits of shape (n, C), and the cross-entropy loss where labels are given."""
        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        states = self.encoder(input_ids, attention_mask=attention_mask, **types).last_hidden_state
        logits = self.output(self.hidden(states[:, 0]))
        loss = None if labels is None else torch.nn.functional.cross_entropy(logits, labels)
        return SequenceClassifierOutput(loss=loss, logits=logits)
