"""Probes and metrics over HTTP."""

import asyncio
from collections.abc import Callable, Sequence

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from pinecone_token_operator.runtime.listening import listen_everywhere

_METRICS_HEADERS = {"Content-Type": CONTENT_TYPE_LATEST}


async def serve(
    host: str,
    port: int,
    *,
    live: Callable[[], list[str]],
    ready: Callable[[], list[str]],
    metrics: Callable[[Sequence[str]], bytes],
    notes: Callable[[], list[str]] = list,
) -> web.AppRunner:
    """Serve /livez, /readyz and /metrics until the returned runner's `cleanup()`.

    Args:
        host: the address to listen on; empty means all, of IPv4 and IPv6.
        port: the port to listen on; with 0, `runner.addresses` has the one that was chosen.
        live: returns what makes no progress; empty if the process is alive.
        ready: returns what is missing; empty if the process is ready.
        metrics: renders the samples with the given names, or all; called in a thread.
        notes: returns what /readyz should mention although the process is ready.

    Raises:
        OSError: the address cannot be listened on.
    """

    async def livez(_: web.Request) -> web.Response:
        return _reply(live(), [])

    async def readyz(_: web.Request) -> web.Response:
        return _reply(ready(), notes())

    async def metrics_page(request: web.Request) -> web.Response:
        # As in Prometheus' own clients, `?name[]=...` asks for some samples only.
        names = request.query.getall("name[]", [])
        # In a thread, because with many resources it takes a good part of a second.
        body = await asyncio.to_thread(metrics, names)
        return web.Response(body=body, headers=_METRICS_HEADERS)

    application = web.Application()
    application.router.add_get("/livez", livez)
    application.router.add_get("/readyz", readyz)
    application.router.add_get("/metrics", metrics_page)
    # A scraper's idle connection must not delay the exit.
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        if host:
            await web.TCPSite(runner, host, port).start()
        else:
            await web.SockSite(runner, listen_everywhere(port)).start()
    except BaseException:
        await runner.cleanup()
        raise
    return runner


def _reply(problems: list[str], notes: list[str]) -> web.Response:
    lines = problems or ["ok", *notes]
    return web.Response(text="\n".join(lines) + "\n", status=503 if problems else 200)
