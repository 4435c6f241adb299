"""The floor: `python echo.py SOCKET FILE` answers each line with the bytes of a file and does no more."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path


async def serve(path: str, answer: bytes) -> None:
    """Serve until killed."""

    async def answer_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline():
            writer.write(answer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(answer_all, path)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], Path(sys.argv[2]).read_bytes()))
