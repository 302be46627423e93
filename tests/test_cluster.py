"""A run on a cluster: how explaining is cut, what the profiles say, and Slurm itself, which loses a node and a job."""

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml
from checkouts import SMALL
from refusals import one_line

from trusteq.errors import ExperimentError
from trusteq.project import root
from trusteq.registry import validated
from trusteq.store import sha256, write_table
from trusteq.study import cluster, graph
from trusteq.study.cluster import Cut, Plan, Profile
from trusteq.study.experiment import Experiment
from trusteq.study.results import Results
from trusteq.study.workflow import each_part, steps

CPU = Profile(Path("here"), "slurm", "cpu", 15)
GPU = Profile(Path("here"), "slurm", "cuda", 15)
LARGE, DISTILLED = "explain-demo-nli-demo-large-0", "explain-demo-nli-demo-distilled-0"


def has(plugin: str) -> bool:
    return importlib.util.find_spec(f"snakemake_executor_plugin_{plugin}") is not None


def planned(folder: Path, profile: Profile, monkeypatch, *, seconds: float, n: int = 4, **changes) -> Plan:
    """What a profile decides of the small experiment, each pass of which is to take so many seconds."""
    monkeypatch.setattr(cluster, "seconds_per_pass", lambda *_: seconds)
    experiment = validated(Experiment, SMALL | changes, where="here")
    return cluster.plan(Results(folder, experiment), graph.all_jobs(experiment), {"demo-nli": n}, profile)


class TestHowExplainingIsCut:
    """The large model: 5 tables of 60 passes an example, lime three times and occlusion twice; the small one: 3."""

    def test_no_job_is_cut_that_takes_less_than_20_minutes(self, tmp_path, monkeypatch):
        assert planned(tmp_path, CPU, monkeypatch, seconds=1) == Plan(False, {})
        assert planned(tmp_path, CPU, monkeypatch, seconds=1, n=1000, methods=SMALL["methods"]).cuts

    @pytest.mark.parametrize(("minutes", "shards"), [(20, 1), (21, 2), (30, 2), (31, 3), (150, 10), (1500, 100)])
    def test_shards_take_10_to_15_minutes(self, tmp_path, monkeypatch, minutes, shards):
        found = planned(tmp_path, CPU, monkeypatch, seconds=minutes * 60 / (5 * 60 * 1000), n=1000)
        assert found.cuts.get(LARGE, Cut(1, ())).of == shards
        assert shards == 1 or 10 <= minutes / shards <= 15

    def test_windows_of_a_gpu_are_not_parted_and_jobs_ask_for_it(self, tmp_path, monkeypatch):
        many = planned(tmp_path, CPU, monkeypatch, seconds=100, n=300)
        assert many.cuts[LARGE].of == 300
        assert many.resources("explain")["gpu"] == 0
        found = planned(tmp_path, GPU, monkeypatch, seconds=100, n=300)
        assert found.cuts[LARGE] == Cut(3, ("lime", "occlusion"))
        assert [found.resources(stage)["gpu"] for stage in ("train", "explain", "compare", "pages")] == [1, 1, 0, 0]

    def test_what_is_explained_already_is_left_out(self, tmp_path, monkeypatch):
        methods = {"lime": {"n_samples": 60}, "gradient-x-input": {"n_samples": 60}}
        experiment = validated(Experiment, SMALL | {"methods": methods}, where="here")
        for job in graph.all_jobs(experiment):
            for path in (path for path in job.tables if "lime" in path.name):
                write_table(pd.DataFrame(), tmp_path / path, key=job.tables[path])
        assert planned(tmp_path, CPU, monkeypatch, seconds=100, methods=methods).cuts == {
            LARGE: Cut(4, ("gradient-x-input",)),
            DISTILLED: Cut(4, ("gradient-x-input",)),
        }

    def test_a_plan_is_read_as_it_was_written(self, tmp_path):
        assert Plan.read(tmp_path) == Plan()
        plan = Plan(True, {LARGE: Cut(3, ("lime", "occlusion"))})
        plan.write(tmp_path)
        assert Plan.read(tmp_path) == plan

    def test_shards_come_before_the_job_that_joins_them_and_no_key_knows_of_them(self, tmp_path):
        run = Results(tmp_path, validated(Experiment, SMALL, where="here"))
        whole, cut = steps(run), steps(run, plan=Plan(False, {LARGE: Cut(3, ("lime",))}))
        assert [step.name for step in cut] == [f"{LARGE}-shard", *(step.name for step in whole)]
        shards, joins = cut[0], next(step for step in cut if step.name == LARGE)
        tables = [f"attribution/demo-nli/demo-large/0/{name}" for name in ("lime", "lime.again", "lime.random-head")]
        assert list(shards.keys) == [f"{table}.shard-{{part}}-of-3.parquet" for table in tables]
        assert each_part(shards.outputs, 3) == joins.inputs[-18:]  # three tables of three shards, and their manifests
        assert json.loads(shards.job)["shard"] == "{part}/3"
        assert [step.keys for step in cut[1:]] == [step.keys for step in whole]
        assert set(shards.keys.values()) == {joins.keys[f"{table}.parquet"] for table in tables}


