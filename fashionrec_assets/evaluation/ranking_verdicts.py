"""What the figures of a ranking report say, in sentences.

Belongs here: the rules that turn intervals into verdicts. Does not belong here: the figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fashionrec_assets.evaluation.ranking_figures import Comparison, Method, OracleShare, Outcome, Row, SeedSummary
from fashionrec_assets.evaluation.slices import SliceName
from fashionrec_assets.evaluation.words import Tone, Verdict, listed, number, paired, signed

_BEST = " (the best baseline here)"
_METRICS = {"ndcg": "NDCG", "recall": "Recall"}


def verdicts(
    methods: Sequence[Method],
    rows: Sequence[Row],
    comparisons: Sequence[Comparison],
    shares: Sequence[OracleShare],
    *,
    models: Sequence[str],
    reference: str,
    k: int,
    seeds: Sequence[SeedSummary] = (),
) -> list[Verdict]:
    """What the figures say, most important first. NDCG decides; recall is reported beside it.

    The first of `models` is the headline: it is held against `reference`, the best baseline and all others. Of the
    further models it is said how they stand against those two.
    """
    model = models[0] if models else None
    titles = {method.name: method.title for method in methods}
    rivals = {method.name for method in methods if not method.is_oracle}
    ndcg: dict[tuple[str, SliceName], Row] = {
        (row.method, row.slice): row for row in rows if row.metric == "ndcg" and row.k == k
    }
    said: list[Verdict] = []
    if model is None:
        best = _best(ndcg, rivals, "overall")
        if best is not None:
            said.append(Verdict("note", f"{titles[best.method]} is the best method: NDCG@{k} {_with_interval(best)}."))
    else:
        overall = [c for c in comparisons if c.metric == "ndcg" and c.slice == "overall" and c.second in rivals]
        baselines = {method.name for method in methods if method.is_baseline}
        best = _best(ndcg, baselines, "overall")
        bars: list[str] = [reference]
        if best is not None and best.method != reference:
            bars.append(best.method)
        against = {c.second: c for c in overall if c.first == model}
        said += [_reference_verdict(against[bar], _named(titles, bar, reference), k) for bar in bars if bar in against]
        said += _others_verdicts([c for name, c in against.items() if name not in bars], titles, k)
        said += _recall_disagreement([c for c in comparisons if c.first == model], rivals, titles, k)
        for further in models[1:]:
            chosen = [c for c in overall if c.first == further and c.second in bars]
            said += _others_verdicts(chosen, titles, k)
        said += [
            _seeds_verdict(summary, titles)
            for summary in seeds
            if summary.metric == "ndcg" and summary.slice == "overall"
        ]
    said += _oracle_verdicts(shares, ndcg, titles, model, k)
    return said + _cold_verdicts(comparisons, ndcg, rivals, titles, model, k)


def _cold_verdicts(
    comparisons: Sequence[Comparison],
    ndcg: Mapping[tuple[str, SliceName], Row],
    rivals: set[str],
    titles: Mapping[str, str],
    model: str | None,
    k: int,
) -> list[Verdict]:
    """Whose figure is highest on cold items, and whether the people there can tell."""
    best = _best(ndcg, rivals, "cold")
    if best is None:
        return []
    text = f"On cold items {titles[best.method]} has the highest NDCG@{k}: {_with_interval(best)}"
    mine = ndcg.get((model, "cold")) if model is not None else None
    if model is None or mine is None:
        return [Verdict("note", text + ".")]
    outcomes: dict[str, Outcome] = {
        c.second: c.outcome for c in comparisons if (c.first, c.slice, c.metric) == (model, "cold", "ndcg")
    }
    if best.method == model:
        close = [titles[name] for name in outcomes if name in rivals and outcomes[name] == "undecided"]
        if close:
            return [Verdict("undecided", f"{text}; these people cannot tell it apart from {listed(close)}.")]
        return [Verdict("good", text + ".")]
    text += f"; {titles[model]} has {_with_interval(mine)}"
    if outcomes.get(best.method) == "worse":
        return [Verdict("bad", text + ", less by the paired interval.")]
    return [Verdict("undecided", text + ", and these people cannot tell the two apart.")]


def _named(titles: Mapping[str, str], name: str, reference: str) -> Mapping[str, str]:
    """`titles`, where the best baseline is introduced as such if it is another than the reference."""
    return titles if name == reference else {**titles, name: f"{titles[name]}{_BEST}"}


def _seeds_verdict(summary: SeedSummary, titles: Mapping[str, str]) -> Verdict:
    text = (
        f"{summary.runs} training runs of {titles[summary.method]} that differ only in their seed reach "
        f"{_METRICS[summary.metric]}@{summary.k} {number(summary.mean)} on the mean, with a standard deviation of "
        f"{number(summary.deviation)}."
    )
    return Verdict("note", text)


def _best(ndcg: Mapping[tuple[str, SliceName], Row], rivals: set[str], slice_name: SliceName) -> Row | None:
    candidates = [
        row for (method, name), row in ndcg.items() if name == slice_name and method in rivals and row.value > 0
    ]
    return max(candidates, key=lambda row: row.value, default=None)


def _with_interval(row: Row) -> str:
    return f"{number(row.value)} ({number(row.low)} to {number(row.high)})"


def _reference_verdict(comparison: Comparison, titles: Mapping[str, str], k: int) -> Verdict:
    ours, theirs = titles[comparison.first], titles[comparison.second]
    match comparison.outcome:
        case "better":
            beyond = "; their own intervals do not overlap" if comparison.apart else ""
            return Verdict("good", f"{ours} beats {theirs} on NDCG@{k}: {paired(comparison.difference)}{beyond}.")
        case "worse":
            bar = theirs.removesuffix(_BEST)
            advice = f"A model that loses to {bar} does not earn its keep here: serve {bar} instead."
            return Verdict("bad", f"{ours} loses to {theirs} on NDCG@{k}: {paired(comparison.difference)}. {advice}")
        case "undecided":
            advice = f"Until it can, {theirs.removesuffix(_BEST)} is the cheaper choice."
            return Verdict(
                "undecided",
                f"{ours} cannot be told apart from {theirs} on NDCG@{k}: {paired(comparison.difference)}. {advice}",
            )


def _others_verdicts(comparisons: Sequence[Comparison], titles: Mapping[str, str], k: int) -> list[Verdict]:
    said: list[Verdict] = []
    kinds: tuple[tuple[Outcome, bool | None, Tone, str, str], ...] = (
        ("worse", None, "bad", "loses to", ""),
        ("undecided", None, "undecided", "cannot be told apart from", ""),
        ("better", False, "good", "beats", " in the paired comparison, though their own intervals overlap"),
        ("better", True, "good", "beats", ", with intervals that do not overlap"),
    )
    for outcome, apart, tone, verb, ending in kinds:
        chosen = [c for c in comparisons if c.outcome == outcome and apart in (None, c.apart)]
        if chosen:
            names = listed([f"{titles[c.second]} ({signed(c.difference.value)})" for c in chosen])
            said.append(Verdict(tone, f"On NDCG@{k} {titles[chosen[0].first]} {verb} {names}{ending}."))
    return said


def _recall_disagreement(
    comparisons: Sequence[Comparison], rivals: set[str], titles: Mapping[str, str], k: int
) -> list[Verdict]:
    chosen = [c for c in comparisons if c.slice == "overall" and c.second in rivals]
    ndcg = {c.second: c for c in chosen if c.metric == "ndcg"}
    said: list[Verdict] = []
    for comparison in chosen:
        if (
            comparison.metric == "recall"
            and comparison.outcome == "worse"
            and ndcg[comparison.second].outcome != "worse"
        ):
            ours, theirs = titles[comparison.first], titles[comparison.second]
            said.append(Verdict("bad", f"On Recall@{k} {ours} loses to {theirs}: {paired(comparison.difference)}."))
    return said


def _oracle_verdicts(
    shares: Sequence[OracleShare],
    ndcg: Mapping[tuple[str, SliceName], Row],
    titles: Mapping[str, str],
    model: str | None,
    k: int,
) -> list[Verdict]:
    if not shares:
        return []
    found = {(share.method, share.slice): share.share for share in shares if share.metric == "ndcg"}
    subject = model
    if subject is None:
        overall = {method: share for (method, name), share in found.items() if name == "overall"}
        subject = max(overall, key=lambda method: overall[method].value, default=None)
    if subject is None or (subject, "overall") not in found:
        return []

    def share_of(name: SliceName) -> str:
        share = found[str(subject), name]
        return f"{share.value:.0%} ({share.low:.0%} to {share.high:.0%})"

    text = f"{titles[subject]} reaches {share_of('overall')} of the oracle's NDCG@{k}"
    if (subject, "cold") in found:
        text += f", and {share_of('cold')} of it on cold items"
    return [Verdict("note", text + ".")]
