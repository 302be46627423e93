"""What is carried to a machine without a network: wheels, data, and MiniLM without the words that the data has not.

    .venv/bin/python benchmarks/gpu_pack.py DIR      (TRUSTEQ_HUB names the mirror that it takes its part from)

A lent machine takes 64 MiB, the checkout included, and MiniLM alone has 45 MB, half of it embeddings of words. Rows of
words that no text of the data has are left out and are 0 there: no result depends on them.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
DATA = ("datasets/stanfordnlp/snli", "datasets/acmi-lab/counterfactual-snli")
ROWS = "embeddings.word_embeddings.weight"
PACKED = "packed.safetensors"
LIMIT = 64 * 2**20
# What such a machine lacks of what the steps import; lime has no wheel and is made one here.
WHEELS = [
    "annotated-types",
    "captum",
    "datasets",
    "deprecation",
    "dill",
    "lime",
    "multiprocess",
    "pydantic",
    "pydantic-core",
]
WHEELS += ["relplot", "shap", "slicer", "tenacity"]
PLATFORMS = [f"manylinux_2_{number}_x86_64" for number in (17, 24, 27, 28)] + ["manylinux2014_x86_64"]


def main() -> None:
    """Make the folder anew and print its size against what may travel."""
    folder, mirror = Path(sys.argv[1]), Path(os.environ["TRUSTEQ_HUB"])
    shutil.rmtree(folder, ignore_errors=True)
    wheels(folder / "wheels")
    hub(mirror, folder / "hub")
    (folder / ".gitignore").write_text("*\n")
    carried, checkout = size(folder.rglob("*")), size(map(Path, tracked()))
    said = f"{folder}: {carried / 2**20:.1f} MiB, beside {checkout / 2**20:.1f} MiB of the checkout"
    print(f"{said}; {(LIMIT - carried - checkout) / 2**20:.1f} MiB of 64 are left")
    sys.exit(carried + checkout > LIMIT)


def hub(mirror: Path, folder: Path) -> None:
    """Make the part of a mirror that is carried."""
    for part in DATA:
        shutil.copytree(mirror / part, folder / part)
    pack(mirror / "models" / MINILM, folder / "models" / MINILM, texts(mirror))


def wheels(folder: Path) -> None:
    """Fetch the wheels for Python 3.12 on Linux, in the versions that requirements.lock pins."""
    lock = Path("requirements.lock").read_text().splitlines()
    pins = dict(line.split()[0].split("==") for line in lock if "==" in line)
    pip = [sys.executable, "-m", "pip", "--quiet"]
    where = [option for name in PLATFORMS for option in ("--platform", name)]
    python = ["--only-binary=:all:", "--python-version", "3.12", "--implementation", "cp", *where]
    for name in WHEELS:
        made = ["wheel", "--no-deps", "-w"] if name == "lime" else ["download", "--no-deps", *python, "-d"]
        subprocess.run([*pip, *made, folder, f"{name}=={pins[name]}"], check=True)


def tracked() -> list[str]:
    """Return the files that travel with the checkout: tracked ones, and others that git does not ignore."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    return subprocess.check_output(listed, text=True).split("\0")[:-1]


def size(files) -> int:
    """Return the bytes of those of the paths that are files."""
    return sum(file.stat().st_size for file in files if file.is_file())


def texts(mirror: Path) -> list[str]:
    """Return every text of the data."""
    tables = [pd.read_parquet(file) for part in DATA for file in sorted((mirror / part).rglob("*.parquet"))]
    return pd.concat([table[side] for table in tables for side in ("premise", "hypothesis")]).unique().tolist()


def pack(source: Path, target: Path, texts: list[str]) -> None:
    """Copy a model with the embeddings of those tokens alone that any of the texts has, and the special ones."""
    import transformers
    from safetensors.numpy import load_file, save_file

    shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.safetensors", "*.bin", "*.onnx"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(source)
    found = (token for ids in tokenizer(texts, add_special_tokens=False)["input_ids"] for token in ids)
    kept = np.array(sorted({*found, *tokenizer.all_special_ids}), dtype=np.int32)
    weights = load_file(source / "model.safetensors")
    whole = weights.pop(ROWS)
    halved = {name: of.astype(np.float16) if of.dtype == np.float32 else of for name, of in weights.items()}
    halved |= {"kept": kept, "rows": whole[kept].astype(np.float16), "of": np.array(whole.shape)}
    save_file(halved, target / PACKED)


def unpack(folder: Path, target: Path) -> None:
    """Copy a carried mirror, its model whole again; what is whole already is copied as it is."""
    from safetensors.numpy import load_file, save_file

    shutil.copytree(folder, target, dirs_exist_ok=True)
    for file in target.rglob(PACKED):
        weights = load_file(file)
        whole = np.zeros(weights.pop("of"), dtype=np.float16)
        whole[weights.pop("kept")] = weights.pop("rows")
        save_file(weights | {ROWS: whole}, file.with_name("model.safetensors"), metadata={"format": "pt"})
        file.unlink()


if __name__ == "__main__":
    main()
