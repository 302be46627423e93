"""What the models of an audit cost: their size, which is theirs, and their speed, which is this machine's too."""

from collections.abc import Callable, Mapping, Sequence

from trusteq.models.as_classifier import is_checkpoint
from trusteq.verdict.comparison import SIDES


def size_of(model: Callable) -> dict[str, int] | None:
    """Return parameters, nonzero_parameters and weights_bytes of a checkpoint as it is loaded; None of what hides them.

    Biases and stored statistics count, shared weights once.
    """
    if not is_checkpoint(model):
        return None
    from trusteq.models.finetune import counted, weights_of

    weights = weights_of(model.model)
    return counted(model.model) | {"weights_bytes": sum(values.numel() * values.element_size() for values in weights)}


def sizes_of(models: Sequence[Callable]) -> dict[str, dict[str, int] | None]:
    """Return the size of the large and of the compressed model, by side."""
    return dict(zip(SIDES, map(size_of, models), strict=True))


def speed_of(
    models: Sequence[Callable], seconds: Sequence[float], asked: Sequence[Mapping[str, int]], *, texts: int
) -> dict[str, dict]:
    """Return ms_per_text, texts, device, calls and failed of the large and the compressed model.

    seconds: that a text took each model, of one pass over so many `texts`, its first call included. asked: of each, how
    many calls a callable took for all that was measured, and how many failed and were asked again; 0 of others. device:
    None of a callable, which does not tell.
    """
    rows = zip(SIDES, models, seconds, asked, strict=True)
    return {
        side: {"ms_per_text": 1000 * of, "texts": texts, "device": _device(model)}
        | {name: calls[name] for name in ("calls", "failed")}
        for side, model, of, calls in rows
    }


def _device(model: Callable) -> str | None:
    if not is_checkpoint(model):
        return None
    from trusteq.models.finetune import device_name

    return device_name(model)
