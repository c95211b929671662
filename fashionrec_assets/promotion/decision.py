"""Whether the newest release takes the place of the served one, and switching by hand.

Belongs here: the rules of promotion, the paired comparison, what is written down of each, promoting and rolling back.
Does not belong here: measuring (`scoring.py`), folders and links (`storage/releases.py`).

A release whose models are those of the served one only brings newer data and is served at once. Other models must first
not be worse on the frozen slice: the lower bound of the 95 % interval of the paired difference may not fall below the
margin. A release that a person set aside stays so until a person promotes it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fashionrec_assets.evaluation.bootstrap import paired_difference
from fashionrec_assets.promotion.content import compared
from fashionrec_assets.promotion.scoring import CannotBeScoredError, K, UserFigures
from fashionrec_assets.settings import PromotionSettings
from fashionrec_assets.storage.release_notes import Comparison, Decision, Release, State, Verdict
from fashionrec_assets.storage.releases import ReleaseError, Releases, now, who

Measure = Callable[[Release], UserFigures]
"""Figures of a release on the frozen slice. Raises CannotBeScoredError."""


def settled(releases: Releases, candidate: str) -> bool:
    """Whether nothing is to be decided: it is served already, or was refused against what is served."""
    served, verdict = releases.served(), releases.state().verdicts.get(candidate)
    if served == candidate:
        return True
    return verdict is not None and verdict.decision != "promoted" and verdict.against == served


def consider(
    releases: Releases,
    candidate: Release,
    settings: PromotionSettings,
    measure: Measure,
    evaluation: Callable[[], str],
    seed: int = 0,
) -> Verdict:
    """Decide about `candidate`, write it down, and serve it if it is promoted.

    `evaluation` names the slice; it and `measure` are asked only where models are to be compared.
    """
    served, known = releases.served(), releases.state().verdicts.get(candidate.version)
    if served == candidate.version or (known and known.decision == "set aside" and known.against == served):
        return known or Verdict(decision="promoted", why="it is served", at=now(), against=served)
    champion = releases.read(served) if served is not None else None
    verdict = _verdict(releases.state(), candidate, champion, settings, measure, evaluation, seed)
    releases.judge(candidate.version, verdict)
    if verdict.decision == "promoted":
        releases.switch(candidate.version, verdict.why)
    return verdict


def _verdict(
    state: State,
    candidate: Release,
    champion: Release | None,
    settings: PromotionSettings,
    measure: Measure,
    evaluation: Callable[[], str],
    seed: int,
) -> Verdict:
    def say(decision: Decision, why: str, comparison: Comparison | None = None) -> Verdict:
        return Verdict(
            decision=decision,
            why=why,
            at=now(),
            against=None if champion is None else champion.version,
            against_models={} if champion is None else compared(champion),
            models=compared(candidate),
            comparison=comparison,
        )

    by_hand = _by_hand(candidate.version)
    if aside := _set_aside(state, candidate, champion):
        known = state.verdicts.get(candidate.version)
        return say("set aside", f"{aside}; {by_hand}", None if known is None else known.comparison)
    if champion is None:
        return say("promoted", "the first release: there is nothing to compare it with")
    if compared(champion) == compared(candidate):
        return say("promoted", "the same models on newer data or settings: nothing to compare")
    if not settings.auto:
        return say("blocked", f"promotion.auto is off; {by_hand}")
    try:
        found = comparison_of(measure(champion), measure(candidate), settings, evaluation(), seed)
    except CannotBeScoredError as error:
        return say("blocked", f"{error}; {by_hand}")
    if found.passed:
        return say("promoted", f"not worse: {found.told()}", found)
    return say("blocked", f"worse: {found.told()}; {by_hand}", found)


def _set_aside(state: State, candidate: Release, champion: Release | None) -> str:
    """Why a person's word keeps a release from being served; empty if none does.

    Rolling back from other models is a word about them, whatever data come with them; from the same models it is one
    about that release alone.
    """
    models = compared(candidate)
    for version, verdict in state.verdicts.items():
        if verdict.decision != "set aside":
            continue
        if version == candidate.version:
            return verdict.why.removesuffix(f"; {_by_hand(version)}")
        about_models = verdict.models == models and verdict.against_models != models
        if about_models and (champion is None or compared(champion) != models):
            return f"its models are those of release {version}, which was set aside at {verdict.at}"
    return ""


def comparison_of(
    champion: UserFigures, challenger: UserFigures, settings: PromotionSettings, evaluation: str, seed: int = 0
) -> Comparison:
    """The paired bootstrap of two releases' figures for the same users. Raises CannotBeScoredError if they differ."""
    if not np.array_equal(champion.users, challenger.users) or not len(champion.users):
        raise CannotBeScoredError("the slice has no users, or not the same ones for both releases")
    metric = settings.metric
    old, new = champion.values[metric], challenger.values[metric]
    interval = paired_difference(new, old, draws=settings.bootstrap, seed=seed)
    return Comparison(
        metric=metric,
        k=K,
        users=len(old),
        champion=float(old.mean()),
        challenger=float(new.mean()),
        difference=interval.value,
        low=interval.low,
        high=interval.high,
        margin=settings.margin,
        least=-settings.margin * float(old.mean()),
        champion_recall=float(champion.values["recall"].mean()),
        challenger_recall=float(challenger.values["recall"].mean()),
        evaluation=evaluation,
    )


