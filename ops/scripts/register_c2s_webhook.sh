#!/bin/bash
# Subscribes our door to the three C2S actions. `c2s subscribe` does the same within the fleet's budget.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: register_c2s_webhook.sh [--yes] [--path PATH] [--method METHOD] [ACTION...]

Subscribes WEBHOOK_URL at C2S, one call per action. Actions: on_create_lead on_update_lead on_close_lead
(all three unless given). Says what will change and asks before, unless --yes is given; checks the token first.

CAUTION: C2S keeps ONE endpoint per token. Subscribing this one silently removes the present one (Make.com's,
say), so set up forwarding before.

Environment:
  C2S_TOKEN            the company's token (required)
  WEBHOOK_URL          our door, as C2S reaches it, https://.../api/v1/webhook/leads (required)
  C2S_WEBHOOK_TOKEN    the secret that becomes part of the URL, for webhooks that C2S does not sign
  C2S_WEBHOOK_SECRET   the shared secret of signed webhooks (one of the two is required; the token goes first)
  C2S_BASE_URL         default https://api.contact2sale.com
  C2S_SUBSCRIBE_PATH   default /integration/leads/subscribe (also seen: /integration/api/subscribe)
  C2S_CHECK_PATH       the token check; default /integration/company (also seen: /me)

Exit code 0: all subscribed; 1: C2S refused, cannot be reached, or the answer was no; 2: wrong use.
TEXT
}

YES=""
METHOD="POST"
SUBSCRIBE_PATH="${C2S_SUBSCRIBE_PATH:-/integration/leads/subscribe}"
while [[ "${1:-}" == -* ]]; do
  case "$1" in
    -h | --help)
      usage
      exit 0
      ;;
    -y | --yes) YES=1 ;;
    --path | --method)
      [[ -n "${2:-}" ]] || { usage >&2 && exit 2; }
      if [[ "$1" == "--path" ]]; then SUBSCRIBE_PATH="$2"; else METHOD="$2"; fi
      shift
      ;;
    *)
      usage >&2
      exit 2
      ;;
  esac
  shift
done
for name in C2S_TOKEN WEBHOOK_URL; do
  if [[ -z "${!name:-}" ]]; then
    echo "$name is not set; see --help" >&2
    exit 2
  fi
done
if [[ -z "${C2S_WEBHOOK_TOKEN:-}${C2S_WEBHOOK_SECRET:-}" ]]; then
  echo "neither C2S_WEBHOOK_TOKEN nor C2S_WEBHOOK_SECRET is set; see --help" >&2
  exit 2
fi

if [[ ! "$WEBHOOK_URL" =~ ^https?://[^/?#[:space:]\"]+[^?#[:space:]\"]*$ ]]; then
  echo "WEBHOOK_URL must look like https://host/api/v1/webhook/leads" >&2
  exit 2
fi
if [[ "${C2S_WEBHOOK_TOKEN:-}" =~ [^A-Za-z0-9._~-] ]]; then
  echo "C2S_WEBHOOK_TOKEN has characters that a URL must quote; use c2s subscribe" >&2
  exit 2
fi

BASE_URL="${C2S_BASE_URL:-https://api.contact2sale.com}"
HOOK_URL="${WEBHOOK_URL%/}"
SHOWN="$HOOK_URL"
SECRET="${C2S_WEBHOOK_SECRET:-}"
if [[ -n "${C2S_WEBHOOK_TOKEN:-}" ]]; then
  SHOWN="${HOOK_URL%"/$C2S_WEBHOOK_TOKEN"}/*** (the token of C2S_WEBHOOK_TOKEN)"
  HOOK_URL="${HOOK_URL%"/$C2S_WEBHOOK_TOKEN"}/$C2S_WEBHOOK_TOKEN"
  SECRET=""
fi
if [[ $# -eq 0 ]]; then
  set -- on_create_lead on_update_lead on_close_lead
fi

cat <<TEXT
C2S will send $* ($METHOD $BASE_URL$SUBSCRIBE_PATH) to
  $SHOWN
C2S keeps ONE endpoint per token and does not tell which it is now: whatever receives this company's webhooks at
present (Make.com, say) is replaced and gets none from then on.
TEXT
if [[ "$HOOK_URL" != https:* ]]; then
  echo "CAUTION: not https, the webhooks travel in clear."
fi
if [[ -z "$YES" ]]; then
  read -r -p "subscribe? [y/N] " ANSWER || ANSWER=""
  if [[ "$ANSWER" != [yYsS]* ]]; then
    echo "nothing was changed" >&2
    exit 1
  fi
fi

quoted() { # for JSON and for curl's configuration alike
  local text="${1//\\/\\\\}"
  printf '%s' "${text//\"/\\\"}"
}

# Tokens and bodies go in by standard input: arguments show in `ps`.
call() {
  local body="${3:-}"
  {
    printf 'header = "Authorization: Bearer %s"\n' "$C2S_TOKEN"
    if [[ -n "$body" ]]; then printf 'data = "%s"\n' "$(quoted "$body")"; fi
  } | curl --silent --show-error --fail --output /dev/null --config - -X "$1" "$2" \
    -H "Content-Type: application/json"
}

if ! call GET "$BASE_URL${C2S_CHECK_PATH:-/integration/company}"; then
  echo "the token check failed; nothing was changed" >&2
  exit 1
fi
echo "the token is good"
for action in "$@"; do
  # Both spellings of the fields are in use.
  BODY='{"hook_url":"'$HOOK_URL'","hook_action":"'$action'","url":"'$HOOK_URL'","action":"'$action'"'
  if [[ -n "$SECRET" ]]; then BODY+=',"secret":"'$(quoted "$SECRET")'"'; fi
  call "$METHOD" "$BASE_URL$SUBSCRIBE_PATH" "$BODY}" || exit 1
  echo "subscribed: $action"
done
