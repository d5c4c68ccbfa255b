"""A proxy before an HTTP server of this machine, which can stop to answer, or answer nothing but 503."""

import asyncio
import contextlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

Mode = Literal["passes", "refuses", "hangs"]
HOST = "127.0.0.1"
REFUSAL = b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
REQUEST = re.compile(rb"([A-Z]+) (\S+) HTTP/1.1\r\n")


class Proxy:
    """Passes connections on to a port; those that are open are cut when the mode changes."""

    def __init__(self, to_port: int, host: str) -> None:
        self.host, self.port, self.n_refused = host, 0, 0
        self.asked: list[tuple[str, str]] = []
        "method and path of what was passed on"
        self._to_port, self._mode = to_port, "passes"
        self._open: set[asyncio.StreamWriter] = set()
        self._loop, self._ready, self._ended = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)

    def set(self, mode: Mode) -> None:
        self._mode = mode
        self._loop.call_soon_threadsafe(self._cut)

    def start(self) -> None:
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()
        self._loop.close()

    def _cut(self) -> None:
        for writer in self._open:
            writer.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connect, self.host, 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._ended.wait()
        server.close()
        self._cut()
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            if self._mode == "passes":
                there, back = await asyncio.open_connection(HOST, self._to_port)
                await asyncio.gather(self._copy(reader, back), self._copy(there, writer))
            else:
                await self._refuse(reader, writer)
        self._open.discard(writer)
        writer.close()

    async def _refuse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.n_refused += 1
        if self._mode == "hangs":
            await reader.read()  # until the client has waited enough
        else:
            writer.write(REFUSAL)
            await writer.drain()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                if request := REQUEST.match(data):
                    self.asked.append((request[1].decode(), request[2].decode()))
                writer.write(data)
                await writer.drain()
        writer.close()


@contextmanager
def proxy(to_port: int, host: str = HOST) -> Iterator[Proxy]:
    """A proxy at an address of this machine, while the block runs."""
    one = Proxy(to_port, host)
    one.start()
    try:
        yield one
    finally:
        one.stop()
