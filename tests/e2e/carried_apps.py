"""The same app in three ways: a WebSocket that answers numbers, and an event stream that counts. Knows no server."""

STARLETTE = """
    import asyncio
    from starlette.applications import Starlette
    from starlette.responses import StreamingResponse
    from starlette.routing import Mount, Route, WebSocketRoute
    from leaf import version
    from tell import tell

    async def talk(socket):
        offered = socket.scope["subprotocols"]
        await socket.accept(subprotocol=offered[0] if offered else None)
        async for text in socket.iter_text():
            await socket.send_text(f"{text} {version()}")

    async def echo(socket):
        await socket.accept()
        async for data in socket.iter_bytes():
            await socket.send_bytes(data + version().encode())

    async def events(request):
        async def counting(number):
            while True:
                number += 1
                yield f"id: {number}\\ndata: {version()}\\n\\n"
                await asyncio.sleep(0.05)

        last = int(request.headers.get("last-event-id", 0))
        return StreamingResponse(counting(last), media_type="text/event-stream")

    app = Starlette(routes=[
        Mount("/tell", tell), Route("/events", events), WebSocketRoute("/talk", talk), WebSocketRoute("/echo", echo),
    ])
"""

FASTAPI = """
    import asyncio
    from typing import Annotated
    from fastapi import FastAPI, Header, WebSocket, WebSocketDisconnect
    from fastapi.responses import StreamingResponse
    from leaf import version
    from tell import tell

    app = FastAPI()
    app.mount("/tell", tell)

    @app.websocket("/talk")
    async def talk(socket: WebSocket):
        await socket.accept()
        try:
            while True:
                text = await socket.receive_text()
                await socket.send_text(f"{text} {version()}")
        except WebSocketDisconnect:
            pass

    @app.get("/events")
    async def events(last_event_id: Annotated[int, Header()] = 0):
        async def counting(number):
            while True:
                number += 1
                yield f"id: {number}\\ndata: {version()}\\n\\n"
                await asyncio.sleep(0.05)

        return StreamingResponse(counting(last_event_id), media_type="text/event-stream")
"""

BARE = """
    import asyncio
    from leaf import version
    from tell import tell

    async def talk(receive, send):
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": f"{message['text']} {version()}"})
        await send({"type": "websocket.close", "code": 1000})  # it has been closed

    async def events(scope, send):
        number = int(dict(scope["headers"]).get(b"last-event-id", 0))
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        while True:
            number += 1
            body = f"id: {number}\\ndata: {version()}\\n\\n".encode()
            await send({"type": "http.response.body", "body": body, "more_body": True})
            await asyncio.sleep(0.05)

    async def app(scope, receive, send):
        if scope["type"] == "websocket":
            await talk(receive, send)
        elif scope["type"] == "http":
            await (events(scope, send) if scope["path"] == "/events" else tell(scope, receive, send))
        else:
            raise RuntimeError("this app has no lifespan")
"""

APPS = {"Starlette": STARLETTE, "FastAPI": FASTAPI, "bare": BARE}
