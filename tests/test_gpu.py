"""The command for a machine with a GPU, without one: what is carried, steps that fail or take too long, targets."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import gpu
import gpu_pack
import gpu_rows
import numpy as np
import pytest
import transformers
from safetensors.numpy import load_file

from trusteq.project import root

HUB = Path(os.environ.get("TRUSTEQ_HUB") or root().parent / "shared" / "hub")


def options(folder, **given):
    return argparse.Namespace(out=folder, carried=folder, work=folder, rehearse=True, scale=gpu_rows.REHEARSAL, **given)


def test_a_packed_model_is_whole_for_the_texts_that_it_is_packed_for(tiny_bert, tmp_path):
    """Rows of other words are 0, and take no room; half precision is all that is lost of the rest."""
    source = tiny_bert("BertModel")
    gpu_pack.pack(source, tmp_path / "carried" / "model", ["the man reads", "a dog"])
    gpu_pack.unpack(tmp_path / "carried", tmp_path / "whole")
    before, after = (load_file(folder / "model.safetensors") for folder in (source, tmp_path / "whole" / "model"))
    assert before.keys() == after.keys()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "whole" / "model")
    ids = set(tokenizer("the man reads a dog")["input_ids"]) | set(tokenizer.all_special_ids)
    rows = after.pop(gpu_pack.ROWS)
    for number, (row, whole) in enumerate(zip(rows, before[gpu_pack.ROWS], strict=True)):
        np.testing.assert_array_equal(row, whole.astype(np.float16) if number in ids else 0)
    for name, values in after.items():
        np.testing.assert_array_equal(values, before[name].astype(values.dtype))


@pytest.fixture
def steps(monkeypatch, tmp_path):
    """Steps of no use, in a file of their own that a process can be started with."""
    lines = ["import sys, time", "name = sys.argv[sys.argv.index('--child') + 1]", "print('this is', name, flush=True)"]
    lines += ["time.sleep(60 if name == 'long' else 0)", "sys.exit(3 if name == 'broken' else 0)"]
    (tmp_path / "steps.py").write_text("\n".join(lines))
    monkeypatch.setattr(gpu, "__file__", str(tmp_path / "steps.py"))
    (tmp_path / "hub").mkdir()
    return tmp_path


def test_a_step_that_fails_or_takes_too_long_keeps_none_from_running(steps, monkeypatch):
    three = {"broken": gpu.Step(None, 50), "long": gpu.Step(None, 1), "fine": gpu.Step(None, 50)}
    monkeypatch.setattr(gpu, "STEPS", three)
    out = steps / "out"
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--out", str(out), "--carried", str(steps)])
    with pytest.raises(SystemExit) as ended:
        gpu.main()
    assert ended.value.code == 1
    found = json.loads((out / "summary.json").read_text())
    assert [of["status"] for of in found["steps"]] == ["failed (3)", "no time left", "done"]
    log = (out / "log.txt").read_text()
    assert "this is broken" in log and "this is fine" in log


def test_a_step_is_ended_when_its_time_is_over(steps):
    steps.joinpath("out").mkdir()
    status, seconds = gpu._run("long", 3.0, options(steps / "out"))
    assert status == "stopped"
    assert seconds < 30
    assert "this is long" in (steps / "out" / "log.txt").read_text()


def test_a_step_that_broke_off_is_tried_again(steps, monkeypatch):
    monkeypatch.setattr(gpu, "STEPS", {"broken": gpu.Step(None, 50, tries=3)})
    out = steps / "out"
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--out", str(out), "--carried", str(steps)])
    with pytest.raises(SystemExit):
        gpu.main()
    found = json.loads((out / "summary.json").read_text())["steps"]
    assert [of["status"] for of in found] == ["failed (3)"] * 3


def test_targets_are_judged_row_by_row(tmp_path):
    rows = [
        {"row": "a", "value": 25.0, "at least": 20, "own forward share": 0.5},
        {"row": "b", "value": 10.0, "at least": 20},
        {"row": "c", "value": None, "open": "no time left", "at least": 20},
        {"row": "d", "value": 7.0, "own forward share": 0.9},
    ]
    (tmp_path / "gpu.json").write_text(json.dumps({"rows": rows}))
    found = {of["row"]: of["said"] for of in gpu.targets(tmp_path)}
    shares = {"a: share of bare forward": "missed", "d: share of bare forward": "reached"}
    assert found == {"a": "reached", "b": "missed", **shares}


def test_a_row_that_fails_is_open_and_the_next_is_made(tmp_path, monkeypatch):
    def broken():
        raise RuntimeError("no room\nat all")

    made = {"one": broken, "two": lambda: {"value": 2.0, "what": "things"}}
    monkeypatch.setattr(gpu_rows, "_rows", lambda *given: made)
    gpu.rows(options(tmp_path, until=float("inf")))
    first, second = json.loads((tmp_path / "gpu.json").read_text())["rows"]
    assert (first["value"], first["open"]) == (None, "RuntimeError: no room")
    assert (second["value"], "open" in second) == (2.0, False)
    made["two"] = broken  # known by now, and not made again
    gpu.rows(options(tmp_path, until=float("inf")))
    assert json.loads((tmp_path / "gpu.json").read_text())["rows"][1]["value"] == 2.0


def test_rows_that_no_time_is_left_for_wait(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_rows, "_rows", lambda *given: {"one": lambda: {"value": 1.0}})
    gpu.rows(options(tmp_path, until=0.0))
    (row,) = json.loads((tmp_path / "gpu.json").read_text())["rows"]
    assert (row["value"], row["open"]) == (None, "no time left")
    gpu.rows(options(tmp_path, until=float("inf")))
    (row,) = json.loads((tmp_path / "gpu.json").read_text())["rows"]
    assert row["value"] == 1.0


@pytest.mark.slow
@pytest.mark.skipif(not (HUB / "models" / gpu_pack.MINILM).is_dir(), reason="no MiniLM in TRUSTEQ_HUB or ../shared/hub")
def test_the_whole_rehearsal(tmp_path):
    carried, out = tmp_path / "carried", tmp_path / "out"
    gpu_pack.hub(HUB, carried / "hub")
    command = [sys.executable, root() / "benchmarks" / "gpu.py", "--rehearse", "--carried", carried, "--out", out]
    paths = os.pathsep.join(map(str, (root(), root() / "benchmarks")))
    done = subprocess.run(
        list(map(str, command)), env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + (out / "log.txt").read_text()[-5000:]
    assert len(list(out.iterdir())) <= 8  # as many as a lent machine gives back
    rows = json.loads((out / "gpu.json").read_text())["rows"]
    assert [row["row"] for row in rows if row["value"] is None] == []
