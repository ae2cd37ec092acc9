"""Where fuzzing starts: the bodies of C2S.md §1 as they stand there, and headers of every kind."""

BODIES = (
    b'{"lead_id": "L1", "action": "on_create_lead", "timestamp": 1736899200}',
    (
        b'{"id": "L1", "hook_action": "on_update_lead", "attributes": {"updated_at": "2025-01-21T10:30:00Z",'
        b' "customer": {"id": 7, "name": "Ana", "email": "ana@example.com", "phone": "(11) 98765-4321",'
        b' "phone2": "", "phone_global": "+55 11 98765-4321"}, "product": {"price": "350.000,00"}}}'
    ),
    (
        b'{"hook_action": "on_create_lead", "data": {"type": "lead", "id": "L1", "attributes": {}},'
        b' "timestamp": "2025-12-10T15:30:00Z"}'
    ),
    b'{"hook_action": "on_create_lead", "lead": {"id": "L1", "internal_id": 42, "attributes": {}}}',
    b'{"data": {"id": "L1", "attributes": {"updated_at": "2025-01-21 10:30:00.000 -0300"}}}',
    b'[{"id": 1}, {"lead_id": "L2", "action": "on_close_lead"}, 5, {"data": {}}]',
    b'{"data": {"id": 4711, "attributes": {"messages": [{"body": "ref: 0123456789ab"}, "x"], "log": [{}]}}}',
    b'{"id": "L1", "timestamp": 1737455400000, "a": "\\u0000\\ud83d\\ude00", "b": [[[[{}]]]], "c": -1.5e300}',
    b'{"id": "L1", "timestamp": "2025-01-21T07:30:00-03:00"}',
    b'{"id": "L1", "timestamp": 1e400}',
)

# One header a line, then the body; `@` stands for the right signature (see `fuzz.harness`).
#   X-C2S-Signature | X-C2S-Timestamp | webhook-id | webhook-timestamp | webhook-signature | body
HEADERS = (
    b"@\n\n\n\n\n{}",
    b"sha256=@\n1736899200\n\n\n\n" + BODIES[0],
    b"SHA256=" + b"0A" * 32 + b"\n2025-01-21T10:30:00Z\n\n\n\n{}",
    b"\n\nmsg_1\n1736899200\n@\n" + BODIES[0],
    b"\n\nmsg_1\n1736899200\nv1,AAAA v2,x @\n{}",
    b"\n\nmsg_1\n2025-01-21 10:30:00.000 -0300\n@\n[]",
    b"\xc3\xa9\n\xd9\xa3\xd9\xa0\n\xff\n1e400\nv1,\xc3\xa9\n",
    b"zz\nabc\n\n-1\n\n{}",
)
