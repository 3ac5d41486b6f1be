"""Results with all that is needed to get them again, as JSON and as Markdown."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from PIL import Image

from oryx import __version__
from oryx.checkpoints.files import list_shards
from oryx.data.synthetic.fonts import choose_fonts
from oryx.errors import ConfigError
from oryx.evaluation.skills import FIRST_TEST_SEED, SkillResult
from oryx.files import check_folder, check_writable, write_whole

FILES = RESULTS_JSON, RESULTS_TABLE = "skills.json", "skills.md"
_PACKAGES = ("torch", "transformers", "pillow", "av", "numpy")


@dataclass(frozen=True)
class SkillReport:
    """One run of the skill suite: the model, the settings, the machine, the results."""

    model: str
    model_sha256: str
    """Of the bytes of all its safetensors files, in the order of their names."""
    num_parameters: int
    parameters: dict[str, int]
    """By part of the model."""
    dtype: str
    device: str
    samples: int
    seed: int
    fonts: dict[str, list[str]]
    """Families found for "train" and "test": the word tests draw from these."""
    command: str
    versions: dict[str, str]
    results: list[SkillResult]

    def to_dict(self) -> dict[str, Any]:
        """What the JSON file holds."""
        return {"task": "skills", **asdict(self)}


def make_report(
    name: str,
    folder: Path,
    model: Any,
    results: Sequence[SkillResult],
    command: str,
    font_folders: Sequence[str] = (),
) -> SkillReport:
    """The report of results just measured.

    Args:
        name: the model's name, as the user gave it.
        folder: where its weights lie.
        model: the loaded model.
        results: of `evaluate_skills`; at least one.
        command: a command line that measures this again; see `skills_command`.
        font_folders: as given to `evaluate_skills`.
    """
    parts = {part: sum(p.numel() for p in child.parameters()) for part, child in model.named_children()}
    return SkillReport(
        **model_facts(name, folder, model),
        parameters=parts,
        samples=results[0].num_samples,
        seed=results[0].seed,
        fonts={split: _families(split, font_folders) for split in ("train", "test")},
        command=command,
        versions=installed_versions(),
        results=list(results),
    )


def model_facts(name: str, folder: Path, model: Any) -> dict[str, Any]:
    """What every report says of a loaded model whose weights lie in `folder`."""
    return {
        "model": name,
        "model_sha256": hash_weights(folder),
        "num_parameters": sum(parameter.numel() for parameter in model.parameters()),
        "dtype": str(model.dtype).removeprefix("torch."),
        "device": str(model.device),
    }


def hash_weights(folder: Path) -> str:
    """SHA-256 of a checkpoint's safetensors files. Raises `CheckpointError` where there are none."""
    digest = hashlib.sha256()
    for shard in list_shards(folder):
        with shard.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def installed_versions() -> dict[str, str]:
    """Versions of this package, of Python and of what the answers may depend on."""
    versions = {"oryx": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:  # an unpacked source tree has no metadata
            versions[package] = "unknown"
    return versions


def skills_command(
    model: str,
    samples: int,
    seed: int,
    tests: Sequence[str] = (),
    compressions: Sequence[int] = (),
    max_pixels: Sequence[int] = (),
    sweep: bool = False,
    detail: str | None = None,
    font_folders: Sequence[str] = (),
    pictures: str | None = None,
) -> str:
    """The command line that measures the same again."""
    words = ["oryx", "eval", "skills", "--model", model, "--samples", str(samples)]
    if seed != FIRST_TEST_SEED:
        words += ["--seed", str(seed)]
    repeated: list[tuple[str, Sequence[Any]]] = [
        ("--test", tests),
        ("--compression", compressions),
        ("--max-pixels", max_pixels),
        ("--detail", [] if detail is None else [detail]),
        ("--font-folder", font_folders),
        ("--pictures", [] if pictures is None else [pictures]),
    ]
    for option, values in repeated:
        for value in values:
            words += [option, str(value)]
    return shlex.join([*words, "--sweep"] if sweep else words)


def command_line(task: str, given: Mapping[str, Any]) -> str:
    """`oryx eval TASK` with these options; those that are None are left out."""
    words = ["oryx", "eval", task]
    for option, value in given.items():
        if value is not None:
            words += [option, str(value)]
    return shlex.join(words)


def results_table(results: Sequence[SkillResult]) -> str:
    """A Markdown table with one line per result; shares in percent."""
    lines = [
        "| test | compression | max pixels | right | 95% interval | token F1 | n | visual tokens |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        low, high = result.interval
        dial = "default" if result.compression is None else f"{result.compression}x"
        pixels = "-" if result.max_pixels is None else str(result.max_pixels)
        lines.append(
            f"| {result.test} | {dial} | {pixels} | {result.accuracy:.1%} | {low:.1%} to {high:.1%} "
            f"| {result.token_f1:.1%} | {result.num_samples} | {result.visual_tokens:.1f} |"
        )
    return "\n".join(lines) + "\n"


def report_page(report: SkillReport) -> str:
    """The Markdown page of a report: how it was measured, the table, some wrong answers."""
    versions = ", ".join(f"{package} {number}" for package, number in report.versions.items())
    lines = [
        f"# Skills of {report.model}",
        "",
        f"- command: `{report.command}`",
        f"- weights: SHA-256 `{report.model_sha256}`, {report.num_parameters:,} parameters",
        f"- {report.dtype} on {report.device}, seed {report.seed}, greedy, scored as each test says",
        f"- fonts never trained on: {', '.join(report.fonts['test']) or 'none installed'}",
        f"- {versions}",
        "",
        results_table(report.results),
        "## Some wrong answers",
        "",
    ]
    wrong = [
        f"- {result.test}: {item.question} {item.expected!r}, not {item.answer!r}"
        for result in report.results
        for item in result.wrong
    ]
    return "\n".join([*lines, *(wrong or ["None."])]) + "\n"


def check_output(folder: Path, names: Sequence[str], *models_sha256: str) -> None:
    """Refuses a folder whose results are other models', so that they are not lost.

    Args:
        names: the files to be written; the first is JSON that holds `model_sha256`, or `models`, each with
            its own.
        models_sha256: of the models that are measured, in their order.

    Raises:
        ConfigError: such a folder, one whose results cannot be read or that cannot be written, or a file of
            that name.
    """
    check_folder(folder)
    for name in names:
        check_writable(folder / name)
    path = folder / names[0]
    if not path.exists():
        return
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found = [str(model["model_sha256"]) for model in content.get("models", [content])]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise ConfigError(f"{path} cannot be read as results; choose another --output.") from None
    if found != list(models_sha256):
        told = ", ".join(sha[:12] for sha in found)
        raise ConfigError(f"{path} holds results of another model (SHA-256 {told}); choose another --output.")


def save_report(report: SkillReport, folder: Path) -> list[Path]:
    """Writes the JSON and the Markdown page, each whole or not at all, and returns their paths.

    Raises `ConfigError` for what `check_output` refuses, and where the folder cannot be written.
    """
    check_output(folder, FILES, report.model_sha256)
    texts = {
        RESULTS_JSON: json.dumps(report.to_dict(), indent=2) + "\n",
        RESULTS_TABLE: report_page(report),
    }
    return [write_text(folder / name, text) for name, text in texts.items()]


def write_text(path: Path, text: str) -> Path:
    """Writes a text as `write_bytes` does."""
    return write_bytes(path, text.encode("utf-8"))


def write_picture(path: Path, picture: Image.Image) -> Path:
    """Writes a PNG as `write_bytes` does."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return write_bytes(path, buffer.getvalue())


def write_bytes(path: Path, data: bytes) -> Path:
    """Writes a file whole or not at all, with its folder. Raises `ConfigError` where the disk refuses."""
    try:
        return write_whole(path, data)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror}).") from None


def _families(split: str, font_folders: Sequence[str]) -> list[str]:
    try:
        return list(dict.fromkeys(font.family for font in choose_fonts(split, None, font_folders)))
    except ConfigError:  # none installed: the tests that need them were not run
        return []
