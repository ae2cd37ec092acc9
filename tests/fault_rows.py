"""The register of faults: each row of the table of faults, its log lines, and the tests that show it.

Find a row by its number, then run its tests: ``pytest tests/<file>::<test>``. `unit/test_fault_rows.py`
checks that every test exists and that every log line is one the code writes.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One fault.

    Attributes:
        case: the fault, in a few words.
        events: names of log lines it leads to.
        tests: ``<file below tests>::<test>``.
    """

    case: str
    events: tuple[str, ...]
    tests: tuple[str, ...]


DOOR = "integration/test_ingress_webhooks.py"
SPOOL = "integration/test_ingress_spool.py"
LIMITS = "integration/test_ingress_limits.py"
BODIES = "unit/test_webhook_bodies.py"
SECRETS = "acceptance/test_door_secrets.py"
RAW = "acceptance/test_door_raw.py"
VECTORS = "unit/test_signature_vectors.py"
ENGINE = "integration/test_engine.py"
FAULTS = "integration/test_engine_faults.py"
SENDING = "integration/test_outside_sending.py"
ANSWERS = "integration/test_outside_answers.py"
PROTOCOL = "contract/test_protocol.py"
STORM = "acceptance/test_canary_storm.py::test_nobody_is_found_outside_the_sealed_places"

