#!/bin/bash
# Removes our subscription at C2S.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: unregister_c2s_webhook.sh

Removes the token's subscription at C2S: no more webhooks come.

Environment:
  C2S_TOKEN              the company's token (required)
  C2S_BASE_URL           default https://api.contact2sale.com
  C2S_UNSUBSCRIBE_PATH   default /integration/leads/subscribe
  C2S_UNSUBSCRIBE_METHOD default DELETE (with POST, one call per action is made, e.g. for
                         C2S_UNSUBSCRIBE_PATH=/integration/api/unsubscribe)

Exit code 0: removed; 1: C2S refused or cannot be reached; 2: wrong use.
TEXT
}

case "${1:-}" in
  -h | --help)
    usage
    exit 0
    ;;
  ?*)
    usage >&2
    exit 2
    ;;
esac
if [[ -z "${C2S_TOKEN:-}" ]]; then
  echo "C2S_TOKEN is not set; see --help" >&2
  exit 2
fi

METHOD="${C2S_UNSUBSCRIBE_METHOD:-DELETE}"
UNSUBSCRIBE_URL="${C2S_BASE_URL:-https://api.contact2sale.com}${C2S_UNSUBSCRIBE_PATH:-/integration/leads/subscribe}"

# The token goes in by standard input: arguments show in `ps`.
call() {
  printf 'header = "Authorization: Bearer %s"\n' "$C2S_TOKEN" |
    curl --silent --show-error --fail-with-body --config - -X "$METHOD" "$UNSUBSCRIBE_URL" \
      -H "Content-Type: application/json" "$@" || exit 1
  echo
}

if [[ "$METHOD" == "DELETE" ]]; then
  call
else
  for action in on_create_lead on_update_lead on_close_lead; do
    echo "unsubscribing $action"
    call -d '{"hook_action":"'$action'"}'
  done
fi
