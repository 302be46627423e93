"""May this small model replace that large one? Attribution alignment, calibration and verdicts for classifiers."""

import importlib

_HOMES = {
    "as_classifier": "trusteq.models.as_classifier",
    "audit": "trusteq.verdict.audit",
    "audit_predictions": "trusteq.verdict.audit",
    "explain": "trusteq.attribution.explain",
    "load_classifier": "trusteq.models.classifier",
    "load_examples": "trusteq.examples.load",
    "load_published": "trusteq.study.publish",
    "read_examples": "trusteq.examples.files",
    "read_predictions": "trusteq.verdict.predictions",
}
_MODULES = ("alignment", "calibration", "errors")
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
