"""`fashionrec`, with the processor time of each stage noted: on a machine that others use too, the clock says little.

`STAGE_TIMES=times.json python -m fashionrec_assets_tests.benchmarks.timed run ...` takes the arguments of `fashionrec`.
The file gets seconds by stage, of all threads of the process.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from fashionrec_assets import cli
from fashionrec_assets.resources.shop import Shop, StageRun
from fashionrec_assets.storage.ledger import Stage


def main() -> None:
    notes, plain = Path(os.environ["STAGE_TIMES"]), Shop.stage
    spent: dict[str, float] = {}

    @contextmanager
    def timed(self: Shop, stage: Stage) -> Generator[StageRun]:
        began = time.process_time()
        try:
            with plain(self, stage) as run:
                yield run
        finally:
            spent[stage.name] = spent.get(stage.name, 0.0) + time.process_time() - began
            # After every stage: `fashionrec` leaves without the interpreter's clean-up.
            notes.write_text(json.dumps(spent), "utf-8")

    Shop.stage = timed
    cli.main()


if __name__ == "__main__":
    main()
