#!/usr/bin/env python3
"""Opens many event streams, waits for each one's first event, then times another request while they are all open.
usage: event-streams.py URL TOKEN NUMBER; prints: open, seconds until all had their event, events in ten seconds,
P50 and P95 in ms of GET /api/database/dashboard meanwhile."""
import asyncio, sys, time, urllib.parse

url, token, number = urllib.parse.urlsplit(sys.argv[1]), sys.argv[2], int(sys.argv[3])
events = 0


async def ask(path, close):
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    connection = "close" if close else "keep-alive"
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {url.netloc}\r\nAuthorization: Bearer {token}\r\nConnection: {connection}\r\n\r\n".encode())
    await writer.drain()
    return reader, writer


async def stream(ready, gate):
    global events
    try:
        async with gate:
            reader, writer = await ask("/api/database/stream", False)
            while b"event: snapshot" not in await reader.readline():
                pass
        ready.append(writer)
        while line := await reader.readline():
            events += line.startswith(b"event: snapshot")
    except OSError:
        pass


async def main():
    ready, gate, begun = [], asyncio.Semaphore(200), time.monotonic()
    tasks = [asyncio.create_task(stream(ready, gate)) for _ in range(number)]
    while len(ready) < number and time.monotonic() - begun < 120:
        await asyncio.sleep(0.1)
    opened = time.monotonic() - begun
    before, times, until = events, [], time.monotonic() + 10
    while time.monotonic() < until:
        asked = time.monotonic()
        reader, writer = await ask("/api/database/dashboard", True)
        await reader.read()
        writer.close()
        times.append((time.monotonic() - asked) * 1000)
        await asyncio.sleep(0.05)
    times.sort()
    print(f"{len(ready)} {opened:.1f} {events - before} {times[len(times) // 2]:.1f} {times[int(len(times) * 0.95)]:.1f}")
    for task in tasks:
        task.cancel()


asyncio.run(main())
