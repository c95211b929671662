"""A step of training: the gradient, its clipping, AdamW, and the running average of the weights.

Belongs here: what every training loop of this room does between a loss and the next batch. Does not belong here:
losses, batches, when to stop. Imports torch at the top: import this module inside functions.

AdamW and a running average change every row of an ID table at every step, also those that the step does not read:
with a million items that is most of the time. Large tables are therefore worked on lazily: a row is brought up to date
when it is next read, in one go for all the steps that have passed it by. What dense AdamW would have done to it in
these steps is known: its moments and its weights decay, and what is left of its momentum moves it on. The weights are
those of dense AdamW, up to the order of decaying and moving; the running average takes a row that was passed by to have
been all along where it is found.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from fashionrec_assets.embeddings.checkpoints import optimiser_tensors, prefixed, restore_optimiser, under

LAZY_FROM = 50_000
"""Rows from which a table is worked on lazily: below, all of it takes no longer than to find the rows read."""

GRADIENT_NORM = 5.0
FIRST, SECOND, EPSILON = 0.9, 0.999, 1e-8
"""AdamW's decay of both moments, and what keeps its quotient finite."""

_HORIZON = 400
"""Steps after which nothing is left of a momentum."""

_ROWS_AT_ONCE = 65_536


class Descent:
    """AdamW over the parameters of `module` that are trained, and `average`, a copy with their running average.

    `decay(n)`: of the average in its step n + 1; the first step sets it. Large tables of the module and of the average
    are up to date only after `settle`. Make one before anything else keeps a copy of the module.
    """

    def __init__(
        self, module: nn.Module, *, learning_rate: float, weight_decay: float, decay: Callable[[int], float]
    ) -> None:
        self.average: nn.Module = copy.deepcopy(module)
        self.steps, self._decay = 0, decay
        lazy = {
            name: table
            for name, table in module.named_modules()
            if isinstance(table, nn.Embedding) and table.num_embeddings >= LAZY_FROM and table.weight.requires_grad
        }
        self._clock = _Clock(learning_rate, weight_decay)
        self._tables = {
            name: _Table(table, self.average.get_submodule(name), self._clock) for name, table in lazy.items()
        }
        apart = {id(table.weight) for table in lazy.values()}
        pairs = [
            (value, mean)
            for value, mean in zip(module.parameters(), self.average.parameters(), strict=True)
            if id(value) not in apart
        ]
        self._values, self._means = [value for value, _ in pairs], [mean.detach() for _, mean in pairs]
        self._trained = [value for value in self._values if value.requires_grad]
        self._adamw = torch.optim.AdamW(
            self._trained,
            lr=learning_rate,
            betas=(FIRST, SECOND),
            eps=EPSILON,
            weight_decay=weight_decay,
            fused=True,
        )

    def step(self, loss: Tensor) -> None:
        """Go one step against the gradient of `loss`."""
        self._adamw.zero_grad(set_to_none=True)
        for table in self._tables.values():
            table.weight.grad = None
        loss.backward()
        touched = {name: found for name, table in self._tables.items() if (found := table.gradient()) is not None}
        dense = [value.grad for value in self._trained if value.grad is not None]
        norm = torch.nn.utils.get_total_norm([*dense, *(rows for _, rows in touched.values())])
        torch.nn.utils.clip_grads_with_norm_(self._trained, GRADIENT_NORM, norm)
        share = (GRADIENT_NORM / (norm + 1e-6)).clamp(max=1.0)
        self._adamw.step()
        decay = self._decay(self.steps) if self.steps else 0.0
        self._clock.tick(decay)
        with torch.no_grad():
            get_ema_multi_avg_fn(decay)(self._means, [value.detach() for value in self._values], self.steps)
            for name, (rows, gradient) in touched.items():
                self._tables[name].step(rows, gradient * share, decay)
        self.steps += 1

    def settle(self) -> None:
        """Bring every row of the module and of the average up to date."""
        for table in self._tables.values():
            table.settle()

    def tensors(self) -> dict[str, Tensor]:
        """Its whole state; settles."""
        self.settle()
        tables = {f"{name}/{part}": value for name, t in self._tables.items() for part, value in t.moments.items()}
        return {
            **prefixed("average.", self.average.state_dict()),
            **prefixed("adamw.", optimiser_tensors(self._adamw)),
            **prefixed("table.", tables),
            "steps": torch.tensor(self.steps),
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `tensors` gave; the module's own parameters are the caller's."""
        self.average.load_state_dict(under("average.", tensors))
        restore_optimiser(self._adamw, under("adamw.", tensors))
        self.steps = int(tensors["steps"])
        self._clock.set(self.steps)
        for key, value in under("table.", tensors).items():
            name, _, part = key.rpartition("/")
            self._tables[name].moments[part].copy_(value)
        for table in self._tables.values():
            table.upto.fill_(self.steps)


class _Clock:
    """What the steps so far would have done to a row they did not read, by the step at which it was last read.

    Of dense AdamW's step t the size is a(t) = lr sqrt(1 - SECOND^t) / (1 - FIRST^t), and the quotient of its moments
    shrinks by r = FIRST / sqrt(SECOND) a step. `tail[s]` is the sum over j of a(s + j) r^j: how far, in quotients, a
    row last read at step s would still go; what it goes up to step t is tail[s] - r^(t - s) tail[t]. `kept[t]` is the
    logarithm of what t steps leave of a running average.
    """

    def __init__(self, learning_rate: float, weight_decay: float) -> None:
        self.rate, self.shrinking = learning_rate, 1 - learning_rate * weight_decay
        self.now = 0
        self.tail, self.kept = np.zeros(1024), np.zeros(1024)
        self.set(0)

    def size(self, steps: np.ndarray | int) -> np.ndarray:
        return np.asarray(self.rate * np.sqrt(1 - SECOND**steps) / (1 - FIRST**steps))

    def tick(self, decay: float) -> None:
        """One step further; `decay` 0 is the step that sets the average."""
        kept = self.kept[self.now] + (math.log(decay) if decay else 0.0)
        self.set(self.now + 1)
        self.kept[self.now] = kept

    def set(self, step: int) -> None:
        self.now = step
        if step >= len(self.tail):
            size = max(2 * len(self.tail), step + 1)
            self.tail, self.kept = (np.concatenate([a, np.zeros(size - len(a))]) for a in (self.tail, self.kept))
        ahead = np.arange(1, _HORIZON + 1)
        self.tail[step] = float((self.size(step + ahead) * RATIO**ahead).sum())


RATIO = FIRST / SECOND**0.5


class _Table:
    """One embedding that is worked on lazily, with its moments, and the step `upto` which each row is up to date."""

    def __init__(self, table: nn.Embedding, average: nn.Module, clock: _Clock) -> None:
        assert isinstance(average, nn.Embedding)
        self.weight, self.mean, self._clock = table.weight, average.weight.detach(), clock
        self.moments = {"first": torch.zeros_like(self.mean), "second": torch.zeros_like(self.mean)}
        self.upto = torch.zeros(len(self.mean), dtype=torch.int64, device=self.mean.device)
        table.sparse = True
        table.register_forward_pre_hook(lambda _, given: self._wake(torch.unique(given[0])))

    def gradient(self) -> tuple[Tensor, Tensor] | None:
        """Rows (n,), sorted, and their gradients (n, d); None without any."""
        if self.weight.grad is None:
            return None
        found = self.weight.grad.coalesce()
        return found.indices()[0], found.values()

    @torch.no_grad()
    def step(self, rows: Tensor, gradient: Tensor, decay: float) -> None:
        """AdamW's step for `rows`, which are up to date but for it."""
        now = self._clock.now
        first = self.moments["first"][rows].lerp_(gradient, 1 - FIRST)
        second = self.moments["second"][rows].mul_(SECOND).addcmul_(gradient, gradient, value=1 - SECOND)
        quotient = first / second.sqrt().add_(EPSILON * math.sqrt(1 - SECOND**now))
        value = self.weight[rows].mul_(self._clock.shrinking).sub_(quotient, alpha=float(self._clock.size(now)))
        self._put(rows, value, first, second, torch.lerp(self.mean[rows], value, 1 - decay))

    @torch.no_grad()
    def _wake(self, rows: Tensor) -> None:
        """Bring `rows` (distinct) up to date."""
        clock, now = self._clock, self._clock.now
        rows = rows[self.upto[rows] < now]
        if not len(rows):
            return
        then = self.upto[rows].cpu().numpy()
        missed = now - then
        far = clock.tail[then] - RATIO**missed * clock.tail[now]
        kept = np.exp(clock.kept[now] - clock.kept[then])

        def column(values: np.ndarray) -> Tensor:
            return torch.from_numpy(values.astype(np.float32)).to(rows.device)[:, None]

        first, second = self.moments["first"][rows], self.moments["second"][rows]
        value = self.weight[rows].mul_(column(clock.shrinking**missed))
        value.sub_(first / second.sqrt().add_(EPSILON) * column(far))
        mean = torch.lerp(self.mean[rows], value, column(1 - kept))
        self._put(rows, value, first.mul_(column(FIRST**missed)), second.mul_(column(SECOND**missed)), mean)

    def settle(self) -> None:
        for rows in torch.arange(len(self.upto), device=self.upto.device).split(_ROWS_AT_ONCE):
            self._wake(rows)

    def _put(self, rows: Tensor, value: Tensor, first: Tensor, second: Tensor, mean: Tensor) -> None:
        self.weight.index_copy_(0, rows, value)
        self.mean.index_copy_(0, rows, mean)
        self.moments["first"].index_copy_(0, rows, first)
        self.moments["second"].index_copy_(0, rows, second)
        self.upto[rows] = self._clock.now
