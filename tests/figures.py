"""What slow tests count, kept for the status page: benchmarks/robustness.json, a row a test, replaced when it runs."""

import json

from trusteq.project import root
from trusteq.store import processor, to_json, write_text

FILE = root() / "benchmarks" / "robustness.json"


def enter(what: str, command: str, *, tried: int, failed: int, **more: object) -> None:
    """Keep how often something was tried and failed, and the command that tries it again."""
    known = json.loads(FILE.read_text(encoding="utf-8"))["rows"] if FILE.is_file() else []
    row = {"row": what, "tried": tried, "value": failed, "command": command, "machine": processor()} | more
    rows = sorted([*(of for of in known if of["row"] != what), row], key=lambda of: of["row"])
    write_text(to_json({"rows": rows}), FILE)
