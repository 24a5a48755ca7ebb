"""Refuses bodies that are larger than any request can be, before they fill the memory."""

from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class BodyLimit:
    """Takes a request's body in, and passes the request on if it is small enough.

    Args:
        app: What answers.
        limit: How large a body may be, in bytes.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 413, or pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        taken: list[Message] = []
        size = 0
        while not taken or taken[-1].get("more_body"):
            message = await receive()
            size += len(message.get("body", b""))
            if size > self._limit:
                problem = {"detail": f"The body is larger than {self._limit} bytes."}
                await JSONResponse(problem, 413, {"Connection": "close"})(scope, receive, send)
                return
            taken.append(message)
        taken.reverse()

        async def receive_again() -> Message:
            return taken.pop() if taken else await receive()

        await self._app(scope, receive_again, send)
