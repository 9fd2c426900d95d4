"""An app with WebSocket handlers of many a habit, which note what becomes of them. Knows no server."""

HANDLERS = """
    import asyncio
    import json
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.routing import Mount, WebSocketRoute
    from starlette.websockets import WebSocketDisconnect
    import hotsession
    from leaf import version
    from tell import marks, tell

    async def gate(name):
        while name not in marks:
            await asyncio.sleep(0.005)

    async def talk(socket):
        await socket.accept()
        async for text in socket.iter_text():
            await socket.send_text(f"{text} {version()}")

    async def noting(socket):
        # Notes how it was told to leave, and says goodbye to everybody unless the code was reloaded.
        await socket.accept()
        try:
            while True:
                await socket.send_text(f"{await socket.receive_text()} {version()}")
        except WebSocketDisconnect as left:
            reloaded = left.reason == hotsession.RELOADED
            marks.append(f"{version()} left {left.code} {'reloaded' if reloaded else 'for good'}")

    async def closing(socket):
        # Closes by itself once the client is gone, as much cleanup does.
        await socket.accept()
        try:
            while True:
                await socket.send_text(f"{await socket.receive_text()} {version()}")
        except WebSocketDisconnect:
            try:
                await socket.close(1001, "goodbye")
            except (RuntimeError, WebSocketDisconnect):
                marks.append(f"{version()} had lost its client")
        finally:
            marks.append(f"{version()} cleaned")

    async def answering(socket):
        # An answer in three parts, of which the second waits for a gate.
        await socket.accept()
        try:
            async for text in socket.iter_text():
                await socket.send_text(f"{text} begins {version()}")
                await gate(f"go on with {text}")
                await socket.send_text(f"{text} goes on {version()}")
                await socket.send_text(f"{text} ends {version()}")
        except WebSocketDisconnect:
            marks.append(f"{version()} had lost its client")

    async def stoppable(socket):
        # Streams an answer from a task, and listens for "stop" meanwhile.
        await socket.accept()
        answer = None

        async def stream(text):
            for part in range(1000):
                await socket.send_text(f"{text} {part} {version()}")
                if part == 3:
                    marks.append(f"{text} is under way")
                if f"end {text}" in marks:
                    break
                await asyncio.sleep(0.02)
            await socket.send_text(f"{text} done {version()}")

        try:
            async for text in socket.iter_text():
                if text == "stop" and answer is not None:
                    answer.cancel()
                    await socket.send_text(f"stopped {version()}")
                elif text != "stop":
                    answer = asyncio.create_task(stream(text))
        finally:
            if answer is not None and not answer.done():
                marks.append(f"{version()} was cut")
                answer.cancel()

    async def impatient(socket):
        # Looks for a message every few milliseconds, and does something else in between.
        await socket.accept()
        while True:
            try:
                text = await asyncio.wait_for(socket.receive_text(), 0.003)
            except TimeoutError:
                continue
            except WebSocketDisconnect:
                return
            await socket.send_text(f"{text} {version()}")

    async def racing(socket):
        # Waits for a message or for something else, and cancels what comes too late.
        await socket.accept()
        while True:
            message = asyncio.create_task(socket.receive_text())
            other = asyncio.create_task(asyncio.sleep(0.004))
            await asyncio.wait([message, other], return_when=asyncio.FIRST_COMPLETED)
            other.cancel()
            if not message.done():
                message.cancel()
                await asyncio.wait([message])
                if message.cancelled():
                    continue
            if message.exception():
                return
            await socket.send_text(f"{message.result()} {version()}")

    async def pushing(socket):
        # Only sends.
        await socket.accept()
        number = 0
        try:
            while True:
                number += 1
                await socket.send_text(f"{number} {version()}")
                await asyncio.sleep(0.02)
        except WebSocketDisconnect:
            pass
        finally:
            marks.append(f"{version()} stopped pushing at {number}")

    async def silent(socket):
        # Neither listens nor sends once it has said its version.
        await socket.accept()
        await socket.send_text(version())
        try:
            await asyncio.Event().wait()
        finally:
            marks.append(f"{version()} silenced")

    class Ignoring:
        # Listens on whatever it is told, with the callables themselves.
        def __init__(self, scope, receive, send):
            self.receive, self.send = receive, send

        def __await__(self):
            return self.run().__await__()

        async def run(self):
            await self.receive()
            await self.send({"type": "websocket.accept"})
            while True:
                message = await self.receive()
                if message["type"] == "websocket.receive":
                    await self.send({"type": "websocket.send", "text": f"{message['text']} {version()}"})
                elif f"{version()} ignores {message['code']}" not in marks:
                    marks.append(f"{version()} ignores {message['code']}")

    async def lingering(socket):
        # Takes as long over its cleanup as nobody opens a gate.
        await socket.accept()
        async for text in socket.iter_text():
            await socket.send_text(f"{text} {version()}")
        marks.append(f"{version()} lingers")
        await gate(f"let {version()} go")
        marks.append(f"{version()} is gone")

    async def slow_handshake(socket):
        marks.append(f"{version()} at the door")
        await gate("open the door")
        await socket.accept()
        await socket.send_text(version())
        async for text in socket.iter_text():
            await socket.send_text(f"{text} {version()}")

    async def scoped(socket):
        await socket.accept()
        async for text in socket.iter_text():
            told = socket.scope["hotsession"]
            await socket.send_text(json.dumps({**told, "version": version(), "text": text, "keys": sorted(told)}))

    async def greeting(socket):
        # Greets whoever is new.
        await socket.accept()
        if not socket.scope["hotsession"]["resumed"]:
            await socket.send_text(f"welcome to {version()}")
        async for text in socket.iter_text():
            await socket.send_text(f"{text} {version()}")

    async def pass_on(request, call_next):
        return await call_next(request)

    def route(handler):
        return WebSocketRoute(f"/{handler.__name__}", handler)

    handlers = [talk, noting, closing, answering, stoppable, impatient, racing, pushing, silent, lingering,
                slow_handshake, scoped, greeting]
    app = Starlette(
        routes=[Mount("/tell", tell), WebSocketRoute("/ignoring", Ignoring), *map(route, handlers)],
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=pass_on)],
    )
"""
