"""How a model is fine-tuned."""

from typing import Annotated, Literal

from pydantic import Field

from trusteq.registry import Entry

# Whoever changes what a training, or a prediction, comes to raises its version: all is then made again.
VERSION, PREDICT_VERSION = 1, 2
Positive = Annotated[int, Field(ge=1, le=10**9)]
Weight = Annotated[float, Field(ge=0)]


class Recipe(Entry):
    """How a model is fine-tuned; the defaults are the paper's.

    learning_rate: peak, of AdamW. schedule: its course after warm-up. warmup_ratio: share of all steps.
    max_length: tokens of a pair; longer ones are cut. epochs: 0, with label words, is a model as it is, not trained.
    head: the library's own; two linear layers on the first token, as in the authors' NLI scripts; or one linear layer
    on the mean of all tokens.

    Where the model has a teacher, the loss has three parts (`models.training`). Task: the labels. Calibration:
    `distillation_weight` of the loss is the teacher's probabilities at `temperature`, the rest the labels;
    `confidence_weight` times the squared difference of the two confidences is added. Attribution:
    `attribution_weight` times how far the student follows the teacher from word to word is added: its gradients over
    the words, or what it makes of texts with words deleted (`attribution_by`). `hidden_weight` adds the distance of the
    hidden states.
    """

    batch_size: Positive = 32
    learning_rate: Annotated[float, Field(gt=0)] = 1e-5
    epochs: Annotated[int, Field(ge=0, le=10**9)] = 5
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup_ratio: Annotated[float, Field(ge=0, lt=1)] = 0.0
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    max_length: Annotated[int, Field(ge=8)] = 128
    head: Literal["standard", "two-linear", "mean-pooling"] = "standard"
    distillation_weight: Annotated[float, Field(ge=0, le=1)] = 0.5
    temperature: Annotated[float, Field(gt=0)] = 2.0
    confidence_weight: Weight = 0.0
    attribution_weight: Weight = 0.0
    attribution_by: Literal["gradients", "deletion"] = "deletion"
    hidden_weight: Weight = 0.0


TEACHING = ("distillation_weight", "temperature", "confidence_weight", "attribution_weight", "attribution_by")
TEACHING += ("hidden_weight",)
