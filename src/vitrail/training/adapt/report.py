"""The report of an adaptation as Markdown, from its facts (`report.json`)."""

from collections.abc import Mapping
from typing import Any

from vitrail.files.markdown import code, table

Facts = Mapping[str, Any]
SHOWN_WORDS = 50


def markdown(facts: Facts) -> str:
    lines = [
        f"# Adaptation of {facts['model']}",
        "",
        f"**The adapted model was {'kept' if facts['kept'] else 'not kept'}:** {facts['reason']}.",
        "",
        *examined(facts["words_before"], facts["words_after"]),
        *vocabulary(facts["vocabulary"]),
        *pretrained(facts),
        *compared(facts.get("comparison")),
        *forgotten(facts.get("forgetting")),
    ]
    return "\n".join(lines).rstrip() + "\n"


def examined(before: Facts, after: Facts | None = None) -> list[str]:
    """How far the words shatter; `after`: with the new words."""
    columns = [before] if after is None else [before, after]
    shown = (
        ("pieces per word", "pieces_per_word", "{:.3f}"),
        ("words in two pieces or more", "share_of_two_pieces_or_more", "{:.1%}"),
        ("words in three pieces or more", "share_of_three_pieces_or_more", "{:.1%}"),
        ("words the tokenizer does not know", "share_unknown", "{:.1%}"),
    )
    skipped = before["runs_without_spaces"]
    most = [
        (code(word["word"]), f"{word['count']:,}", code(" ".join(word["pieces"]))) for word in before["most_shattered"]
    ]
    return [
        "## How far the words shatter",
        "",
        f"{before['running_words']:,} running words, {before['different_words']:,} different ones."
        + f" {skipped:,} runs in scripts without spaces are not counted." * bool(skipped),
        "",
        *table(
            ["", "before", "with the new words"][: 1 + len(columns)],
            [(name, *(shape.format(column[key]) for column in columns)) for name, key, shape in shown],
        ),
        "",
        *(["Those that cost most pieces:", "", *table(["word", "times", "pieces"], most), ""] if most else []),
    ]


def vocabulary(found: Facts) -> list[str]:
    listed = ", ".join(code(each["word"]) for each in found["words"][:SHOWN_WORDS])
    more = len(found["words"]) - SHOWN_WORDS
    lexicon = (
        f" Of the lexicon's {found['lexicon_words']:,} words {found['lexicon_words_that_were_tokens']:,} were tokens "
        f"already; {found['lexicon_words_added_but_not_in_the_text']:,} were added that the text does not hold, so "
        "nothing was learned of them."
    )
    return [
        "## Words added",
        "",
        f"{found['added']:,} words: {found['from_text']:,} from the text, {found['from_lexicon']:,} from the lexicon."
        + lexicon * bool(found["lexicon_words"]),
        "",
        *([listed + (f" and {more:,} more" if more > 0 else ""), ""] if listed else []),
    ]


def pretrained(facts: Facts) -> list[str]:
    found = facts["pretraining"]
    best = "" if found["best"] is None else f"; best {found['metric']} on held-out text {found['best']:.4f}"
    head = "the checkpoint's head" if found["head"] != "new" else "a new head, as the checkpoint has none"
    return [
        "## Masked-language-model training",
        "",
        f"{found['steps']:,} steps on {facts['texts']:,} texts, from {head}{best}.",
        "",
    ]


def compared(found: Facts | None) -> list[str]:
    if found is None:
        return []
    rows = []
    for split in ("validation", "test"):
        if split in found:
            pairs = zip(found["seeds"], found[split]["unadapted"], found[split]["adapted"], strict=True)
            rows += [(split, str(seed), f"{a:.4f}", f"{b:.4f}", f"{b - a:+.4f}") for seed, a, b in pairs]
    difference = found["difference"]
    return [
        "## On the downstream task",
        "",
        f"{found['metric']}, both trained by one configuration on the same seeds:",
        "",
        *table(["data", "seed", "unadapted", "adapted", "difference"], rows),
        "",
        f"Adapted is better by {difference['mean']:+.4f} on the validation data (95 % from {difference['low']:+.4f} to "
        f"{difference['high']:+.4f}, Student's t over {len(found['seeds'])} pairs). The interval tells of seeds, not "
        "of other rows.",
        "",
    ]


def forgotten(found: Facts | None) -> list[str]:
    if found is None:
        return []
    rows = [
        (
            name,
            f"{100 * found[name]['spearman']:.2f}",
            f"{100 * found[name]['low']:.2f}–{100 * found[name]['high']:.2f}",
        )
        for name in ("unadapted", "adapted")
    ]
    change = found["difference"]
    return [
        "## What was forgotten",
        "",
        f"Spearman's correlation × 100 of the vectors' cosines with people's scores, on {found['pairs']:,} pairs of "
        "general text, before any downstream training:",
        "",
        *table(["", "Spearman", "95 %"], rows),
        "",
        f"Change {100 * change['mean']:+.2f} (95 % from {100 * change['low']:+.2f} to {100 * change['high']:+.2f}).",
        "",
    ]
