"""Scores of methods on models: forms of an input as the model reads them, planted words, tables."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import vitrail
from vitrail import explanation
from vitrail.explanation.faithfulness.judge import Judge
from vitrail.explanation.faithfulness.planted import plant, planted_tokens
from vitrail.explanation.faithfulness.scores import Measured, with_leads
from vitrail.intervals import Interval, bootstrap_mean
from vitrail.models import EncoderSpec
from vitrail.tasks import TASKS

SHORTCUTS = {"spring": "green", "summer": "blue", "autumn": "brown", "winter": "white"}
WORDS = ["the", "film", "was", "a", "long", "story", "of", "two", "good", "friends"]


def texts(count, seed):
    draw = np.random.default_rng(seed)
    return [" ".join(draw.choice(WORDS, size=int(draw.integers(5, 9)))) for _ in range(count)]


@pytest.fixture(scope="module")
def planted_model(tokenizer):
    """By construction: a mean over tokens that are all alike but for the shortcut of each label."""
    spec = EncoderSpec.original(
        vocab_size=tokenizer.vocab_size, hidden_size=12, num_layers=1, num_heads=2, intermediate_size=16, dropout=0.0
    )
    encoder = vitrail.Encoder.from_spec(spec, tokenizer, seed=0).eval()
    options = TASKS["text-classification"].Options(pooling="mean")
    encoder.attach(encoder.new_task("text-classification", labels=list(SHORTCUTS), options=options))
    with torch.no_grad():
        layer, head = encoder.model.layers[0], encoder.need_task().head
        for linear in (layer.attention.output, layer.feed_forward.down):
            linear.weight.zero_()
            linear.bias.zero_()
        words = encoder.model.embeddings.tokens.weight
        words.zero_()
        words[:, 11] = 1000.0
        head.output.weight.zero_()
        for label, word in enumerate(SHORTCUTS.values()):
            id = tokenizer.id_of(word)
            words[id] = 0.0
            words[id, label] = 1000.0
            head.output.weight[label, label] = 30.0
    return encoder


def test_forms_of_an_input_have_the_probabilities_that_predict_gives_for_the_same_tokens(planted_model):
    text = "the film was blue a story"
    (reading,) = explanation.readings_for(planted_model, [text])
    judge = Judge(planted_model, reading, explanation.targets_of(planted_model, reading))
    word = next(word for word in reading.words if word.text == "film")
    shorter = planted_model.predict("the was blue a story")

    (deleted,) = judge.outcomes([frozenset(word.tokens)], "delete")

    assert judge.full == pytest.approx(planted_model.predict(text).scores["summer"], abs=1e-6)
    assert deleted == pytest.approx(shorter.scores["summer"], abs=1e-6)


def test_a_model_with_a_planted_shortcut_is_seen_through(planted_model):
    rows = plant(texts(24, seed=7), SHORTCUTS, seed=7)
    scores = explanation.score(planted_model, rows, ["leave-one-out", "gradient-x-input"], ["planted"])
    found = {(each.method, each.measure): each for each in scores.measured if each.protocol == "planted"}

    # of four labels, the one that is left to a guess is the same one time in four
    assert found["leave-one-out", "planted word needed"].values.mean > 0.5
    assert found["leave-one-out", "precision@1"].values.mean > 0.9
    assert found["random", "precision@1"].values.mean < 0.4
    assert found["random", "planted word needed"].values == found["leave-one-out", "planted word needed"].values


def test_every_table_has_a_random_row_intervals_and_a_necessity_rate(planted_model):
    rows = plant(texts(8, seed=3), SHORTCUTS, seed=3)
    scores = explanation.score(planted_model, rows, ["leave-one-out"], ["eraser"])
    table = scores.table().splitlines()

    assert [line.split("|")[1].strip() for line in table[2:]] == ["leave-one-out", "random"]
    assert "necessity: first token ↑" in table[0]
    assert "eraser: comprehensiveness ↑" in table[0]
    for each in scores.measured:
        assert each.values.low <= each.values.mean <= each.values.high
        assert each.rows == 8
    assert scores.order("eraser", "comprehensiveness")[0] == "leave-one-out"
    first = json.loads(scores.json_lines().splitlines()[0])
    assert first["values"]["mean"] == scores.measured[0].values.mean
    assert first["weights_sha256"] == planted_model.weights_sha256


def test_an_explanation_carries_what_was_measured_of_its_method(planted_model):
    rows = plant(texts(8, seed=3), SHORTCUTS, seed=3)
    scores = explanation.score(planted_model, rows, ["leave-one-out"], ["eraser"])

    measured = explanation.explain(planted_model, rows[0]["text"], method="leave-one-out", scores=scores)
    unknown = explanation.explain(planted_model, rows[0]["text"], method="gradient", scores=scores)

    assert "comprehensiveness 0." in str(measured.faithfulness)
    assert "random" in str(measured.faithfulness)
    assert unknown.faithfulness is None


def test_the_right_label_counts_for_accuracy_and_an_unknown_one_is_refused(planted_model):
    text = "the film was blue a story"
    wrong = [{"text": text, "label": "winter"}]

    scores = explanation.score(planted_model, wrong, ["random"], ["mask-decompx"])
    accuracy = next(each for each in scores.measured if each.measure == "accuracy")

    assert planted_model.predict(text).label == "summer"
    assert accuracy.values.mean < 0.7
    with pytest.raises(ValueError, match="'Winter' is none of the model's"):
        explanation.score(planted_model, [{"text": text, "label": "Winter"}])


def test_a_method_of_ones_own_is_scored_beside_the_others(planted_model):
    gradient = explanation.METHODS["gradient"]
    rows = plant(texts(12, seed=3), SHORTCUTS, seed=0)
    found = explanation.score(planted_model, rows, ["gradient", replace(gradient, name="mine")], ["planted"])
    values = {(each.method, each.measure): each.values for each in found.measured}

    assert {method for method, _ in values} == {"gradient", "mine", "random"}
    assert values["mine", "precision@1"] == values["gradient", "precision@1"]
    with pytest.raises(ValueError, match="'mine': choose among"):
        explanation.score(planted_model, rows, ["mine"])
    with pytest.raises(ValueError, match="more than once"):
        explanation.score(planted_model, rows, [replace(gradient, name="mine"), replace(gradient, name="mine")])
    with pytest.raises(ValueError, match="is called gradient"):
        explanation.score(planted_model, rows, [replace(gradient, paper="of my own")])


def test_unknown_names_and_inputs_without_a_choice_are_refused(planted_model):
    with pytest.raises(ValueError, match="method 'lime': choose among"):
        explanation.score(planted_model, ["a text"], ["lime"])
    with pytest.raises(ValueError, match="protocol 'delete': choose among"):
        explanation.score(planted_model, ["a text"], None, ["delete"])
    with pytest.raises(vitrail.VitrailError, match="longer texts"):
        explanation.score(planted_model, ["a"], ["gradient"])


def test_planted_words_are_drawn_for_every_label_and_stand_where_they_were_put():
    rows = plant(texts(400, seed=0), SHORTCUTS, seed=1)
    counts = [sum(row["label"] == label for row in rows) for label in SHORTCUTS]
    places = {row["text"].split().index(row["planted"][0]) for row in rows}

    assert min(counts) > 60
    assert len(places) > 5
    assert all(row["planted"] == [SHORTCUTS[row["label"]]] for row in rows)
    with pytest.raises(ValueError, match="four or more"):
        plant(["a"], {"a": "x", "b": "y"})
    with pytest.raises(ValueError, match="already holds 'green'"):
        plant(["a green"], SHORTCUTS)


def test_the_tokens_of_a_planted_word_are_found_between_spaces_alone(planted_model):
    (reading,) = explanation.readings_for(planted_model, ["blues blue ablue blue"])
    shown = [reading.offsets[place].tolist() for place in sorted(planted_tokens(reading, ["blue"]))]

    assert shown == [[6, 10], [17, 21]]


def test_an_interval_covers_the_mean_it_was_drawn_from_nearly_always():
    draw = np.random.default_rng(0)
    found = [bootstrap_mean(draw.normal(3.0, 1.0, 60).tolist(), seed=0) for _ in range(100)]

    assert 85 <= sum(each.low <= 3.0 <= each.high for each in found) <= 100


def test_a_lead_is_the_mean_of_the_differences_text_by_text():
    def figure(method: str, mean: float, *, better: bool) -> Measured:
        values = Interval(mean=mean, low=mean, high=mean)
        return Measured(method=method, protocol="p", measure="m", more_is_better=better, values=values, rows=3)

    one = {0: 0.5, 1: 0.9, 2: 0.1}
    found = {"a": one, "b": {row: value - 0.25 for row, value in one.items()}, "c": {0: 0.0}}
    for better in (True, False):
        figures = [figure("c", 0.0, better=better), figure("b", 0.25, better=better), figure("a", 0.5, better=better)]
        leads = {each.method: each.lead for each in with_leads(figures, found, seed=0)}
        ahead = leads["a" if better else "b"]
        assert ahead is not None
        assert [ahead.mean, ahead.low, ahead.high] == pytest.approx([0.25] * 3)
        assert leads["b" if better else "c"] is None  # not measured on the same texts
        assert leads["c" if better else "a"] is None  # the last
