"""A universe whose images come from a stand-in that bills, worked on by real processes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bank import Bank
from tests.machine import PATIENCE, Machine, Running

PRICE = 0.05  # USD an image
SLUG = "harbour"


class Studio:
    """A universe whose images come from the bank."""

    def __init__(self, machine: Machine, bank: Bank) -> None:
        self.machine = machine
        self.bank = bank
        machine.environ["OPENAI_API_KEY"] = "sk-stand-in"

    def furnish(self, n_scenes: int, **limits: str) -> Path:
        """Scenes and an account; the universe is made by a dry run."""
        scenes = self.machine.scenes(n_scenes)
        self.command("pipeline", "dry", "--project", SLUG, "--input", str(scenes), "--batch-limit", "1000")
        options = [part for name, value in limits.items() for part in (f"--{name.replace('_', '-')}", value)]
        config = {"timeout": 2, "prices": {"per_image": str(PRICE)}}
        self.command(
            "account", "--project", SLUG, "--provider", "openai", "--base-url", self.bank.url + "/v1",
            "--config", json.dumps(config), *options,
        )  # fmt: skip
        settings = self.machine.data / "config/pipeline.settings.json"
        settings.parent.mkdir(exist_ok=True)
        settings.write_text(json.dumps({"provider_code": "openai"}))
        return scenes

    def command(self, *arguments: str) -> str:
        done = self.machine.run(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start_run(self, scenes: Path, *, workers: int = 2) -> Running:
        return self.machine.start(
            "pipeline", "run", "--project", SLUG, "--input", str(scenes), "--batch-limit", "1000",
            "--workers", str(workers), "--confirm-spend", "--json",
        )  # fmt: skip

    def worker(self) -> Running:
        return self.machine.start("worker", "--workers", "2", name="worker")

    def one(self, query: str) -> Any:
        rows = self.machine.rows(query)
        return rows[0][0] if rows else None

    def n(self, status: str) -> int:
        return self.states().get(status, 0)

    def states(self) -> dict[str, int]:
        paid = "SELECT id FROM pipeline_run WHERE run_mode = 'run'"
        query = f"SELECT status, count(*) FROM pipeline_candidate WHERE run_id IN ({paid}) GROUP BY status"
        return dict(self.machine.rows(query))

    def money(self) -> tuple[float, float]:
        """What was booked, and what is still held back, in USD."""
        booked = self.one("SELECT coalesce(sum(total_cost_usd), 0) FROM pipeline_costevent")
        held = self.one(
            "SELECT (SELECT coalesce(sum(reserved_usd), 0) FROM pipeline_candidate) + (SELECT "
            "coalesce(sum(reserved_usd), 0) FROM pipeline_attempt WHERE status IN ('open', 'in_doubt'))"
        )
        return round(booked, 6), round(held, 6)

    def left(self) -> int:
        """How many candidates can still come to something by themselves."""
        return sum(self.n(status) for status in ("planned", "running", "generated"))

    def why(self, workers: list[Running]) -> Callable[[], str]:
        return lambda: f"{self.states()} {self.status()} {workers[-1].said[-2000:]}"

    def status(self) -> str:
        return str(self.one("SELECT status FROM pipeline_run WHERE run_mode = 'run'"))

    def decide_all(self, word: str) -> int:
        calls = json.loads(self.command("doubt", "list", "--json"))["calls"]
        for call in calls:
            self.command("doubt", word, call["id"])
        return len(calls)


def finish(running: Running) -> tuple[int, dict[str, Any]]:
    code = running.process.wait(timeout=2 * PATIENCE)
    text = running.said
    start = text.find("\n{")
    document = (
        text[start + 1 : text.rfind("}") + 1] if start >= 0 else text[text.find("{") : text.rfind("}") + 1]
    )
    return code, json.loads(document)