def promote(releases: Releases, version: str, reason: str = "", *, back: bool = False) -> str:
    """Serve a release because a person says so, every byte verified first; the release served until now is returned.

    An earlier release than the served one is a rollback, and so is any with `back`: what was served is then set aside.
    Raises ReleaseError for an unknown or damaged release, or one that is served already.
    """
    releases.heal()
    release, served = releases.read(version), releases.served()
    if version == served:
        raise ReleaseError(f"Release {version} is served already.")
    if problems := releases.problems(version):
        raise ReleaseError(f"Release {version} is damaged ({problems[0]}): promote another one (`fashionrec models`).")
    why = reason or "by hand"
    if served is not None:
        _put_aside(releases, served, release, why, back)
    releases.judge(
        version,
        Verdict(
            decision="promoted",
            why=f"promoted by {who()}: {why}",
            at=now(),
            against=served,
            models=compared(release),
            comparison=_kept_comparison(releases, version),
        ),
    )
    releases.switch(version, why)
    return served or ""


def rollback(releases: Releases, version: str | None = None, reason: str = "") -> str:
    """Serve `version` again, or the release served before; the version that is served now.

    What was served is set aside: it is not promoted by itself again. Raises ReleaseError as `promote` does, and if
    there is nothing to go back to.
    """
    releases.heal()
    served = releases.served()
    if version is None:
        state = releases.state()
        aside = {known for known, verdict in state.verdicts.items() if verdict.decision == "set aside"}
        earlier = [one for one in state.served_before(served or "") if one not in aside and releases.whole(one)]
        if not earlier:
            raise ReleaseError("No release was served before this one: there is nothing to go back to.")
        version = earlier[0]
    # By number alone it may be a newer one: content that comes again is the release it was.
    promote(releases, version, reason or "rolled back", back=True)
    return version


def _put_aside(releases: Releases, served: str, target: Release, why: str, back: bool) -> None:
    """Write down that a person took `served` out of service, if it was to go `back` or `target` is an earlier one."""
    try:
        release = releases.read(served)
    except ReleaseError:
        return
    if release.sequence < target.sequence and not back:
        return
    releases.judge(
        served,
        Verdict(
            decision="set aside",
            why=f"set aside by {who()} for {target.version}: {why}; {_by_hand(served)}",
            at=now(),
            against=target.version,
            against_models=compared(target),
            models=compared(release),
            comparison=_kept_comparison(releases, served),
        ),
    )


def _by_hand(version: str) -> str:
    return f"`fashionrec promote {version}` serves it all the same"


def _kept_comparison(releases: Releases, version: str) -> Comparison | None:
    verdict = releases.state().verdicts.get(version)
    return None if verdict is None else verdict.comparison
