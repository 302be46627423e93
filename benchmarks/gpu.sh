#!/usr/bin/env bash
# All that waits for a GPU, in one command: tests, rows, training and explaining, within 9 minutes and without a network.
#
#   benchmarks/gpu.sh --pack [DIR]     here: make the folder to carry, .gpu: wheels and a part of the mirror TRUSTEQ_HUB
#   benchmarks/gpu.sh [--out DIR]      there: all steps; results in $OUT, or results/gpu
#   benchmarks/gpu.sh --rehearse       anywhere: the same steps, small, with the CPU in the GPU's place
#
# CARRIED names the folder that was carried, PYTHON the interpreter (3.12, as there) that has torch and transformers.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3} carried=${CARRIED:-.gpu}
if [ "${1:-}" = --pack ]; then exec "$python" benchmarks/gpu_pack.py "${2:-$carried}"; fi
site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
for wheel in "$carried"/wheels/*.whl; do "$python" -m zipfile -e "$wheel" "$site"; done
export PYTHONPATH="$PWD:$PWD/benchmarks:$site" PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
export HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1 TOKENIZERS_PARALLELISM=true
"$python" benchmarks/gpu.py --carried "$carried" "$@"
