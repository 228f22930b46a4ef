"""A run whose provider takes its time: how close real workers come to the ideal.

Run with `python -m tests.benchmarks.provider_bound`: 80 images of 768×1152 from a stand-in that takes 2 s for
each, 8 calls at once, guard and thumbnails on. It prints the wall time as a ratio to the ideal, 80 × 2 / 8 s,
and what was billed as a ratio to what was needed. It asserts nothing.
"""

import asyncio
import base64
import io
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from PIL import Image

N_IMAGES, SECONDS, AT_ONCE = 80, 2.0, 8
SIZE = (768, 1152)


def drawing(number: int, *, size: tuple[int, int] = SIZE) -> bytes:
    """A PNG with flat areas, edges and grain, about as hard to decode as a drawn panel."""
    random = np.random.default_rng(number)
    width, height = size
    pixels = np.full((height, width, 3), 240, np.float32)
    for _ in range(60):
        left, top = random.integers(0, width), random.integers(0, height)
        pixels[top : top + random.integers(20, 400), left : left + random.integers(20, 300)] = (
            random.integers(0, 256)
        )
    pixels += random.normal(0, 3, (height, width, 1))
    buffer = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def serve(ready: Connection) -> None:
    """The stand-in, in a process of its own: reads a request whole, waits, answers with the next drawing."""
    answers = [
        json.dumps({"created": 1, "data": [{"b64_json": base64.b64encode(drawing(n)).decode()}]}).encode()
        for n in range(8)
    ]
    billed = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal billed
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        if head.startswith("get"):
            body = str(billed).encode()
        else:
            length = int(head.partition("content-length:")[2].split("\r\n")[0])
            await reader.readexactly(length)
            billed += 1
            body = answers[billed % len(answers)]
            await asyncio.sleep(SECONDS)
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
            + f"Content-Length: {len(body)}\r\n\r\n".encode()
        )
        writer.write(body)
        await writer.drain()
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0, limit=2**20)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


def main() -> None:
    here, there = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(there,), daemon=True)
    server.start()
    port = here.recv()
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"KROMA_DATA_DIR": folder, "OPENAI_API_KEY": "sk-stand-in"}
        measure(Path(folder), port)
    server.kill()


def measure(folder: Path, port: int) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kroma_site.settings")
    import django  # noqa: PLC0415 - the folder must be known first

    django.setup()
    from kroma_site.prepare import prepare  # noqa: PLC0415
    from pipeline.engine.settings import SettingsLayer  # noqa: PLC0415
    from pipeline.models import Candidate, Run  # noqa: PLC0415
    from pipeline.services.configuration import load  # noqa: PLC0415
    from pipeline.services.planning import InputImage, RunOrder, prepare_run  # noqa: PLC0415
    from pipeline.services.runs import start_run  # noqa: PLC0415
    from pipeline.store import store_for  # noqa: PLC0415
    from projects.access import OPERATOR  # noqa: PLC0415
    from projects.services.accounts import save_account  # noqa: PLC0415
    from projects.services.people import first_owner  # noqa: PLC0415
    from projects.services.projects import create_project  # noqa: PLC0415

    prepare()
    project = create_project(name="Harbour", owner=first_owner(), by=OPERATOR)
    account = {
        "base_url": f"http://127.0.0.1:{port}/v1",
        "max_concurrency": AT_ONCE,
        "config": {"size": f"{SIZE[0]}x{SIZE[1]}", "prices": {"per_image": "0.05"}},
    }
    save_account(project, "openai", changes=account, by=OPERATOR)
    store = store_for(project)
    scenes = []
    for n in range(N_IMAGES):
        store.write(f"scenes/{n:02d}.png", drawing(1000 + n))
        scenes.append(InputImage(path=f"scenes/{n:02d}.png", name=f"{n:02d}.png", label=f"{n:02d}"))
    order = RunOrder(mode="run", scenes=tuple(scenes), batch_limit=N_IMAGES)
    configuration = load(project, request=SettingsLayer(provider_code="openai"))
    plan = prepare_run(project, order, configuration=configuration)
    with (folder / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "manage.py", "worker", "--workers", str(AT_ONCE)], stdout=log, stderr=log
        )
    try:
        time.sleep(5)  # the workers idle before the run begins, as those of a studio do
        start = time.monotonic()
        run = start_run(plan, by=OPERATOR, confirm_spend=True)
        while Run.objects.get(pk=run.pk).is_open:
            time.sleep(0.05)
        wall = time.monotonic() - start
    finally:
        worker.terminate()
        worker.wait()
    done = Candidate.objects.filter(run=run, status="done").count()
    thumbs = len(list((store.root / ".kroma/thumbnails").glob("*.webp")))
    billed = run.attempts.filter(status="stored").count()
    ideal = N_IMAGES * SECONDS / AT_ONCE
    print(f"{done} of {N_IMAGES} images done, {thumbs} thumbnails, in {wall:.1f} s")  # noqa: T201
    print(f"wall ÷ ideal ({ideal:.0f} s): {wall / ideal:.3f}   (a sequential pipeline: {AT_ONCE})")  # noqa: T201
    print(f"billed ÷ needed: {billed / N_IMAGES:.2f}")  # noqa: T201


if __name__ == "__main__":
    main()