ROWS: dict[int, Row] = {
    1: Row(
        "valid signed webhook",
        ("webhook.accepted",),
        (f"{DOOR}::test_accepted_webhook_is_one_readable_entry",),
    ),
    2: Row(
        "the same again",
        ("webhook.duplicate",),
        (
            f"{DOOR}::test_repeats_are_duplicates_of_the_first",
            f"{DOOR}::test_a_restarted_door_knows_duplicates",
            f"{DOOR}::test_of_many_identical_posts_one_is_accepted",
            f"{RAW}::test_of_100_identical_posts_to_two_doors_one_is_accepted",
        ),
    ),
    3: Row(
        "the same create or close again, other body",
        ("webhook.duplicate",),
        (
            f"{DOOR}::test_repeats_are_duplicates_of_the_first",
            "integration/test_projector.py::test_a_repeat_before_its_webhook_makes_the_row",
        ),
    ),
    4: Row(
        "missing or wrong signature",
        ("auth.rejected",),
        (
            f"{DOOR}::test_nothing_vouches",
            f"{VECTORS}::test_openssl_signatures",
            f"{VECTORS}::test_several_signatures",
        ),
    ),
    5: Row(
        "non-ASCII, non-hex, 1 MB signature header",
        ("auth.rejected",),
        (f"{DOOR}::test_nothing_vouches", f"{LIMITS}::test_huge_signature_header"),
    ),
    6: Row(
        "timestamp 301 or 299 s off",
        ("auth.rejected",),
        (f"{DOOR}::test_window_of_signed_webhooks", f"{DOOR}::test_time_is_only_noted_where_a_token_vouches"),
    ),
    7: Row(
        "malformed timestamp",
        ("auth.rejected",),
        (f"{DOOR}::test_malformed_timestamp", f"{DOOR}::test_malformed_timestamp_header"),
    ),
    8: Row(
        "signed with the previous secret",
        ("auth.previous_secret",),
        (
            f"{DOOR}::test_previous_secret_is_taken_and_told",
            f"{DOOR}::test_standard_webhooks_secret_and_rotation",
            f"{DOOR}::test_url_tokens",
        ),
    ),
    9: Row(
        "wrong URL token",
        ("auth.rejected",),
        (
            f"{DOOR}::test_url_tokens",
            f"{SECRETS}::test_a_token_in_a_url_appears_nowhere",
            f"{SECRETS}::test_with_everything_away_neither",
        ),
    ),
    10: Row(
        "body too large",
        ("webhook.refused",),
        (
            f"{LIMITS}::test_too_large_by_its_head",
            f"{LIMITS}::test_too_large_without_saying_so",
            f"{RAW}::test_an_attack_by_itself",
        ),
    ),
    11: Row("any Content-Encoding", ("webhook.refused",), (f"{LIMITS}::test_encodings",)),
    12: Row("a dripped body", ("webhook.refused",), (f"{LIMITS}::test_dripped_body",)),
    13: Row(
        "Content-Length and Transfer-Encoding, duplicate Host, garbage",
        (),
        (
            f"{LIMITS}::test_broken_http",
            f"{LIMITS}::test_expectations_elsewhere",
            f"{RAW}::test_an_attack_by_itself",
            f"{RAW}::test_all_at_once",
        ),
    ),
    14: Row(
        "a body that is not JSON, or neither object nor array",
        ("webhook.refused",),
        (f"{DOOR}::test_refused_bodies", f"{BODIES}::test_refused_bodies"),
    ),
    15: Row(
        "too deep, or a number too long",
        ("webhook.refused",),
        (
            f"{DOOR}::test_refused_bodies",
            f"{BODIES}::test_refused_bodies",
            f"{BODIES}::test_depth_32_is_taken",
        ),
    ),
    16: Row(
        "a NUL inside a string",
        ("payload.sanitised",),
        (
            f"{BODIES}::test_nul_and_control_characters_inside_strings_are_kept",
            "integration/test_projector.py::test_nul_and_nonsense_do_not_stall",
        ),
    ),
    17: Row(
        "no lead id, or a malformed one",
        ("webhook.refused",),
        (f"{DOOR}::test_refused_bodies", f"{BODIES}::test_refused_bodies"),
    ),
    18: Row(
        "unknown action", ("webhook.ignored",), (f"{DOOR}::test_unknown_action_is_recorded_not_processed",)
    ),
    19: Row(
        "a batch with a bad element",
        ("webhook.accepted", "webhook.refused"),
        (f"{DOOR}::test_batch_with_a_bad_element",),
    ),
    20: Row(
        "one lead, a thousand webhooks a second",
        ("webhook.rate_limited",),
        (
            "integration/test_ingress_rates.py::test_one_lead_at_a_thousand_a_second",
            "integration/test_ingress_rates.py::test_elements_over_the_limit_in_a_batch",
        ),
    ),
    21: Row(
        "Redis down, Postgres up",
        ("webhook.spooled", "redis.away"),
        (
            f"{SPOOL}::test_redis_away_and_back",
            f"{SPOOL}::test_many_at_once_while_redis_goes",
            f"{SPOOL}::test_spool_left_by_an_earlier_run",
            "acceptance/test_guarantees.py::test_redis_away_under_load",
        ),
    ),
    22: Row("both down", ("webhook.unavailable",), (f"{SPOOL}::test_both_away",)),
    23: Row(
        "reply of the append lost",
        ("append.retried",),
        (
            f"{PROTOCOL}::test_append_whose_reply_was_lost_is_not_repeated",
            f"{SPOOL}::test_a_webhook_whose_reply_was_lost_twice",
        ),
    ),
    24: Row(
        "Redis out of memory, MISCONF, read-only replica",
        ("redis.refused",),
        (
            f"{SPOOL}::test_redis_refuses_to_write",
            f"{SPOOL}::test_a_redis_that_cannot_write_to_its_disk",
        ),
    ),
    25: Row(
        "Redis restarted; stream or group deleted under a blocked reader",
        ("stream.recreated",),
        (
            f"{FAULTS}::test_a_destroyed_group_goes_on_at_the_oldest_unfinished_event",
            f"{FAULTS}::test_a_deleted_stream_comes_back_from_the_archive",
            f"{FAULTS}::test_a_group_lost_with_postgres_away_is_read_from_the_start",
            f"{FAULTS}::test_a_finished_entry_that_is_read_again_is_verified_before_it_is_sent",
            f"{ENGINE}::test_a_vanished_group_is_recreated",
        ),
    ),
    26: Row(
        "processor killed at any point",
        ("lease.expired",),
        (
            f"{FAULTS}::test_a_dead_instances_lease_expires_and_its_lead_is_taken_over",
            f"{ENGINE}::test_the_leads_of_a_dead_instance_are_taken_over",
            "acceptance/test_crash_points.py::test_a_crash_at_any_point_loses_nothing_and_repeats_nothing",
        ),
    ),
    27: Row(
        "processor stopped past its lease, then continued",
        ("lease.lost",),
        (
            f"{FAULTS}::test_who_lost_the_lease_writes_nothing_more",
            f"{PROTOCOL}::test_an_ex_owner_changes_nothing",
            STORM,
        ),
    ),
    28: Row(
        "SIGTERM under load",
        ("shutdown.drained",),
        (
            "acceptance/test_stopping.py::test_every_service_stops_in_order_under_load",
            "integration/test_ingress_process.py::test_stopped_under_load",
            "unit/test_waiting.py::test_a_waiter_that_comes_while_the_door_closes_is_let_go",
        ),
    ),
    29: Row(
        "C2S POST refused, 500, timeout, reset, reply lost, 429, slow",
        ("attempt.failed", "send.ambiguous", "api.throttled"),
        (
            f"{FAULTS}::test_throttling_and_doubt_are_said",
            f"{ENGINE}::test_an_ambiguous_send_is_verified_before_it_is_repeated",
            f"{ENGINE}::test_throttling_spends_no_attempt",
            f"{SENDING}::test_an_answer_that_is_lost_is_ambiguous_for_the_message_and_retryable_for_reads",
        ),
    ),
    30: Row(
        "C2S 401/403 (token revoked)",
        ("c2s.unauthorized",),
        (
            f"{FAULTS}::test_a_revoked_token_waits_for_the_operator",
            f"{ANSWERS}::test_a_refused_account_waits_for_the_operator",
        ),
    ),
    31: Row(
        "C2S lead 404",
        ("lead.gone",),
        (
            f"{FAULTS}::test_a_lead_that_c2s_does_not_know_is_said_and_given_up",
            f"{ENGINE}::test_a_missing_lead_is_a_dead_letter_at_once",
        ),
    ),
    32: Row(
        "Diretrix or Work API down for an hour",
        ("circuit.open",),
        (
            "contract/test_budget.py::test_the_breaker_opens_at_its_rate_and_not_before",
            "unit/test_policy.py::test_an_open_circuit_spends_no_attempt_and_spreads_the_crowd",
        ),
    ),
    33: Row(
        "Work API answers nonsense",
        ("enrichment.malformed",),
        (
            f"{ANSWERS}::test_enrichment_that_makes_no_sense_is_no_data",
            f"{ANSWERS}::test_an_oversized_answer_is_hung_up_on",
        ),
    ),
    34: Row(
        "poison entry",
        ("lead.dead_lettered",),
        (
            f"{FAULTS}::test_an_entry_that_kills_its_process_is_given_up",
            f"{ENGINE}::test_attempts_end_in_a_dead_letter",
        ),
    ),
    35: Row(
        "Postgres down or restarted",
        ("projector.stalled",),
        (
            "acceptance/test_guarantees.py::test_postgres_away_under_load",
            "integration/test_projector_service.py::test_a_lost_connection_is_replaced_while_the_read_blocks",
        ),
    ),
    36: Row(
        "projector killed mid-batch; two projectors",
        (),
        (
            "integration/test_projector.py::test_a_failure_inside_the_transaction_leaves_nothing",
            "integration/test_projector.py::test_a_second_projector_cannot_advance_from_the_same_place",
            "integration/test_projector_service.py::test_one_projects_the_other_stands_by_and_takes_over",
            "acceptance/test_crash_points.py::test_a_crash_at_any_point_loses_nothing_and_repeats_nothing",
        ),
    ),
    37: Row(
        "pending entry trimmed or deleted by hand",
        ("stream.pending_lost",),
        (f"{ENGINE}::test_a_pending_entry_deleted_by_hand_is_restored", STORM),
    ),
    38: Row(
        "Redis wiped",
        (),
        (
            f"{ENGINE}::test_a_wiped_redis_is_recovered_from_postgres",
            "acceptance/test_guarantees.py::test_redis_wiped_amid_five_hundred_leads",
        ),
    ),
    39: Row(
        "clock of one machine ten minutes off",
        (),
        (f"{FAULTS}::test_a_machine_whose_clock_is_wrong_changes_nothing", STORM),
    ),
    40: Row(
        "disk full under Postgres or Redis",
        ("redis.refused",),
        (
            f"{SPOOL}::test_a_redis_that_cannot_write_to_its_disk",
            f"{SPOOL}::test_a_disk_full_under_the_spool",
            STORM,
        ),
    ),
    41: Row(
        "CR, LF and ANSI codes in a customer's name",
        ("webhook.accepted",),
        (
            f"{SECRETS}::test_no_line_can_be_forged",
            f"{SECRETS}::test_no_person_is_logged",
            f"{BODIES}::test_nul_and_control_characters_inside_strings_are_kept",
        ),
    ),
    42: Row(
        "setting missing, malformed or contradictory",
        (),
        (
            "integration/test_ingress_process.py::test_wrong_settings",
            "integration/test_ingress_rates.py::test_wrong_limits_name_themselves",
            "unit/test_settings.py::test_what_stands_in_the_wrong_place_is_not_quoted",
            "integration/test_forwarding.py::test_wrong_url_names_the_setting_and_not_itself",
            "acceptance/test_up.py::test_settings_that_contradict_stop_the_start",
        ),
    ),
}
