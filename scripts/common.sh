# Shared by the scripts of this folder, which source it.
# shellcheck shell=bash
# shellcheck disable=SC2034  # the variables are used by those scripts

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-$checkout/.venv/bin/python}
command -v "$python" >/dev/null || python=python3
export PYTHONPATH=$checkout/harness${PYTHONPATH:+:$PYTHONPATH} PYTHONDONTWRITEBYTECODE=1
# XHARNESS may name another command, such as "torchrun --nproc-per-node 4 -m xharness".
read -ra xharness <<<"${XHARNESS:-$python -m xharness}"

# The comment at the top of a script is its help.
help_of() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$1"; }
usage() { echo "$1 See --help." >&2; exit 2; }

# The intermediate tasks, as the mixture of all of them lists them.
intermediate_tasks() {
  sed -n 's/^tasks: \[\(.*\)\]$/\1/p' "$checkout/tasks/intermediate/multitask.yaml" | tr -d ' ' | tr ',' '\n'
}

# Prepare --smoke below a folder: a tiny encoder with random weights, and the data folder or, without one, the sentences
# that come with xharness. Sets base, tasks (name=training sets), targets, languages, and more (options of both
# trainings).
smoke() {
  local demo=$checkout/tasks/demo texts=mnli,qqp,panx_en,ud_en_hub,tydiqa_en kind set
  # The matrices are small: more threads would only wait for each other.
  export OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false
  mkdir -p "$1" && base=$(cd "$1" && pwd)/tiny
  targets=udpos-hub,panx,xnli,tydiqa languages=en,de,ko,tr
  more=(--recipe smoke --dtype float32 --device cpu)
  if [[ -z ${XHARNESS_DATA_DIR:-} ]]; then
    export XHARNESS_DATA_DIR=${base%/tiny}/data
    [[ -e $XHARNESS_DATA_DIR/MANIFEST.tsv ]] || "$python" -c "import sys
from pathlib import Path
from xharness.demo.data import make_data
make_data(Path(sys.argv[1]))" "$XHARNESS_DATA_DIR"
    tasks=() texts='' targets='' languages=en,de,hi,zh
    for kind in nli ner qa; do
      set=$demo/training/demo_${kind}_en.yaml
      tasks+=("demo_$kind=$set")
      texts+=${texts:+,}$set
      targets+=${targets:+,}${base%/tiny}/demo_$kind.yaml
      sed "s|^train: null.*|train: $set|" "$demo/demo_$kind.yaml" >"${base%/tiny}/demo_$kind.yaml"
    done
    tasks+=("demo_multitask=$texts")
  fi
  [[ -e $base/config.json ]] || "${xharness[@]}" new-encoder --vocabulary 6000 --texts-of "$texts" --to "$base" >&2
}
