#!/bin/bash
# Posts the same webhook many times at once: one must be accepted, the others are duplicates.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: test_concurrent_requests.sh LEAD_ID [COUNT]

Signs one webhook and posts it COUNT times (10 unless given) side by side. Exactly one answer must be
"accepted" and the others "duplicate", all with the same event id.

Environment:
  C2S_WEBHOOK_SECRET   the shared secret (required)
  WEBHOOK_URL          the door; default http://127.0.0.1:8080/api/v1/webhook/leads

Exit code 0: as it must be; 1: not so; 2: wrong use.
TEXT
}

case "${1:-}" in
  -h | --help)
    usage
    exit 0
    ;;
  "" | -*)
    usage >&2
    exit 2
    ;;
esac
if [[ -z "${C2S_WEBHOOK_SECRET:-}" ]]; then
  echo "C2S_WEBHOOK_SECRET is not set; see --help" >&2
  exit 2
fi

LEAD_ID="$1"
COUNT="${2:-10}"
WEBHOOK_URL="${WEBHOOK_URL:-http://127.0.0.1:8080/api/v1/webhook/leads}"
PAYLOAD='{"lead_id":"'$LEAD_ID'","action":"on_create_lead","timestamp":'$(date +%s)'}'
SIGNATURE=$(echo -n "$PAYLOAD" | openssl dgst -sha256 -hmac "$C2S_WEBHOOK_SECRET" | awk '{print $2}')

ANSWERS=$(mktemp -d)
trap 'rm -rf "$ANSWERS"' EXIT
for ((n = 1; n <= COUNT; n++)); do
  curl --silent --show-error -X POST "$WEBHOOK_URL" \
    -H "Content-Type: application/json" \
    -H "X-C2S-Signature: $SIGNATURE" \
    -d "$PAYLOAD" -o "$ANSWERS/$n" &
done
wait

# Lines that match; none is a number as well.
count() {
  { cat "$ANSWERS"/* | grep -oE "$1" || true; } | sort ${2:+"$2"} | wc -l
}

ACCEPTED=$(count '"status": ?"(accepted|spooled)"')
DUPLICATES=$(count '"status": ?"duplicate"')
IDS=$(count '"event_id": ?"[^"]*"' -u)
echo "answers: $COUNT, accepted: $ACCEPTED, duplicates: $DUPLICATES, event ids: $IDS"
[[ "$ACCEPTED" -eq 1 && "$DUPLICATES" -eq $((COUNT - 1)) && "$IDS" -eq 1 ]]
