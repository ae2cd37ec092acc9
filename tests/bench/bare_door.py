"""The door's floor, ``python -m bench.bare_door PORT``: a handler that reads the body and answers 200.

On the same event loop as the door, without an access log and without decompressing, as the door is.
"""

import sys

import uvloop
from aiohttp import web


async def take(request: web.Request) -> web.Response:
    await request.read()
    return web.json_response({"status": "accepted"})


if __name__ == "__main__":
    app = web.Application()
    app.router.add_post("/{tail:.*}", take)
    web.run_app(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        print=None,
        access_log=None,
        auto_decompress=False,
        loop=uvloop.new_event_loop(),
    )
