#!/usr/bin/env bash
# Train the ten checkpoints: one per intermediate task, and one on all of them.
#
#   scripts/train_zoo.sh --base FacebookAI/xlm-roberta-large --to zoo --data-dir /data/hub
#   scripts/train_zoo.sh --smoke --to /tmp/zoo              a tiny encoder with random weights, minutes on two CPU cores
#
#   --base MODEL        the encoder to start from
#   --to FOLDER         each checkpoint is a folder in it; existing ones are not trained again
#   --only NAME,...     only these, such as mnli,multitask
#   --jobs N            number of trainings at once (1; with --smoke 2)
#   --smoke             see above; on XHARNESS_DATA_DIR, or else on sentences that come with xharness; if training sets
#                       are complete and not samples, add --max-steps 300
# All other options are passed to each `xharness train`, such as --retries 2 or --seed 1.
#
# A task without data (CCG is licensed by the LDC) is left out, and a checkpoint that collapsed is kept; the table at
# the end says so. Exits with 1 if a training failed, and with 8 if one collapsed (not with --smoke).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

base='' to='' only='' jobs='' smoke='' options=() more=() tasks=()
while (($#)); do
  case $1 in
    -h | --help) help_of "${BASH_SOURCE[0]}"; exit 0 ;;
    --smoke) smoke=yes; shift ;;
    --base | --to | --only | --jobs) (($# > 1)) || usage "$1 needs a value."; declare "${1#--}=$2"; shift 2 ;;
    --output | --dry-run | --json) usage "$1 is an option of a single \`xharness train\`." ;;
    *) options+=("$1"); shift ;;
  esac
done
[[ -n $to ]] || usage "Give --to FOLDER, for the checkpoints."
[[ -n $base || -n $smoke ]] || usage "Give --base MODEL, the encoder to start from."
[[ ${jobs:-1} =~ ^[1-9][0-9]*$ ]] || usage "--jobs is '$jobs': give 1 or more."

while read -r name; do tasks+=("$name=$name"); done < <(intermediate_tasks; echo multitask)
[[ -z $smoke ]] || { smoke "$to"; jobs=${jobs:-2} more+=(--cap 1000); }
for name in ${only//,/ }; do
  [[ " ${tasks[*]}" == *" $name="* ]] || usage "--only: there is no '$name'. There are: ${tasks[*]%%=*}."
done
mkdir -p "$to/logs"

trap 'kill $(jobs -p) 2>/dev/null; wait; echo "Stopped; the same command continues from here." >&2; exit 130' INT TERM
train() { # name, training sets
  local code=0 log=$to/logs/$1
  "${xharness[@]}" train "$2" --base "$base" --output "$to/$1" ${more[@]+"${more[@]}"} ${options[@]+"${options[@]}"} \
    >"$log.txt" 2>"$log.err" &
  trap 'kill $! 2>/dev/null' TERM
  wait $! || code=$?
  echo "$code" >"$log.code"
  echo "$1: $(row "$1")" >&2
}
row() { # the result of a training, with its development scores
  local log=$to/logs/$1 scores
  scores=$(awk '/^---/ {on = 1; next} !NF {on = 0} on {printf "%s%s %s (chance %s)", s, $1, $3, $4; s = "; "}' \
    "$log.txt")
  case $(cat "$log.code") in
    0) echo "trained; ${scores:-no development data}" ;;
    4) echo "left out; $(sed -n 's/^Error: //p' "$log.err" | head -n 1)" ;;
    8) echo "collapsed; $scores" ;;
    *) echo "failed; $(tail -n 1 "$log.err")" ;;
  esac
}

started=$SECONDS chosen=()
for task in "${tasks[@]}"; do
  name=${task%%=*}
  [[ -z $only || ",$only," == *",$name,"* ]] || continue
  chosen+=("$name")
  # A mixture reads what the other trainings encoded, so it waits for them.
  [[ $name != *multitask ]] || wait
  while (($(jobs -rp | wc -l) >= ${jobs:-1})); do wait -n || true; done
  echo "$name: training ..." >&2
  train "$name" "${task#*=}" &
done
wait

printf '\n%-16s %s\n' checkpoint result
for name in "${chosen[@]}"; do printf '%-16s %s\n' "$name" "$(row "$name")"; done
echo "$((SECONDS - started)) s; checkpoints and logs are in $to."
cd "$to/logs"
grep -qvxE '0|4|8' "${chosen[@]/%/.code}" -h && exit 1
if [[ -z $smoke ]] && grep -qx 8 "${chosen[@]/%/.code}"; then exit 8; fi
