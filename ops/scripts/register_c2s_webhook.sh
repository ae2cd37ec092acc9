#!/bin/bash
# Subscribes our door to the three C2S actions.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: register_c2s_webhook.sh [ACTION...]

Subscribes WEBHOOK_URL at C2S, one call per action. Actions: on_create_lead on_update_lead on_close_lead
(all three unless given).

CAUTION: C2S keeps ONE endpoint per token. Subscribing this one silently removes the present one (Make.com's,
say), so set up forwarding before.

Environment:
  C2S_TOKEN            the company's token (required)
  WEBHOOK_URL          our door, as C2S reaches it, https://.../api/v1/webhook/leads (required)
  C2S_WEBHOOK_SECRET   the shared secret (required)
  C2S_BASE_URL         default https://api.contact2sale.com
  C2S_SUBSCRIBE_PATH   default /integration/leads/subscribe

Exit code 0: all subscribed; 1: C2S refused or cannot be reached; 2: wrong use.
TEXT
}

case "${1:-}" in
  -h | --help)
    usage
    exit 0
    ;;
  -*)
    usage >&2
    exit 2
    ;;
esac
for name in C2S_TOKEN WEBHOOK_URL C2S_WEBHOOK_SECRET; do
  if [[ -z "${!name:-}" ]]; then
    echo "$name is not set; see --help" >&2
    exit 2
  fi
done

SUBSCRIBE_URL="${C2S_BASE_URL:-https://api.contact2sale.com}${C2S_SUBSCRIBE_PATH:-/integration/leads/subscribe}"
if [[ $# -eq 0 ]]; then
  set -- on_create_lead on_update_lead on_close_lead
fi

for action in "$@"; do
  echo "subscribing $action"
  # Both spellings of the fields are in use. The token goes in by standard input: arguments show in `ps`.
  BODY='{"hook_url":"'$WEBHOOK_URL'","hook_action":"'$action'","url":"'$WEBHOOK_URL'","action":"'$action'","secret":"'$C2S_WEBHOOK_SECRET'"}'
  printf 'header = "Authorization: Bearer %s"\ndata = "%s"\n' "$C2S_TOKEN" "${BODY//\"/\\\"}" |
    curl --silent --show-error --fail-with-body --config - -X POST "$SUBSCRIBE_URL" \
      -H "Content-Type: application/json" || exit 1
  echo
done
