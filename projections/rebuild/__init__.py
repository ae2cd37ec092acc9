"""Rebuild: every read model anew from the archive, compared with the live tables, and swapped in.

One transaction from beginning to end, so that a rebuild that fails, or only checks, leaves nothing behind:

1. New tables in the schema `rebuild`, which is then the only one on the search path: the read models' own SQL
   fills them and could not reach a live table by mistake.
2. Rows that may depend on facts which retention took from the archive are copied over and counted.
3. The archive is read in the order of the streams and applied by the very functions the projector uses. What
   the streams still hold of it is looked up there: an entry behind the checkpoint that the archive lacks is a
   difference too, and is applied (and archived) with the rest. What lies beyond the checkpoint is the
   projector's next business, before and after a swap.
4. `--check` works on one snapshot (REPEATABLE READ): rows, archive and checkpoint are written together, so
   the archive of that snapshot says exactly what its rows must be. It compares and rolls back.
5. A swap runs beside the projector: passes over what was archived meanwhile, until little is left. Then it
   locks `event_log` against writing; the projector, whose every batch writes there first, waits at its first
   statement and holds nothing. The last entries are applied, the tables compared and exchanged, and the
   transaction ends. The projector goes on from its checkpoint, on the new tables.

Nothing here can call the outside world: see `projections.rebuild.confine`.
"""