def test_how_long_a_pass_takes_is_looked_up():
    """BERT-base, 12 layers of 768 units: its row; a smaller one: the next larger row; twice as large: twice its row."""
    rows = json.loads((root() / "benchmarks" / "attribution.json").read_text(encoding="utf-8"))["rows"]
    seconds = {row["row"]: row.get("engine s/example") for row in rows}
    base = seconds["cpu BERT-base shape lime"] / 1000
    weight = 12 * 768**2
    assert cluster.seconds_per_pass("lime", weight, "cpu") == pytest.approx(base)
    assert cluster.seconds_per_pass("occlusion", weight - 1, "cpu") == pytest.approx(base)
    assert cluster.seconds_per_pass("lime", 2 * weight, "cpu") == pytest.approx(2 * base)
    assert cluster.seconds_per_pass("shap", 1, "cpu") == pytest.approx(seconds["cpu BERT-Tiny shape shap"] / 500)
    on_gpu = seconds.get("gpu BERT-base shape bf16 lime")
    expected = base / cluster.GPU_GUESS if on_gpu is None else on_gpu / 1000
    assert cluster.seconds_per_pass("lime", weight, "cuda") == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("- a\n", "expected keys and values"),
        ("a: [", "not a YAML file"),
        ("config: {shard_minutes: x}", "could not"),
        ("config: {shard_minutes: 0}", "not above 0"),
    ],
)
def test_a_profile_that_is_none_is_refused(tmp_path, text, named):
    (tmp_path / "config.yaml").write_text(text)
    one_line(ExperimentError, lambda: Profile.find(str(tmp_path)), named)


def test_a_profile_or_an_executor_that_is_not_there_is_refused(tmp_path):
    one_line(ExperimentError, lambda: Profile.find("slum"), "did you mean 'slurm'?")
    (tmp_path / "config.yaml").write_text("executor: no-such")
    one_line(ExperimentError, lambda: Profile.find(str(tmp_path)), "pip install 'trusteq[cluster]'")


@pytest.mark.skipif(not has("kubernetes"), reason="the extra 'cluster' is not installed: no executor kubernetes")
def test_an_executor_that_shares_no_folder_is_refused():
    one_line(ExperimentError, lambda: Profile.find("kubernetes"), "shares no folder among jobs", "On a cluster")


@pytest.fixture
def made(checkout, small, tmp_path):
    """Run the small experiment by a profile of these settings, in results of its own; hands on its command."""

    def command(of: Path, **settings) -> list[str]:
        (tmp_path / "profile").mkdir()
        (tmp_path / "profile" / "config.yaml").write_text(yaml.safe_dump(settings))
        arguments = ["run", str(checkout.folder / "small.yaml"), "--results", str(of.parent)]
        return checkout.tool(*arguments, "--profile", str(tmp_path / "profile"))

    return command


def facts(run: Path) -> dict[str, object]:
    """What a run comes to: the hash of each table, of weights and metrics; manifests but for time, machine and git.

    Token ids are kept by the library datasets, which writes a random number into each file.
    """
    patterns = ("*.parquet", "metrics.json", "history.csv", "*.safetensors")
    files = [file for pattern in patterns for file in run.rglob(pattern)]
    found = {str(file.relative_to(run)): sha256(file) for file in files}
    for file in (file for file in run.rglob("*manifest.json") if "tokens" not in file.parts):
        said = json.loads(file.read_text(encoding="utf-8"))
        for key in ("written", "machine", "git"):
            del said[key]
        said["parameters"].pop("seconds", None)
        said["files"].pop("timing.json", None)
        found[str(file.relative_to(run))] = said
    return found


