"""One mechanism turned off at a time: what is changed in which file, and which tests must notice."""

from dataclasses import dataclass

SERVERS = "tests/integration/"
PROTOCOL = "tests/contract/test_protocol.py::"
ENGINE = "tests/integration/test_engine.py::"
PROJECTOR = "tests/integration/test_projector.py::"
SEND = "tests/unit/test_send.py::"
GATE = "tests/unit/test_gate.py::"
PLACES = "tests/integration/test_partitions_two_places.py::"
BATCHES = "tests/integration/test_projector_batches.py::"
SPENT = "tests/integration/test_spent_once.py::"
LOCKS = "tests/integration/test_look_up_locks.py::"
LEASES = "tests/simulation/test_leases.py::"
SIMULATION = "tests/simulation/test_schedules.py::test_every_promise_holds_after_every_schedule[0-99]"


@dataclass(frozen=True, slots=True)
class Mutant:
    """A change of the source.

    Attributes:
        name: the mechanism that is off.
        old: text that must stand in ``path`` exactly once.
        guards: tests that must fail with the change and pass without it.
        on_servers: whether the guards need real servers (and so the house's conftest).
    """

    name: str
    path: str
    old: str
    new: str
    guards: tuple[str, ...]

    @property
    def on_servers(self) -> bool:
        return any(guard.startswith(SERVERS) for guard in self.guards)


# The webhook's dedup key first, its entry in a second step: what `append` must never be.
_TWO_WRITES = """\
            reply = []
            for item in items:
                event, name = item.event, keys.dedup(item.dedup_key)
                fresh = await self._client.set(name, event.event_id, nx=True, ex=self._dedup_ttl_s)
                entry_id = b""
                if fresh:
                    again_alone = calls.append(keys, [item], dedup_ttl_s=60, instance=self._instance)
                    again_alone.keys[2] += ":entry"
                    entry_id = (await run(self._client, again_alone))[0][2]
                reply.append([1 if fresh else 0, event.event_id.encode(), entry_id])
"""

