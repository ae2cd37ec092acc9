#!/bin/bash
# Simulates a C2S webhook with a valid HMAC signature.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: test_webhook_signature.sh [LEAD_ID]

Signs a webhook as C2S does and posts it. LEAD_ID is test-lead-123 unless given.

Environment:
  C2S_WEBHOOK_SECRET   the shared secret (required)
  WEBHOOK_URL          the door; default http://127.0.0.1:8080/api/v1/webhook/leads

Example:
  C2S_WEBHOOK_SECRET=... WEBHOOK_URL=https://example.com/api/v1/webhook/leads \
    ./test_webhook_signature.sh test-lead-001

Prints the answer. Exit code 0: accepted; 1: refused or unreachable; 2: wrong use.
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
if [[ -z "${C2S_WEBHOOK_SECRET:-}" ]]; then
  echo "C2S_WEBHOOK_SECRET is not set; see --help" >&2
  exit 2
fi

LEAD_ID="${1:-test-lead-123}"
SECRET="${C2S_WEBHOOK_SECRET}"
TIMESTAMP=$(date +%s)
WEBHOOK_URL="${WEBHOOK_URL:-http://127.0.0.1:8080/api/v1/webhook/leads}"

PAYLOAD='{"lead_id":"'$LEAD_ID'","action":"on_create_lead","timestamp":'$TIMESTAMP'}'
SIGNATURE=$(echo -n "$PAYLOAD" | openssl dgst -sha256 -hmac "$SECRET" | awk '{print $2}')

curl --silent --show-error --fail-with-body -X POST "$WEBHOOK_URL" \
  -H "Content-Type: application/json" \
  -H "X-C2S-Signature: $SIGNATURE" \
  -d "$PAYLOAD" || exit 1
echo
