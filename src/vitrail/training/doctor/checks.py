"""All that is looked at, in the order in which it is told. A check gives its findings, or nothing."""

from collections.abc import Callable, Iterator

from vitrail.training.doctor.answers import answer_not_in_context, misplaced_answer, repeated_id
from vitrail.training.doctor.characters import (
    control_characters,
    empty_text,
    mojibake,
    replacement_character,
    text_of_a_gap,
)
from vitrail.training.doctor.copies import conflicting_labels, duplicate_row, text_in_two_splits
from vitrail.training.doctor.finding import Finding
from vitrail.training.doctor.labels import (
    class_imbalance,
    one_class,
    score_outside_range,
    similar_labels,
    unseen_label,
)
from vitrail.training.doctor.records import (
    byte_order_mark,
    empty_split,
    length_mismatch,
    line_counts_differ,
    missing_column,
    missing_value,
    not_a_number,
    not_all_examined,
    not_utf8,
    unreadable_record,
    wrong_type,
)
from vitrail.training.doctor.sizes import cut_text, huge_text, long_text
from vitrail.training.doctor.tags import broken_transition, empty_token
from vitrail.training.doctor.view import View

CHECKS: dict[str, Callable[[View], Iterator[Finding]]] = {
    "empty-split": empty_split,
    "missing-column": missing_column,
    "bad-utf8": not_utf8,
    "unreadable-record": unreadable_record,
    "line-counts-differ": line_counts_differ,
    "missing-value": missing_value,
    "wrong-type": wrong_type,
    "not-a-number": not_a_number,
    "length-mismatch": length_mismatch,
    "unseen-label": unseen_label,
    "one-class": one_class,
    "score-outside-range": score_outside_range,
    "misplaced-answer": misplaced_answer,
    "answer-not-in-context": answer_not_in_context,
    "repeated-id": repeated_id,
    "broken-transition": broken_transition,
    "empty-token": empty_token,
    "similar-labels": similar_labels,
    "class-imbalance": class_imbalance,
    "conflicting-labels": conflicting_labels,
    "text-in-two-splits": text_in_two_splits,
    "duplicate-row": duplicate_row,
    "empty-text": empty_text,
    "nan-text": text_of_a_gap,
    "mojibake": mojibake,
    "replacement-character": replacement_character,
    "control-characters": control_characters,
    "huge-text": huge_text,
    "cut-text": cut_text,
    "long-text": long_text,
    "byte-order-mark": byte_order_mark,
    "not-all-examined": not_all_examined,
}