MUTANTS = (
    Mutant(
        "fence_check_in_finish",
        "schema/lua/finish.lua",
        "if held[lease] ~= ARGV[at + 2] then",
        "if false then",
        (PROTOCOL + "test_an_ex_owner_changes_nothing[model]", SIMULATION),
    ),
    Mutant(
        "fence_check_in_record",
        "schema/lua/record.lua",
        "if redis.call('GET', lease) == value then",
        "if true then",
        (PROTOCOL + "test_an_ex_owner_changes_nothing[model]",),
    ),
    Mutant(
        "owner_only_renew",
        "schema/lua/renew.lua",
        "if redis.call('GET', KEYS[n + 1]) == value then",
        "if true then",
        (PROTOCOL + "test_an_ex_owner_changes_nothing[model]",),
    ),
    Mutant(
        "read_before_resend",
        "processor/send.py",
        "if (intent or work.verify) and await self._is_there(work, intent, ref):",
        "if False:",
        (LEASES + "test_what_a_dead_owner_had_sent_is_found",),
    ),
    Mutant(
        "verify_after_an_attempt_that_never_ended",
        "schema/lua/enter.lua",
        "(attempt > 1 and ended ~= '1')",
        "false",
        (PROTOCOL + "test_steps_survive_a_crash_and_demand_verification[model]",),
    ),
    Mutant(
        "atomic_append",
        "ops/append.py",
        "            reply = await run(self._client, call)\n",
        _TWO_WRITES,
        (SIMULATION,),
    ),
    Mutant(
        "one_entry_of_a_lead_at_a_time",
        "schema/lua/enter.lua",
        "instance .. '|' .. fence, 'NX',",
        "instance .. '|' .. fence,",
        (PROTOCOL + "test_a_lead_in_work_elsewhere_is_busy[model]",),
    ),
    Mutant(
        "order_within_a_lead",
        "schema/lua/enter.lua",
        "  if head ~= entry_id then return {'wait', head} end\n",
        "",
        (PROTOCOL + "test_one_entry_of_a_lead_at_a_time_in_order[model]", SIMULATION),
    ),
    Mutant(
        "checkpoint_in_the_transaction",
        "projections/projector.py",
        "        async with self._conn.transaction():\n",
        "        await checkpoint.advance(self._conn, at, after)\n        at = after\n"
        "        async with self._conn.transaction():\n",
        (PROJECTOR + "test_a_failure_inside_the_transaction_leaves_nothing",),
    ),
    Mutant(
        "settling_before_the_read",
        "processor/send.py",
        "            if age < self._settle_s:\n",
        "            if False:\n",
        (
            SEND + "test_a_send_that_may_still_arrive_is_not_looked_for_before_it_has_settled",
            SEND + "test_an_intent_that_was_lost_with_its_entry_settles_from_its_recovery",
        ),
    ),
    Mutant(
        "settling_of_a_lost_intent",
        "processor/send.py",
        "max(float(intent or 0), float(work.steps.get(SETTLE) or 0))",
        "float(intent or 0)",
        (SEND + "test_an_intent_that_was_lost_with_its_entry_settles_from_its_recovery",),
    ),
    Mutant(
        "last_look_at_the_lease",
        "processor/send.py",
        "        work.still_mine()\n",
        "",
        (SEND + "test_who_slept_past_the_lease_sends_nothing",),
    ),
    Mutant(
        "last_look_at_the_lease_after_the_turn",
        "processor/gate.py",
        "        if work.sending:\n            work.still_mine()\n",
        "",
        (GATE + "test_a_sleeper_does_not_send",),
    ),
    Mutant(
        "heartbeat",
        "processor/engine.py",
        "        if not works:\n            return\n",
        "        return\n",
        (LEASES + "test_work_longer_than_a_lease_keeps_its_lead",),
    ),
    Mutant(
        "takeover_of_the_dead",
        "schema/lua/tick.lua",
        "  for _, id in ipairs(reply[2]) do\n",
        "  for _, id in ipairs({}) do\n",
        (
            PROTOCOL + "test_losing_the_schedule_loses_nothing[model]",
            LEASES + "test_a_dead_owners_lead_is_taken_over_as_soon_as_may_be",
        ),
    ),
    Mutant(
        "word_of_new_work_to_the_idle",
        "processor/engine.py",
        "wake=self._slots.idle",
        "wake=False",
        (LEASES + "test_a_dead_owners_lead_is_taken_over_as_soon_as_may_be",),
    ),
    Mutant(
        "same_delivery_again",
        "schema/lua/append.lua",
        "    local mine = again and ",
        "    local mine = false and ",
        (PROTOCOL + "test_append_whose_reply_was_lost_is_not_repeated[model]",),
    ),
    Mutant(
        "entry_in_ones_own_hands",
        "schema/lua/enter.lua",
        "  if owner_of(webhooks, group, entry_id) ~= instance then return {'gone'} end\n",
        "",
        (PROTOCOL + "test_an_entry_that_is_not_ours_cannot_be_entered[model]",),
    ),
    Mutant(
        "checkpoint_in_the_transaction_not_after_it",
        "projections/projector.py",
        "            await checkpoint.advance(self._conn, at, after)\n"
        '            reached("project.before_commit")\n',
        '        reached("project.before_commit")\n        await checkpoint.advance(self._conn, at, after)\n',
        (PROJECTOR + "test_a_checkpoint_that_cannot_be_written_takes_the_rows_with_it",),
    ),
    Mutant(
        "guard_of_older_facts",
        "projections/webhook_events.py",
        "(x.fence, x.rank) > (w.fence, w.rank)",
        "true",
        (BATCHES + "test_older_facts_never_move_a_row_back[0]",),
    ),
    Mutant(
        "guard_of_older_ends_of_a_lead",
        "projections/trail.py",
        "WHERE excluded.fence > s.fence\n",
        "",
        (BATCHES + "test_older_facts_never_move_a_row_back[0]",),
    ),
    Mutant(
        "guard_of_older_deaths",
        "projections/trail.py",
        " AND w.status = 'failed' AND w.fence = x.fence",
        "",
        (BATCHES + "test_older_facts_never_move_a_row_back[1]",),
    ),
    Mutant(
        "final_check_against_the_record",
        "processor/pipeline.py",
        "if past is not None and past.final:",
        "if False:",
        (ENGINE + "test_an_event_that_postgres_holds_as_final_is_not_worked_on_again[final-1]",),
    ),
    Mutant(
        "attempts_on_record",
        "processor/pipeline.py",
        "work.verify = work.verify or past.attempted",
        "pass",
        (ENGINE + "test_an_attempt_on_record_is_verified_though_redis_forgot_its_steps",),
    ),
    Mutant(
        "order_over_the_two_places_of_a_lead",
        "processor/elsewhere.py",
        "                if _goes_first(",
        "                if False and _goes_first(",
        (PLACES + "test_the_older_webhook_goes_first_whichever_place_it_is_in",),
    ),
    Mutant(
        "a_look_before_the_second_copy_is_sent",
        "processor/elsewhere.py",
        "        work.verify = True\n",
        "",
        (PLACES + "test_a_webhook_that_two_doors_took_at_once_is_sent_once",),
    ),
    Mutant(
        "the_contact_of_the_other_place",
        "processor/elsewhere.py",
        "            work.contact = latest.contact\n",
        "            pass\n",
        (PLACES + "test_the_contact_of_the_last_event_is_known_in_the_other_place",),
    ),
    Mutant(
        "steps_of_an_attempt_that_fails",
        "processor/pipeline.py",
        "            await self._save(work)\n",
        "",
        (SPENT + "test_an_attempt_that_fails_leaves_its_steps",),
    ),
    Mutant(
        "answers_kept_for_the_next_attempt",
        "processor/cache.py",
        "        self._exchange.later(keep(name, token, stored, ttl_s))\n",
        "",
        (SPENT + "test_a_crash_before_the_send_repeats_no_look_up[86400-data]",),
    ),
    Mutant(
        "steps_recorded_at_once_where_answers_are_not_kept",
        "processor/pipeline.py",
        "if not kept or self.settings.profile_cache_secs < KEPT_LONG_S:",
        "if not kept:",
        (SPENT + "test_a_crash_before_the_send_repeats_no_look_up[0-data]",),
    ),
    Mutant(
        "only_the_owner_renews_its_look_up",
        "schema/lua/outside.lua",
        "elseif redis.call('GET', keys[2]) == token then",
        "else",
        (LOCKS + "test_only_the_owner_renews",),
    ),
)
