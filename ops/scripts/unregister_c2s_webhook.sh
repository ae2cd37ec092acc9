#!/bin/bash
# Removes the subscription at C2S. `c2s unsubscribe` does the same within the fleet's budget.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: unregister_c2s_webhook.sh [--yes] [--path PATH] [--method METHOD]

Removes the token's subscription at C2S: no more webhooks come, to whomever they go at present. Says so and asks
before, unless --yes is given; checks the token first.

Environment:
  C2S_TOKEN              the company's token (required)
  C2S_BASE_URL           default https://api.contact2sale.com
  C2S_UNSUBSCRIBE_PATH   default /integration/leads/subscribe
  C2S_UNSUBSCRIBE_METHOD default DELETE (with POST, one call per action is made, e.g. for
                         C2S_UNSUBSCRIBE_PATH=/integration/api/unsubscribe)
  C2S_CHECK_PATH         the token check; default /integration/company (also seen: /me)

Exit code 0: removed; 1: C2S refused, cannot be reached, or the answer was no; 2: wrong use.
TEXT
}

YES=""
METHOD="${C2S_UNSUBSCRIBE_METHOD:-DELETE}"
UNSUBSCRIBE_PATH="${C2S_UNSUBSCRIBE_PATH:-/integration/leads/subscribe}"
while [[ $# -gt 0 ]]; do
  case "$1" in
    -h | --help)
      usage
      exit 0
      ;;
    -y | --yes) YES=1 ;;
    --path | --method)
      [[ -n "${2:-}" ]] || { usage >&2 && exit 2; }
      if [[ "$1" == "--path" ]]; then UNSUBSCRIBE_PATH="$2"; else METHOD="$2"; fi
      shift
      ;;
    *)
      usage >&2
      exit 2
      ;;
  esac
  shift
done
if [[ -z "${C2S_TOKEN:-}" ]]; then
  echo "C2S_TOKEN is not set; see --help" >&2
  exit 2
fi

BASE_URL="${C2S_BASE_URL:-https://api.contact2sale.com}"
cat <<TEXT
This ends the webhooks of this company's token at C2S ($METHOD $BASE_URL$UNSUBSCRIBE_PATH).
Whatever receives them at present, here or elsewhere, gets none from then on.
TEXT
if [[ -z "$YES" ]]; then
  read -r -p "unsubscribe? [y/N] " ANSWER || ANSWER=""
  if [[ "$ANSWER" != [yYsS]* ]]; then
    echo "nothing was changed" >&2
    exit 1
  fi
fi

# The token goes in by standard input: arguments show in `ps`.
call() {
  printf 'header = "Authorization: Bearer %s"\n' "$C2S_TOKEN" |
    curl --silent --show-error --fail --output /dev/null --config - -X "$1" "$2" \
      -H "Content-Type: application/json" "${@:3}"
}

if ! call GET "$BASE_URL${C2S_CHECK_PATH:-/integration/company}"; then
  echo "the token check failed; nothing was changed" >&2
  exit 1
fi
echo "the token is good"
if [[ "$METHOD" == "DELETE" ]]; then
  call DELETE "$BASE_URL$UNSUBSCRIBE_PATH" || exit 1
  echo "unsubscribed: all actions"
else
  for action in on_create_lead on_update_lead on_close_lead; do
    call "$METHOD" "$BASE_URL$UNSUBSCRIBE_PATH" -d '{"hook_action":"'"$action"'"}' || exit 1
    echo "unsubscribed: $action"
  done
fi
