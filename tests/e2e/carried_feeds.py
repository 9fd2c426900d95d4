"""An app with event streams and other long answers, which note what becomes of them. Knows no server."""

FEEDS = """
    import asyncio
    import zlib
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.responses import JSONResponse, StreamingResponse
    from starlette.routing import Mount, Route
    import hotsession
    from leaf import version
    from tell import marks, tell

    new = version() != "0.0"

    async def gate(name):
        while name not in marks:
            await asyncio.sleep(0.005)

    def stream(events, **headers):
        return StreamingResponse(events, media_type="text/event-stream", headers=headers)

    async def counted(request):
        # Numbers from the last one on.
        number = int(request.headers.get("last-event-id", 0))
        while True:
            number += 1
            yield f"id: {number}\\ndata: {number} {version()}\\n\\n"
            await asyncio.sleep(0.02)

    async def count(request):
        return stream(counted(request), **{"x-made-by": version()})

    async def clean(request):
        async def noting():
            try:
                async for event in counted(request):
                    yield event
            finally:
                marks.append(f"{version()} cleaned")
        return stream(noting())

    async def silent(request):
        # One event, and then nothing but the wait for another.
        async def once():
            yield f"id: {version()}\\ndata: {request.headers.get('last-event-id')} {version()}\\n\\n"
            await asyncio.Event().wait()
        return stream(once())

    def in_thread(request):
        import time
        def each():
            number = int(request.headers.get("last-event-id", 0))
            while True:
                number += 1
                yield f"id: {number}\\ndata: {number} {version()}\\n\\n"
                time.sleep(0.02)
        return stream(each())

    async def asking(request):
        # What the handler sees of the request.
        async def each():
            told = [version(), request.method, str(request.url.query), request.headers.get("x-word"),
                    request.cookies.get("biscuit"), request.headers.getlist("last-event-id")]
            state = request.scope["hotsession"]
            yield f"id: at {version()}\\ndata: {told}\\ndata: {state['resumed']} {state['generation']}\\n"
            yield f"data: {state['connection']}\\n\\n"
            await asyncio.Event().wait()
        return stream(each())

    async def shaped(request):
        # The same events in every form that the specification allows, in parts of a few bytes.
        end = {"lf": "\\n", "crlf": "\\r\\n", "cr": "\\r"}[request.query_params["end"]]
        size = int(request.query_params["size"])
        async def each():
            number = int(request.headers.get("last-event-id", 0))
            while True:
                number += 1
                lines = [":ping", "", "retry: 100", f"id:{number}" if number % 2 else f"id: {number}", "event: message",
                         f"data: {number}", "data", f"data:{version()}", ": another ping", "ignored: field", "", ""]
                text = end.join(lines)
                for start in range(0, len(text), size):
                    yield text[start:start + size]
                    await asyncio.sleep(0)
                await asyncio.sleep(0.02)
        return stream(each())

    async def bare(request):
        async def each():
            while True:
                yield f"data: {version()}\\n\\n"
                await asyncio.sleep(0.02)
        return stream(each())

    async def zipped(request):
        # Compressed by the app; Starlette's middleware leaves event streams alone.
        async def each():
            packer = zlib.compressobj(wbits=31)
            async for event in counted(request):
                yield packer.compress(event.encode()) + packer.flush(zlib.Z_SYNC_FLUSH)
        return stream(each(), **{"content-encoding": "gzip"})

    async def endings(request):
        # Code that changes its mind.
        kind = request.path_params["kind"]
        if new and kind == "missing":
            return JSONResponse({}, 404)
        if new and kind == "json":
            return JSONResponse({"not": "a stream"})
        if new and kind == "fails":
            raise RuntimeError("not today")
        if new and kind == "empty":
            return stream(iter(()), **{"x-made-by": "new"})
        if new and kind == "no content":
            return StreamingResponse(iter(()), 204)
        return stream(counted(request))

    async def fails_later(request):
        async def each():
            async for event in counted(request):
                yield event
                if new:
                    raise RuntimeError("not any more")
        return stream(each())

    async def finite(request):
        # Ends when new code serves it.
        async def each():
            async for event in counted(request):
                yield event
                if new:
                    return
        return stream(each())

    async def half(request):
        # An event in two parts, with a gate between them; a third follows at once, and the beginning of a fourth.
        async def each():
            number = int(request.headers.get("last-event-id", 0)) + 1
            yield f"id: {number}\\ndata: first {version()}\\n\\n"
            yield f"id: {number + 1}\\ndata: second "
            marks.append("in the middle")
            await gate("complete it")
            yield f"{version()}\\n\\nid: {number + 2}\\ndata: third {version()}\\n\\nid: {number + 3}\\ndata: to"
            await asyncio.Event().wait()
        return stream(each())

    async def out(request):
        hotsession.close_on_reload(request)
        return stream(counted(request))

    async def answer(request):
        # The answer of a model: streams until it is done.
        marks.append(f"{request.url.path} asked at {version()}")
        async def each():
            yield f"data: begins {version()}\\n\\n"
            await gate("go on")
            yield f"data: ends {version()}\\n\\n"
        return stream(each())

    async def answer_with_ids(request):
        marks.append(f"{request.url.path} asked at {version()}")
        async def each():
            yield f"id: 1\\ndata: begins {version()}\\n\\n"
            await gate("go on")
            yield f"id: 2\\ndata: ends {version()}\\n\\n"
        return stream(each())

    async def download(request):
        marks.append(f"{request.url.path} asked at {version()}")
        async def each():
            yield b"0" * 100000
            await gate("go on")
            yield version().encode()
        return StreamingResponse(each(), media_type="application/octet-stream", headers={"content-length": "100003"})

    async def poll(request):
        marks.append(f"{request.url.path} asked at {version()}")
        await gate("go on")
        return JSONResponse({"version": version()})

    async def pass_on(request, call_next):
        return await call_next(request)

    routes = [Route(f"/{each.__name__}", each) for each in (
        count, clean, silent, in_thread, asking, shaped, bare, zipped, fails_later, finite,
        half, out, answer, download, poll,
    )]
    routes += [Route("/endings/{kind}", endings), Route("/post", answer_with_ids, methods=["POST"])]
    if not new:
        routes.append(Route("/gone", count))
    app = Starlette(routes=[
        Mount("/tell", tell),
        Mount("/around", Starlette(routes=routes, middleware=[Middleware(BaseHTTPMiddleware, dispatch=pass_on)])),
        *routes,
    ])
"""