@pytest.mark.slow
def test_shards_of_a_run_are_joined_to_what_a_run_in_one_piece_makes(checkout, small, made, tmp_path):
    run = tmp_path / "results" / "small"
    shutil.copytree(small.folder, run)
    shutil.rmtree(run / "attribution")
    command = made(run, executor="local", cores=2, config={"shard_minutes": 0.0012})
    said = "1 jobs explain in 2 shards, at most 4e-05 hours on one core"
    assert said in checkout.call([*command, "--dry-run"]).stdout and not (run / "attribution").exists()
    done = checkout.call(command)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    assert said in done.stdout
    assert "joined from 2 shards" in (run / "logs" / f"{LARGE}.log").read_text(encoding="utf-8")
    assert len(list((run / "logs").glob(f"{LARGE}-shard-*.log"))) == 2
    assert facts(run) == facts(small.folder)  # no shard is left among them
    again = checkout.call(command)
    assert again.returncode == 0
    assert "Nothing to be done" in again.stdout + again.stderr


@pytest.mark.parametrize("name", ["local", "slurm", "kubernetes"])
def test_snakemake_takes_the_profiles(checkout, small, name):
    """A dry run: all settings are known and the graph stands."""
    folder = root() / "workflow" / "profiles" / name
    if name != "local" and not has(name):
        pytest.skip(f"the extra 'cluster' is not installed: no executor {name}")
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--dry-run",
        "--profile",
        str(folder),
        "--directory",
        str(small.folder),
    ]
    done = checkout.call([*command, "--snakefile", str(root() / "workflow" / "Snakefile"), "--forceall"])
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    assert LARGE in done.stdout + done.stderr


def waited_for(found, *, seconds: float):
    """What `found` returns once it is something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := found():
            return value
        time.sleep(0.5)
    raise AssertionError(f"nothing after {seconds} seconds")


def working(run: Path, stage: str, node: int | None = None) -> int | None:
    """The process of a job of a stage in the folder of a run, perhaps below the process of a node."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes().decode().split("\0")
            is_such = "job" in words and f'"stage": "{stage}"' in words[-2] and (process / "cwd").resolve() == run
            if is_such and (node is None or node in above(int(process.name))):
                return int(process.name)
    return None


def above(process: int) -> set[int]:
    """A process and all that it descends from."""
    found = set()
    while process:
        found.add(process)
        status = Path("/proc", str(process), "stat").read_text(encoding="utf-8")
        process = int(status.rpartition(")")[2].split()[1])
    return found


@pytest.mark.slow
def test_slurm_loses_a_node_and_a_job_and_ends_as_a_local_run_does(checkout, small, made, tmp_path):
    """The controller and two nodes are on this machine; a job is killed as it trains, a node as it explains a shard."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        pytest.skip("needs root, and Debian's slurm-wlm and munge")
    if not has("slurm"):
        pytest.skip("the extra 'cluster' is not installed: no executor slurm")
    run, folder, log = tmp_path / "results" / "small", tmp_path / "slurm", tmp_path / "slurm.log"
    settings = yaml.safe_load((root() / "workflow" / "profiles" / "slurm" / "config.yaml").read_text(encoding="utf-8"))
    settings |= {"resources": {"gpu": 0}, "config": {"shard_minutes": 0.0012}, "latency-wait": 10}
    # There is no accounting database here, and a job takes seconds.
    settings |= {"slurm-status-command": "squeue", "slurm-init-seconds-before-status-checks": 5}
    command = made(run, **settings)
    script = root() / "tests" / "cluster" / "slurm_on_one_machine.sh"
    environment = os.environ | {"PYTHONPATH": str(root()), "OMP_NUM_THREADS": "1"}
    with log.open("w") as stream:
        process = subprocess.Popen(
            [script, folder, *command], cwd=root(), env=environment, stdout=stream, stderr=stream
        )
        try:
            job = waited_for(lambda: working(run, "train"), seconds=1200)
            os.kill(job, signal.SIGKILL)
            print(f"killed: a job that trains, process {job}", file=stream, flush=True)
            nodes = {name: int((folder / f"{name}.pid").read_text()) for name in ("node1", "node2")}
            busy = waited_for(
                lambda: [name for name, node in nodes.items() if working(run, "explain", node)], seconds=2400
            )[0]
            os.kill(nodes[busy], signal.SIGKILL)
            print(f"killed: {busy}, which explains, process {nodes[busy]}", file=stream, flush=True)
            assert process.wait(timeout=7200) == 0, log.read_text(encoding="utf-8")[-5000:]
        finally:
            process.terminate()
            process.wait()
            shutil.copy(log, os.environ.get("TRUSTEQ_SLURM_LOG", os.devnull))
    said = (folder / "slurmctld.log").read_text(encoding="utf-8")
    assert f"due to failure of node {busy}" in said
    assert "Trying to restart job" in log.read_text(encoding="utf-8")
    assert facts(run) == facts(small.folder)
