"""Two hundred reloads of the chat: how memory grows, and whether an old generation is alive that has no work.

    python -m tests.benchmarks.bench_memory [--quick] [--markdown] [--reloads 200] [--only hotsession]

After each reload one message is chatted over a WebSocket in the same session, so services are built in each generation.
The app's `/alive` endpoint collects garbage, then tells the resident memory of the process and how many of each watched
function and class are alive, seen through weak references: one of each, when old generations are gone.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from time import perf_counter, sleep

from websockets.sync.client import connect

from tests.benchmarks.client import Client, ask_patiently, wait_for_answer
from tests.benchmarks.contenders import CONTENDERS, Server, available, start_all
from tests.benchmarks.figures import Table, Target, number, parser, show
from tests.benchmarks.projects import BUILDERS

OURS = "hotsession"
WARM = 20
MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Alive:
    """What the app told about itself at one moment.

    Args:
        reload: After how many reloads.
        rss: Resident memory in bytes.
        old: How many functions and classes of old generations are alive.
        worst: The name of which most are alive.
    """

    reload: int
    rss: int
    old: int
    worst: str


def ask(client: Client, reload: int) -> Alive:
    """Ask the app once; several answers may be needed until a drained generation is gone."""
    text = ask_patiently(client, "/alive")
    told = json.loads(text)
    alive: dict[str, int] = told["alive"]
    worst = max(alive, key=lambda name: alive[name])
    return Alive(reload, told["rss"], sum(max(0, count - 1) for count in alive.values()), worst)


def settle(client: Client, reload: int, limit: float = 3.0) -> Alive:
    """Ask until no old generation is alive, or the time is up."""
    end = perf_counter() + limit
    found = ask(client, reload)
    while found.old and perf_counter() < end:
        sleep(0.05)
        found = ask(client, reload)
    return found


class Talker:
    """A browser that chats: it keeps its cookie and says one thing over each of its connections."""

    def __init__(self, port: int) -> None:
        self._port = port
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/api/chat")
        answer = connection.getresponse()
        answer.read()
        connection.close()
        self._cookie = (answer.headers["set-cookie"] or "").partition(";")[0]

    def say(self, text: str) -> str:
        """Say something over a connection of its own and return what came back."""
        headers = {"Cookie": self._cookie} if self._cookie else None
        said = json.dumps({"id": text, "text": text, "api_key": "demo-thrifty"})
        with connect(f"ws://127.0.0.1:{self._port}/api/talk", additional_headers=headers) as websocket:
            websocket.send(said)
            answer = str(websocket.recv(timeout=10))
            while '"hello"' in answer:
                answer = str(websocket.recv(timeout=10))
        return answer


def run(server: Server, reloads: int, every: int) -> list[Alive]:
    """Reload again and again, and look every so many reloads."""
    name = server.contender.name
    with closing(Client(server.port)) as client:
        talker = Talker(server.port)
        talker.say("A trip to Lisbon")
        found = [settle(client, 0)]
        for turn in range(1, reloads + 1):
            server.save(f"m{turn}")
            if wait_for_answer(client, "/marker", f"m{turn}", limit=10, interval=0.002) is None:
                raise RuntimeError(f"{name} never answered with save {turn}:\n{server.log()[-2000:]}")
            sleep(0.05 if name == OURS else 0.3)  # others refuse connections for a while
            if "message" not in (answer := talker.say(f"Day {turn} in Lisbon")):
                raise RuntimeError(f"{name} did not answer the chat after save {turn}: {answer}")
            if turn % every == 0 or turn == min(WARM, reloads):
                found.append(settle(client, turn))
    print(f"{name}: {' '.join(f'{point.reload}:{point.rss / MEGABYTE:.1f}' for point in found)}", flush=True)
    return found


def growth(found: Sequence[Alive], since: int) -> float:
    """The growth of memory in percent, from the first look at or after a reload to the last."""
    early = next((point for point in found if point.reload >= since), found[0])
    return (found[-1].rss / early.rss - 1) * 100


def table(results: dict[str, list[Alive]]) -> Table:
    """One row for each contender."""
    rows = [
        [
            name,
            str(found[-1].reload),
            *[number(found[place].rss / MEGABYTE) for place in (0, -1)],
            f"{growth(found, WARM):+.1f} %",
            f"{growth(found, 0):+.1f} %",
            str(found[-1].old),
            f"{max(point.old for point in found)} ({max(found, key=lambda point: point.old).worst})",
        ]
        for name, found in results.items()
    ]
    grown = f"from reload {WARM}"
    return Table(
        ["memory", "reloads", "start, MB", "end, MB", grown, "from start", "old alive", "most at any look"], rows
    )


def main() -> None:
    """Measure what the command line asks for and print it."""
    options = parser(__doc__)
    options.add_argument("--reloads", type=int, default=200, metavar="N", help="saves (default 200)")
    chosen = options.parse_args()
    # uvicorn starts a new process at each save: there is nothing that could grow.
    names = chosen.only or [name for name in CONTENDERS if name != "uvicorn"]
    reloads = 10 if chosen.quick else chosen.reloads
    results = {}
    for contender in available(names):
        with ExitStack() as stack:
            for server in start_all(stack, [contender], BUILDERS["chat"]):
                results[contender.name] = run(server, reloads, every=10)
    ours = results.get(OURS)
    made = [
        Target(
            f"memory after {reloads} reloads: growth since reload {WARM}", 10, growth(ours, WARM) if ours else None, "%"
        ),
        Target(f"memory after {reloads} reloads: growth since the start", 10, growth(ours, 0) if ours else None, "%"),
        Target(
            "functions and classes of old generations alive", 0, float(max(p.old for p in ours)) if ours else None, ""
        ),
    ]
    show([table(results)], made, markdown=chosen.markdown)


if __name__ == "__main__":
    main()
