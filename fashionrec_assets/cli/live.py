"""The live view: a row per asset while it runs.

Belongs here: the `Reporter` of the terminal. Does not belong here: commands and summaries.
"""

from __future__ import annotations

from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from fashionrec_assets.cli.app import console
from fashionrec_assets.storage.ledger import Counts


class LiveView:
    """A row per asset while it runs, then its counts: the `Reporter` of the terminal."""

    def __init__(self) -> None:
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓[/]"),
            TextColumn("{task.description}", justify="left"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> LiveView:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def started(self, stage: str) -> None:
        self._tasks[stage] = self._progress.add_task(stage, total=None, note="")

    def advanced(self, stage: str, done: int, total: int) -> None:
        self._progress.update(self._tasks[stage], completed=done, total=total, note=f"{done:,}/{total:,}")

    def finished(self, stage: str, counts: Counts, unit: str, seconds: float) -> None:
        parts = [f"{value:,} {name}" for name, value in counts.as_dict().items() if value]
        self._progress.update(self._tasks[stage], completed=1, total=1, note=", ".join(parts) or "nothing to do")
        if not console.is_terminal:
            console.print(f"  {stage:<24} {', '.join(parts) or 'nothing to do'}  ({seconds:.1f} s)", highlight=False)

    def failed(self, stage: str) -> None:
        self._progress.update(self._tasks[stage], total=1, note="[red]failed[/]")
        if not console.is_terminal:
            console.print(f"  {stage:<24} failed")
