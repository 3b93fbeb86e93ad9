"""What is reached without an encoder, on data made so that the answer is known."""

from vitrail.training.baselines import baselines, frequent_tags, is_unspaced, majority


def rows(*pairs):
    return [{"text": text, "label": label} for text, label in pairs]


def test_the_majority_is_the_most_frequent_label_and_of_two_the_first_by_name():
    assert majority(rows(("x", "b"), ("y", "b"), ("z", "a")), rows(("q", "a"))) == ["b"]
    assert majority(rows(("x", "b"), ("y", "a")), rows(("q", "a"), ("r", "b"))) == ["a", "a"]


def test_words_are_enough_for_labels_that_words_tell():
    train = rows(*[(f"{word} film {i}", label) for i in range(6) for word, label in (("good", "1"), ("bad", "0"))])

    found = baselines("text-classification", train, rows(("a good one", "1"), ("a bad one", "0")))

    assert found == {"majority": ["0", "0"], "TF-IDF of words + LR": ["1", "0"]}


def test_characters_are_taken_where_a_script_has_no_spaces():
    train = rows(
        *[(f"这家酒店{word}，第{i}次", label) for i in range(6) for word, label in (("很好", "1"), ("太差", "0"))]
    )

    found = baselines("text-classification", train, rows(("早餐很好", "1"), ("房间太差", "0")))

    assert found["TF-IDF of characters + LR"] == ["1", "0"]
    assert not is_unspaced(["a hotel 酒店 in the old town, by the river"])


def test_a_word_has_its_most_frequent_tag_and_an_unseen_one_none():
    train = [{"tokens": ["Ada", "slept", "Ada"], "tags": ["B-PER", "O", "B-PER"]}, {"tokens": ["Ada"], "tags": ["O"]}]

    assert frequent_tags(train, [{"tokens": ["Ada", "woke"]}]) == [["B-PER", "O"]]


def test_tasks_without_a_simple_baseline_and_several_labels_have_none():
    assert baselines("embedding", [], []) == {}
    assert baselines("text-classification", rows(("x", ["a", "b"])), rows(("y", ["a"]))) == {}
    assert set(baselines("text-classification", rows(("x", "a"), ("y", "a")), rows(("z", "a")))) == {"majority"}
