"""What the models of an audit cost: their size, which is theirs, and their speed, which is this machine's too."""

from collections.abc import Callable, Mapping, Sequence

from trusteq.verdict.comparison import SIDES


def size_of(model: Callable) -> dict[str, int] | None:
    """Return parameters, nonzero_parameters and weights_bytes of a checkpoint as it is loaded; None of what hides them.

    Biases and stored statistics count.
    """
    if not _is_checkpoint(model):
        return None
    weights = list(model.model.state_dict().values())
    return {
        "parameters": sum(values.numel() for values in weights),
        "nonzero_parameters": sum(int(values.count_nonzero()) for values in weights),
        "weights_bytes": sum(values.numel() * values.element_size() for values in weights),
    }


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
    if not _is_checkpoint(model):
        return None
    from trusteq.models.finetune import device_name

    return device_name(model)


def _is_checkpoint(model: Callable) -> bool:
    if not hasattr(model, "model"):
        return False
    from trusteq.models.classifier import Classifier

    return isinstance(model, Classifier)
