"""lmms-eval's command line on made records."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from oryx.evaluation.lmms import MODEL_ID, TASKS

EXAMPLES = Path(__file__).parents[2] / "examples"


@dataclass
class Made:
    """One benchmark with made records."""

    task: str
    expected: dict[str, float]
    """Metric of lmms-eval ("name,filter") -> its value, by hand."""
    answers: list[str] = field(default_factory=list)
    """What the model says to each record."""
    subtask: str = ""
    """Of a group: the task whose samples are looked at."""

    @property
    def samples_of(self) -> str:
        return self.subtask or self.task


@dataclass
class Run:
    """What one command left."""

    output: Path
    code: int
    log: str
    prompts: list[dict[str, Any]]

    @property
    def results(self) -> dict[str, dict[str, Any]]:
        """Task -> metric -> value."""
        (file,) = self.output.rglob("[0-9]*_results.json")
        return json.loads(file.read_text())["results"]

    def samples(self, task: str) -> list[dict[str, Any]]:
        """What was logged of each record, in order."""
        (file,) = self.output.rglob(f"*_samples_{task}.jsonl")
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        return sorted(rows, key=lambda row: row["doc_id"])

    def table(self) -> dict[str, dict[str, Any]]:
        """All values of all tasks."""
        keys = ("alias", "samples")
        return {
            task: {key: value for key, value in values.items() if key not in keys}
            for task, values in self.results.items()
        }

    def prompts_of(self, task: str) -> list[str]:
        rows = sorted((row for row in self.prompts if row["task"] == task), key=lambda row: row["doc_id"])
        return [row["prompt"] for row in rows]


class Harness:
    """Runs the command with a home of its own and without a network."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = root / "hf"
        self.home.mkdir()
        self.hub = root / "hub"
        """Stands for the hub: commands run in it, and `datasets` takes folders `owner/name` for data sets."""
        self.hub.mkdir()
        self._count = 0

    def command(self, tasks: str, model_args: str, *options: str) -> list[str]:
        chosen = ("--model", MODEL_ID, "--tasks", tasks, "--log_samples") if tasks else ()
        return [
            *(str(Path(sys.executable).with_name("lmms-eval")), *chosen),
            *("--model_args", model_args, "--include_path", str(TASKS), *options),
        ]

    def environment(self, judge: str = "", **more: str) -> dict[str, str]:
        own = {
            "HF_HOME": str(self.home),
            "HF_HUB_OFFLINE": "1",
            "HF_DATASETS_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
            "OPENAI_API_URL": judge or "http://127.0.0.1:9/v1/chat/completions",
            "OPENAI_API_KEY": "key",
            "MODEL_VERSION": "judge",
            "COLUMNS": "200",
        }
        return {**os.environ, **own, **more}

    def folder(self) -> Path:
        """A new folder for what a command leaves."""
        self._count += 1
        return self.root / f"run{self._count}"

    def run(
        self,
        tasks: str,
        model_args: str,
        *options: str,
        judge: str = "",
        launcher: tuple[str, ...] = (),
        fails: bool = False,
        **environment: str,
    ) -> Run:
        """Run the command to its end; it must succeed unless it `fails`.

        Args:
            tasks: their ids; none where a config says which.
        """
        output = self.folder()
        prompts = output.with_suffix(".prompts.jsonl")
        command = self.command(tasks, f"{model_args},log_prompts={prompts}", "--output_path", str(output))
        if launcher:
            command = [*launcher, "-m", "lmms_eval", *command[1:]]
        command += options
        done = subprocess.run(
            command,
            env=self.environment(judge, **environment),
            cwd=self.hub,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
        )
        run = Run(output, done.returncode, done.stdout, _read(prompts))
        if not fails:
            assert done.returncode == 0, done.stdout[-6000:]
            assert list(output.rglob("[0-9]*_results.json")), done.stdout[-6000:]
        return run


def names(made: list[Made]) -> str:
    """For `--tasks`."""
    return ",".join(one.task for one in made)


def _read(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
