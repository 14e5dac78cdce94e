#!/usr/bin/env bash
# Reproduce the score table, or rows of it: train a head for each target on English, and evaluate it in all languages.
#
#   scripts/reproduce.sh --zoo zoo --base FacebookAI/xlm-roberta-large --to results --targets xtreme --seeds 1,2,3
#   scripts/reproduce.sh --zoo zoo --rows squad_v1 --to results --targets xquad,mlqa
#   scripts/reproduce.sh --smoke --zoo /tmp/zoo --to /tmp/results      after train_zoo.sh --smoke --to /tmp/zoo
#
#   --zoo FOLDER        output of train_zoo.sh: every checkpoint in it is a row
#   --base MODEL        adds the first row: the encoder without an intermediate task
#   --rows NAME,...     only these checkpoints of the zoo, or base
#   --targets NAME,...  targets, or a benchmark (xtreme)
#   --to FOLDER         results and predictions; existing ones are not computed again
#   --own-heads         score with a checkpoint's own head where it matches (SQuAD's on XQuAD) instead of training one;
#                       without it every target gets a fresh head in every row, as in the paper's method
#   --jobs N            number of rows at once (1; with --smoke 2)
#   --smoke             settings and targets for a zoo of train_zoo.sh --smoke; by default the rows base, mnli and
#                       multitask, in four languages
# All other options are passed to each `xharness eval --tune`, such as --recipe xtreme or --data-dir.
#
# Exits with 8 if a row is not complete; the table shows the scores that exist.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

base='' zoo='' to='' rows='' targets='' jobs='' smoke='' options=() more=() fresh=(--fresh-head)
while (($#)); do
  case $1 in
    -h | --help) help_of "${BASH_SOURCE[0]}"; exit 0 ;;
    --smoke) smoke=yes; shift ;;
    --own-heads) fresh=(); shift ;;
    --base | --zoo | --to | --rows | --targets | --jobs)
      (($# > 1)) || usage "$1 needs a value."
      declare "${1#--}=$2"; shift 2 ;;
    --model | --output | --dry-run | --json) usage "$1 is an option of a single \`xharness eval\`." ;;
    *) options+=("$1"); shift ;;
  esac
done
[[ -n $zoo && -d $zoo ]] || usage "Give --zoo FOLDER, the output of train_zoo.sh."
[[ -n $to ]] || usage "Give --to FOLDER, for results and predictions."
own=$targets
[[ ${jobs:-1} =~ ^[1-9][0-9]*$ ]] || usage "--jobs is '$jobs': give 1 or more."
[[ -z $smoke ]] || { smoke "$zoo"; jobs=${jobs:-2} more+=(--also none --languages "$languages"); }
targets=${own:-$targets}
[[ -n $targets ]] || usage "Give --targets, such as xtreme or xquad,mlqa."

checkpoints=()
for record in "$zoo"/*/training.json; do
  [[ ! -e $record ]] || checkpoints+=("$(basename "$(dirname "$record")")")
done
[[ -z $base ]] || checkpoints=(base ${checkpoints[@]+"${checkpoints[@]}"})
if [[ -n $smoke && -z $rows ]]; then
  for name in ${checkpoints[@]+"${checkpoints[@]}"}; do
    case $name in base | mnli | demo_nli | *multitask) rows+=${rows:+,}$name ;; esac
  done
fi
for name in ${rows//,/ }; do
  [[ " ${checkpoints[*]-} " == *" $name "* ]] ||
    usage "--rows: there is no '$name' in $zoo. There are: ${checkpoints[*]-none}."
done
mkdir -p "$to/logs"

trap 'kill $(jobs -p) 2>/dev/null; wait; echo "Stopped; the same command continues from here." >&2; exit 130' INT TERM
row() { # name
  local code=0 log=$to/logs/$1 model=$zoo/$1
  [[ $1 != base ]] || model=$base
  "${xharness[@]}" eval --model "$model" --tune ${fresh[@]+"${fresh[@]}"} --targets "$targets" \
    --output "$to/$1" ${more[@]+"${more[@]}"} ${options[@]+"${options[@]}"} >"$log.txt" 2>"$log.err" &
  trap 'kill $! 2>/dev/null' TERM
  wait $! || code=$?
  echo "$code" >"$log.code"
  ((code == 0)) && echo "$1: done" >&2 || echo "$1: exit code $code: $(tail -n 1 "$log.err")" >&2
}

chosen=() failed=() runs=()
for name in ${checkpoints[@]+"${checkpoints[@]}"}; do
  [[ -z $rows || ",$rows," == *",$name,"* ]] || continue
  chosen+=("$name")
  while (($(jobs -rp | wc -l) >= ${jobs:-1})); do wait -n || true; done
  echo "$name: training heads and evaluating ..." >&2
  row "$name" &
done
wait

for name in ${chosen[@]+"${chosen[@]}"}; do
  [[ $(cat "$to/logs/$name.code") == 0 ]] || failed+=("$name")
  for run in "$to/$name"/*/*/*/seed*/; do [[ ! -d $run ]] || runs+=("$run"); done
done
((${#runs[@]} == 0)) || "${xharness[@]}" report "${runs[@]}"
((${#failed[@]} == 0)) || { echo "Not complete: ${failed[*]}; see $to/logs." >&2; exit 8; }
