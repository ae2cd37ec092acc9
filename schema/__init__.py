"""The shape of everything stored, and the only code that knows it.

A leaf package: it imports nothing of ours. Events and their encoding, key names and Lua, identity,
the status machine, the SQL migrations, the shapes of webhook bodies and leads, and the error root.
"""
