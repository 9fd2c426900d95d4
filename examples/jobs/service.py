"""The jobs: how one is begun, what is done, and what becomes of those whose server died."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Any

import hotsession

from .rendering import CAPTION, PICTURE, SKETCH, Rendering
from .scenes import STRIPS

DIRECTORY = Path(os.environ.get("JOBS_DIR") or Path(__file__).parent / ".data")
PACE = float(os.environ.get("JOBS_PACE") or 0.2)  # seconds of rest after each strip: a small machine renders for many

# which files mean what, should a state file be missing or say something else
ARTEFACTS = hotsession.Artefacts(complete=[PICTURE, CAPTION], begun=SKETCH, stuck_after=30 * 60)

jobs = hotsession.sessions(
    "jobs", storage=hotsession.storage("jobs", lambda: hotsession.FileStorage(DIRECTORY, artefacts=ARTEFACTS))
)


async def submit(prompt: str, key: str | None = None) -> hotsession.Session:
    """Begin to render a prompt, and return the job.

    Args:
        prompt: what to render.
        key: names the wish, so that who sends it twice gets one job.
    """
    job = await jobs.get_or_create(key, data={"prompt": prompt, "progress": 0})
    if not job.reused:
        await jobs.run(job, render)
    return job


async def render(job: hotsession.Session) -> dict[str, Any]:
    """Render the picture of a job, going on where an earlier attempt was killed; what it returns is its result."""
    rendering = Rendering(DIRECTORY / job.id, job.data["prompt"])
    done = await asyncio.to_thread(rendering.sketch)
    job.data["resumed_at"] = round(100 * done / STRIPS)
    for number in range(done, STRIPS):
        job.data["progress"] = round(100 * number / STRIPS)
        try:
            await jobs.save(job)  # on disk before anybody hears of it
        except hotsession.InvalidTransition:
            return {}  # it was cancelled
        await asyncio.to_thread(rendering.strip, number)
        await asyncio.sleep(PACE)
    await asyncio.to_thread(rendering.finish)
    job.data["progress"] = 100
    return {"picture": PICTURE}


@jobs.on_interrupt
async def run_again(job: hotsession.Session) -> None:
    """Go on with a job whose server died."""
    await jobs.run(job, render)


async def begin_waiting() -> None:
    """Begin the jobs that were submitted and never begun, because the server died just then."""
    for job in await jobs.list("active"):
        if job.version == 1 and "prompt" in job.data:
            with contextlib.suppress(hotsession.InvalidTransition):  # another process has begun it
                await jobs.run(job, render)
