"""The app: a page, a form's worth of API, and the routes of hotsession that tell the page how the jobs are doing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, Field
from starlette.requests import HTTPConnection

import hotsession

from .rendering import shown
from .service import DIRECTORY, begin_waiting, jobs, submit

PAGE = Path(__file__).parent / "page"


class Wish(BaseModel):
    """What somebody wants to see."""

    prompt: str = Field(min_length=1, max_length=200, pattern=r"\S")
    key: str | None = Field(default=None, min_length=1, max_length=100)


def may(connection: HTTPConnection, action: str) -> bool:
    """Everybody may look, and end a job; a job is begun by the form, and none is paused."""
    return action in ("list", "get", "events", "metrics", "end")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Look after the jobs as soon as the app is there, and not when somebody first asks for one."""
    await begin_waiting()
    yield


app = FastAPI(title="Render jobs", lifespan=lifespan)
app.include_router(hotsession.session_routes(jobs, may), prefix="/api/sessions")
app.include_router(hotsession.session_routes(jobs, may), prefix="/api/session", include_in_schema=False)
app.mount("/page", StaticFiles(directory=PAGE))


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    """The page."""
    return FileResponse(PAGE / "index.html", headers={"cache-control": "no-cache"})


@app.post("/api/jobs", status_code=201)
async def begin(wish: Wish) -> dict[str, Any]:
    """Begin to render; the answer comes at once, and the job is on disk by then."""
    job = await submit(wish.prompt.strip(), wish.key)
    return {"id": job.id, "status": job.status, "reused": job.reused}


@app.get("/api/jobs/{id}/picture", response_class=FileResponse)
async def picture(id: str) -> FileResponse:
    """The picture of a job; its sketch, while it is being rendered."""
    try:
        job = await jobs.get(id)
    except hotsession.SessionNotFound as error:
        raise HTTPException(404, str(error)) from error
    path = shown(DIRECTORY / job.id)
    if path is None:
        raise HTTPException(404, f"There is nothing to see of job {id} yet.")
    return FileResponse(path, headers={"cache-control": "no-cache"})
