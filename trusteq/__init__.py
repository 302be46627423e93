"""May this small model replace that large one? Attribution alignment, calibration and verdicts for classifiers."""

import importlib

_HOMES = {
    "Experiment": "trusteq.experiment",
    "Results": "trusteq.store",
    "TrusteqError": "trusteq.errors",
    "align": "trusteq.alignment",
    "audit": "trusteq.verdict",
    "explain": "trusteq.attribution",
    "load_classifier": "trusteq.models.classifier",
    "load_examples": "trusteq.examples",
    "load_published": "trusteq.published",
    "read_examples": "trusteq.examples.files",
}
_MODULES = (
    "alignment",
    "attribution",
    "binning",
    "calibration",
    "errors",
    "examples",
    "figures",
    "lab",
    "nullband",
    "published",
    "ranking",
    "rationales",
    "sentences",
    "speed",
    "stages",
    "statistics",
    "store",
    "tables",
    "uncertainty",
    "verdict",
)

__all__ = [*_HOMES, *_MODULES]


def __getattr__(name: str):
    """Import a public name when it is first asked for, so that `import trusteq` stays light."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"trusteq.{name}")
    raise AttributeError(f"module 'trusteq' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
