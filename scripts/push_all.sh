#!/usr/bin/env bash
# Publish all checkpoints of a zoo on the Hugging Face Hub, or propose them; nothing is sent without --yes.
#
#   scripts/push_all.sh --zoo zoo --org my-org --results results --facts facts.yaml        shows what would be sent
#   scripts/push_all.sh --zoo zoo --org my-org --results results --facts facts.yaml --yes
#
#   --zoo FOLDER        what train_zoo.sh made: a folder per checkpoint
#   --org NAME          the user or organisation on the Hub
#   --encoder NAME      the encoder, as `xharness models` calls it: xlmr (the default) gives xlmr-squad, ...
#   --prefix NAME       how the names begin, where the encoder is none of the zoo's list: tiny gives tiny-squad, ...
#   --results FOLDER    what reproduce.sh or `xharness eval` made; each checkpoint takes its own results from there
#   --only NAME,...     some of them, by their folders, such as mnli,multitask
#   --collection TITLE  the collection that groups them
#   --yes               send; without it every card is rendered and checked, and that is all
# All other options are given to each `xharness publish`, such as --facts FILE, --create-pr, --private, --tag v1 or
# --no-results.
#
# What is on the Hub already is not sent again, so after a stop the same command goes on. Ends with 1 if one could not
# be published; the others are.
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
[[ -n $zoo && -d $zoo ]] || usage "Give --zoo FOLDER, as train_zoo.sh made it."
[[ -n $org ]] || usage "Whose are they? Give --org NAME."

# Task and name of each of the encoder's checkpoints, as the zoo list has them.
names=$("${xharness[@]}" models list --encoder "$encoder" --names)
there=()
while read -r task name; do
  [[ ! -e $zoo/$task/training.json ]] || there+=("$task=${prefix:-$encoder}${name#"$encoder"}")
done <<<"$names"
((${#there[@]})) || usage "There is no checkpoint in $zoo (a folder per task with training.json)."
for name in ${only//,/ }; do
  [[ " ${there[*]}" == *" $name="* ]] || usage "--only: there is no '$name' in $zoo. There are: ${there[*]%%=*}."
done

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
failed=0 rows=()
for entry in "${there[@]}"; do
  task=${entry%%=*} name=${entry#*=} code=0
  [[ -z $only || ",$only," == *",$task,"* ]] || continue
  echo "== $zoo/$task -> $org/$name" >&2
  publish=("${xharness[@]}" publish "$zoo/$task" "$org/$name" ${results[@]+"${results[@]}"})
  publish+=(${collection[@]+"${collection[@]}"} ${options[@]+"${options[@]}"} ${yes[@]+"${yes[@]}"})
  # What it says is seen as it comes, and kept, since the table shows the reason of a failure.
  { "${publish[@]}" 2>&1 >&3 | tee "$logs/err" >&2; } 3>"$logs/out" || code=$?
  cat "$logs/out"
  if ((code)); then
    failed=1 rows+=("$(printf '%-28s failed; %s' "$name" "$(sed -n 's/^Error: //p' "$logs/err" | head -n 1)")")
  else
    rows+=("$(printf '%-28s %s' "$name" "$(tail -n 1 "$logs/out")")")
  fi
done
printf '\n%-28s %s\n' repository 'what came of it'
printf '%s\n' "${rows[@]}"
exit $failed
