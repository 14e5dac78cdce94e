#!/usr/bin/env bash
# Check a machine with a GPU: run the GPU tests, a training, an evaluation and a speed test, and write down the figures.
#
#   scripts/gpu_check.sh
#   scripts/gpu_check.sh --base FacebookAI/xlm-roberta-large --data-dir /data/hub
#
#   --base MODEL        the encoder; by default one of base size with random weights
#   --data-dir FOLDER   data folder with MNLI and XNLI; by default XHARNESS_DATA_DIR
#   --steps N           training steps (300)
#   --figures-only      skip the tests and the speed test
#   --to FILE           page of figures, by default docs/performance/<date>-gpu-check.md
#
# Exits with 2 where there is no GPU, and with 1 if something failed; the figures of the rest are still written.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

base='' steps=300 all=yes to=$checkout/docs/performance/$(date +%F)-gpu-check.md
while (($#)); do
  case $1 in
    -h | --help) help_of "${BASH_SOURCE[0]}"; exit 0 ;;
    --figures-only) all=''; shift ;;
    --base | --steps | --to) (($# > 1)) || usage "$1 needs a value."; declare "${1#--}=$2"; shift 2 ;;
    --data-dir) (($# > 1)) || usage "$1 needs a value."; export XHARNESS_DATA_DIR=$2; shift 2 ;;
    *) usage "There is no option '$1'." ;;
  esac
done
"$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' ||
  { echo "There is no GPU that torch can use here, so nothing was run." >&2; exit 2; }
[[ -n ${XHARNESS_DATA_DIR:-} ]] || usage "Give --data-dir, with MNLI and XNLI (xharness fetch)."

work=$(mktemp -d) failed=''
trap 'rm -rf "$work"' EXIT
[[ -n $base ]] || { base=$work/base; "${xharness[@]}" new-encoder --size base --texts-of mnli --to "$base"; }
note() { # title, command: run it, and write its output to the page
  local title=$1 code=0
  shift
  echo "$title ..." >&2
  "$@" >"$work/out" 2>"$work/err" || code=$?
  printf '\n## %s\n\n```\n' "$title" >>"$work/page"
  { cat "$work/out"; ((code == 0)) || { echo "ended with exit code $code:"; tail -n 20 "$work/err"; }; } >>"$work/page"
  printf '```\n' >>"$work/page"
  # 8: the scores are at chance, or a language is missing; an encoder with random weights cannot do better.
  ((code == 0 || code == 8)) || failed+="$title; "
}
use() { # utilization and memory of the GPU, once a second, while a command runs
  nvidia-smi --query-gpu=utilization.gpu,memory.used,power.draw --format=csv,noheader,nounits --loop=1 >"$work/use" &
  local monitor=$! code=0
  "$@" || code=$?
  kill "$monitor" || true
  awk -F', ' '{u += $1; if ($2 > m) m = $2; w += $3; n++} END {if (n) printf "\nutilization %.0f %% on average, " \
    "memory %.1f GiB at most, %.0f W on average, over %d s\n", u/n, m/1024, w/n, n}' "$work/use"
  return "$code"
}
printf '# GPU check of %s\n\n' "$(date +%F)" >"$work/page"
"$python" -c 'import torch, transformers, xharness
gpu = torch.cuda.get_device_properties(0)
print(f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB, torch {torch.__version__}, CUDA {torch.version.cuda},")
print(f"transformers {transformers.__version__}, xharness {xharness.__version__}.")' >>"$work/page"
echo "The base is ${base/#"$work"*/of base size, with random weights}." >>"$work/page"
[[ -z $all ]] ||
  note Tests "$python" -m pytest -m gpu -p no:cacheprovider -c "$checkout/pyproject.toml" \
    "$checkout/tests/end_to_end/test_gpu.py"
note 'Training on MNLI in bfloat16' use "${xharness[@]}" train mnli --base "$base" --output "$work/mnli" \
  --device cuda --dtype bfloat16 --max-steps "$steps" --eval-every "$steps"
note 'Evaluation on XNLI' use "${xharness[@]}" eval --model "$work/mnli" --targets xnli --device cuda \
  --output "$work/results"
[[ -z $all ]] || note 'Evaluation speed compared with Trainer' \
  env "PYTHONPATH=$checkout/tests:$PYTHONPATH" "$python" -m performance.eval_speed
mkdir -p "$(dirname "$to")" && cp "$work/page" "$to"
echo "Written to $to." >&2
[[ -z $failed ]] || { echo "Failed: ${failed%; }." >&2; exit 1; }
