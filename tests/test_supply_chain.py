"""What is installed and what is committed: hashes, licences, no secret, nothing large.

python tests/test_supply_chain.py writes data/licences.csv anew, from an environment that has all of requirements.lock.
"""

import re
import subprocess
from importlib import metadata

import pandas as pd
import pytest
from detect_secrets import SecretsCollection
from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
from detect_secrets.settings import transient_settings

from trusteq.project import root

LICENCES = root() / "data" / "licences.csv"
# A clone is quick and a review is possible; MathJax is the largest file, published numbers are most of all.
MOST_BYTES_A_FILE, MOST_BYTES = 1_250_000, 36_000_000
# The hash of each build of torch 2.13.0 for Linux and Python 3.11: from PyPI, which runs on a GPU, and for CPUs alone.
TORCH = {
    "60fcdcb2f3876e21146cb4524ef06397d727ca9ad5f020818547e25075fe3cb7",
    "6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b",
}
ENTROPY = {"Base64HighEntropyString", "HexHighEntropyString"}  # every hash of a manifest would be one


def locked(name):
    """Return package -> (version, hashes) of a lock."""
    text = re.sub(r"^#.*\n", "", (root() / name).read_text(encoding="utf-8"), flags=re.MULTILINE).replace("\\\n", "")
    lines = [line.split() for line in text.splitlines()]
    return {pin.split("==")[0]: (pin.split("==")[1], [word.split(":")[1] for word in rest]) for pin, *rest in lines}


def committed():
    done = subprocess.run(["git", "ls-files", "-z"], cwd=root(), capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [root() / name for name in done.stdout.split("\0")[:-1] if (root() / name).is_file()]


def licence(package):
    """Return the licence that a package's own metadata names, or else the first line of its licence file."""
    about = metadata.metadata(package)
    classified = [name.split(" :: ")[-1] for name in about.get_all("Classifier", []) if name.startswith("License ::")]
    named = about["License-Expression"] or "; ".join(classified) or (about["License"] or "").strip().split("\n")[0]
    return named or _first_line_of_its_licence(package)


def _first_line_of_its_licence(package):
    files = [file for file in metadata.files(package) if re.match(r"LICEN[CS]E", file.name)]
    return next(line.strip() for file in files for line in file.read_text().splitlines() if line.strip())


def secrets(files):
    """Return (file, line, kind) of what looks like a key, a token or a password."""
    plugins = [kind.__name__ for kind in get_mapping_from_secret_type_to_class().values()]
    with transient_settings({"plugins_used": [{"name": name} for name in plugins if name not in ENTROPY]}):
        found = SecretsCollection()
        for file in files:
            found.scan_file(str(file))
    return [(file, secret.line_number, secret.type) for file, secret in found]


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-cuda.lock"])
def test_every_package_has_its_hashes(name):
    for package, (version, hashes) in locked(name).items():
        assert re.fullmatch(r"\d[\w.]*", version), package
        assert hashes and all(re.fullmatch("[0-9a-f]{64}", one) for one in hashes), package


def test_torch_has_the_hashes_of_both_its_builds():
    assert set(locked("requirements.lock")["torch"][1]) >= TORCH


def test_what_the_makefile_installs_is_checked_against_the_hashes():
    text = (root() / "Makefile").read_text(encoding="utf-8")
    installs = [line for line in text.splitlines() if "pip install" in line]
    assert [line for line in installs if "--require-hashes" not in line and "--editable ." not in line] == []


def test_the_licence_of_every_package_is_listed():
    listed = pd.read_csv(LICENCES).set_index("package")
    assert listed["version"].to_dict() == {name: version for name, (version, _) in locked("requirements.lock").items()}
    assert listed["licence"].str.len().gt(2).all()


def test_no_secret_is_committed():
    tables = (".csv", ".parquet", ".lock", ".manifest.json")
    assert secrets(file for file in committed() if not file.name.endswith(tables) and "mathjax" not in file.parts) == []


@pytest.mark.parametrize("line", ["-----BEGIN RSA " + "PRIVATE KEY-----", "token = 'ghp_" + "a1B2" * 9 + "'"])
def test_a_secret_is_found(tmp_path, line):
    file = tmp_path / "settings.py"
    file.write_text(f"import os\n{line}\n")
    assert [number for _, number, _ in secrets([file])][:1] == [2]


def test_nothing_large_is_committed():
    sizes = {file: file.stat().st_size for file in committed()}
    assert {file: size for file, size in sizes.items() if size > MOST_BYTES_A_FILE} == {}
    assert sum(sizes.values()) <= MOST_BYTES


if __name__ == "__main__":
    rows = [(name, version, licence(name)) for name, (version, _) in locked("requirements.lock").items()]
    pd.DataFrame(rows, columns=["package", "version", "licence"]).to_csv(LICENCES, index=False)
