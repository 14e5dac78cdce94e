#!/usr/bin/env bash
# Publish all checkpoints of a zoo on the Hugging Face Hub, directly or as pull requests; sends nothing without --yes.
#
#   scripts/push_all.sh --zoo zoo --org my-org --results results --facts facts.yaml        show what would be sent
#   scripts/push_all.sh --zoo zoo --org my-org --results results --facts facts.yaml --yes
#
#   --zoo FOLDER        output of train_zoo.sh: a folder per checkpoint
#   --org NAME          the user or organization on the Hub
#   --encoder NAME      the encoder, as named by `xharness models`: xlmr (the default) gives xlmr-squad, ...
#   --prefix NAME       prefix of the names, for an encoder that is not in the zoo: tiny gives tiny-squad, ...
#   --results FOLDER    output of reproduce.sh or `xharness eval`; each checkpoint takes its own results from there
#   --only NAME,...     only these folders, such as mnli,multitask
#   --collection TITLE  the collection that groups them
#   --yes               send; without it every card is only rendered and checked
# All other options are passed to each `xharness publish`, such as --facts FILE, --create-pr, --private, --tag v1 or
# --no-results.
#
# What is on the Hub already is not sent again, so the same command continues after a stop. Exits with 1 if one
# checkpoint could not be published; the others are.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

zoo='' org='' encoder=xlmr prefix='' results=() only='' collection=() yes=() options=()
while (($#)); do
  case $1 in
    -h | --help) help_of "${BASH_SOURCE[0]}"; exit 0 ;;
    --yes) yes=(--yes); shift ;;
    --zoo | --org | --encoder | --prefix | --only)
      (($# > 1)) || usage "$1 needs a value."
      declare "${1#--}=$2"; shift 2 ;;
    --results) (($# > 1)) || usage "$1 needs a value."; results+=(--results "$2"); shift 2 ;;
    --collection) (($# > 1)) || usage "$1 needs a value."; collection=(--collection "$2"); shift 2 ;;
    --json | --card) usage "$1 is an option of a single \`xharness publish\`." ;;
    *) options+=("$1"); shift ;;
  esac
done
[[ -n $zoo && -d $zoo ]] || usage "Give --zoo FOLDER, the output of train_zoo.sh."
[[ -n $org ]] || usage "Give --org NAME, the user or organization on the Hub."

# Task and name of each checkpoint of the encoder in the zoo.
names=$("${xharness[@]}" models list --encoder "$encoder" --names)
checkpoints=()
while read -r task name; do
  [[ ! -e $zoo/$task/training.json ]] || checkpoints+=("$task=${prefix:-$encoder}${name#"$encoder"}")
done <<<"$names"
((${#checkpoints[@]})) || usage "There is no checkpoint in $zoo (a folder per task with training.json)."
for name in ${only//,/ }; do
  [[ " ${checkpoints[*]}" == *" $name="* ]] ||
    usage "--only: there is no '$name' in $zoo. There are: ${checkpoints[*]%%=*}."
done

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
failed=0 rows=()
for entry in "${checkpoints[@]}"; do
  task=${entry%%=*} name=${entry#*=} code=0
  [[ -z $only || ",$only," == *",$task,"* ]] || continue
  echo "== $zoo/$task -> $org/$name" >&2
  publish=("${xharness[@]}" publish "$zoo/$task" "$org/$name" ${results[@]+"${results[@]}"})
  publish+=(${collection[@]+"${collection[@]}"} ${options[@]+"${options[@]}"} ${yes[@]+"${yes[@]}"})
  # Messages are shown at once, and stored because the table shows the reason of a failure.
  { "${publish[@]}" 2>&1 >&3 | tee "$logs/err" >&2; } 3>"$logs/out" || code=$?
  cat "$logs/out"
  if ((code)); then
    failed=1 rows+=("$(printf '%-28s failed; %s' "$name" "$(sed -n 's/^Error: //p' "$logs/err" | head -n 1)")")
  else
    rows+=("$(printf '%-28s %s' "$name" "$(tail -n 1 "$logs/out")")")
  fi
done
printf '\n%-28s %s\n' repository result
printf '%s\n' "${rows[@]}"
exit $failed
