"""Distillation: each term against its formula, nothing to learn from oneself, and the promises of the loop kept."""

import copy
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import vitrail
from training.toy import SPEC, classified, encoder_with, gradients, loop_over, paired, relative, weights
from vitrail.api import Encoder
from vitrail.compression import prune
from vitrail.errors import TrainingError
from vitrail.layers.packing import Packing
from vitrail.tasks import Example
from vitrail.tasks.question_answering import _Target
from vitrail.training.config import DistillConfig, RunConfig
from vitrail.training.distillation import Distillation, logits_loss, relation_divergence
from vitrail.training.gradients import GradientMaker
from vitrail.training.processes import Processes

ALL = {"task": 0, "logits": 1, "hidden": 1, "relations": 1}


def taught(student: Encoder, teacher: Encoder, **config: object) -> Distillation:
    return Distillation.between(student, teacher, DistillConfig(**config))


def terms(distillation: Distillation, examples: list[Example]) -> torch.Tensor:
    return distillation.run(examples, lambda: distillation.student.task_outputs(examples))[1]


def examples_for(task: str) -> list[Example]:
    made = classified(5)
    match task:
        case "reranking":
            return [replace(each, target=0.5) for each in made]
        case "question-answering":
            return [replace(each, target=_Target(spans=np.array([[0, each.tokens - 1]]), texts=())) for each in made]
    return made


@pytest.mark.parametrize("task", ["text-classification", "reranking", "question-answering"])
def test_there_is_nothing_to_learn_from_oneself(task: str):
    teacher = encoder_with(task).eval()
    distillation = taught(copy.deepcopy(teacher), teacher, **ALL)

    found = terms(distillation, examples_for(task))

    assert found.item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("term", ["logits", "hidden", "relations"])
def test_each_term_sees_a_student_that_is_different(term: str):
    student, teacher = encoder_with("text-classification"), encoder_with("text-classification", seed=1)
    distillation = taught(student, teacher, **{"logits": 0, term: 1})

    assert float(terms(distillation, classified(4)).detach()) > 1e-3


def test_logits_are_compared_as_torch_compares_distributions():
    task = encoder_with("text-classification").task
    student, teacher = torch.randn(5, 3), torch.randn(5, 3)
    wanted = torch.nn.functional.kl_div((student / 3).log_softmax(-1), (teacher / 3).softmax(-1), reduction="sum")

    torch.testing.assert_close(logits_loss(task, student, teacher, classified(5), 3.0), 9 * wanted)


def test_a_score_that_stands_alone_is_a_choice_of_yes_or_no():
    task, (student, teacher) = encoder_with("reranking").task, torch.randn(2, 5, 1)
    p, q = (teacher / 2).sigmoid(), (student / 2).sigmoid()
    wanted = (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).sum()

    torch.testing.assert_close(logits_loss(task, student, teacher, examples_for("reranking"), 2.0), 4 * wanted)


def test_relations_are_the_papers():
    """Equations 3 to 5 of the paper written out: per head and query, the divergence of softmaxes of scaled products."""
    student, teacher, heads = torch.randn(7, 6), torch.randn(7, 8), 2
    wanted = []
    for start, end in ((0, 3), (3, 7)):
        for query in range(start, end):
            each = 0.0
            for head in range(heads):
                a = teacher[start:end, 4 * head : 4 * head + 4]
                b = student[start:end, 3 * head : 3 * head + 3]
                p = torch.softmax(a @ teacher[query, 4 * head : 4 * head + 4] / math.sqrt(4), 0)
                q = torch.softmax(b @ student[query, 3 * head : 3 * head + 3] / math.sqrt(3), 0)
                each += float((p * (p.log() - q.log())).sum()) / heads
            wanted.append(each)

    found = relation_divergence(student, teacher, Packing.of([3, 4]), heads=heads)

    torch.testing.assert_close(found, torch.tensor(wanted))


def test_hidden_states_are_compared_layer_by_layer_through_the_projection():
    narrow = replace(SPEC, hidden_size=9, embedding_size=9)
    student = Encoder.from_spec(narrow, seed=0).eval()
    student.attach(student.new_task("text-classification", labels=("no", "yes", "maybe")))
    teacher, examples = encoder_with("text-classification", seed=1).eval(), classified(3)
    distillation = taught(student, teacher, logits=0, hidden=2.0, layers=[1, 0])

    wanted = 0.0
    for example in examples:
        ids = torch.from_numpy(example.sequences[0])
        packing = Packing.of([len(ids)])
        mine, theirs = (list(each.model.steps(ids, packing)) for each in (student, teacher))
        for number, layer in enumerate((1, 0)):
            projected = mine[1 + number] @ student.distillation[number].weight.T
            wanted += (projected - theirs[1 + layer]).square().mean() / 2
    torch.testing.assert_close(terms(distillation, examples), 2.0 * wanted)
    assert student.distillation[0].weight.requires_grad


@pytest.mark.parametrize(
    ("student", "teacher", "pairs"), [(2, 6, [2, 5]), (4, 6, [0, 2, 3, 5]), (3, 3, [0, 1, 2]), (3, 2, [0, 0, 1])]
)
def test_layers_are_paired_evenly_and_the_last_with_the_last(student: int, teacher: int, pairs: list[int]):
    def deep(layers: int) -> Encoder:
        spec = replace(SPEC, windows=(None,) * layers, shared_layers=tuple(range(layers)))
        made = Encoder.from_spec(spec, seed=0)
        made.attach(made.new_task("text-classification", labels=("no", "yes", "maybe")))
        return made

    found = taught(deep(student), deep(teacher), hidden=1).layers

    assert found == list(enumerate(pairs))


@pytest.mark.parametrize("task", ["text-classification", "embedding"])
def test_the_cut_into_pieces_does_not_change_the_gradient(task: str):
    examples = classified(6) if task == "text-classification" else paired(6)
    student, teacher = encoder_with(task, dtype=torch.float64), encoder_with(task, seed=1, dtype=torch.float64)
    asked = {"logits": 0 if task == "embedding" else 1, "hidden": 1, "relations": 1, "task": 0.5}
    maker = GradientMaker(
        encoder=student,
        task=student.task,
        seed=0,
        processes=Processes(),
        distillation=taught(student, teacher, **asked),
    )
    whole = maker.window([examples], 0)
    wanted = gradients(student)

    cut = maker.window([examples[:1], examples[1:4], examples[4:]], 0)

    assert relative(gradients(student), wanted) < 1e-6
    assert float(cut.total) == pytest.approx(float(whole.total), rel=1e-6)


def test_a_distilling_run_that_goes_on_is_the_run_that_was_never_stopped(tmp_path: Path):
    def run(folder: Path) -> dict[str, torch.Tensor]:
        narrow = replace(SPEC, hidden_size=9, embedding_size=9, dropout=replace(SPEC.dropout, embeddings=0.3))
        student = Encoder.from_spec(narrow, seed=0)
        torch.manual_seed(0)
        student.attach(student.new_task("text-classification", labels=("no", "yes", "maybe")))
        distillation = taught(student, encoder_with("text-classification", seed=1), **ALL)
        loop = loop_over(
            student, classified(24), distillation=distillation, snapshots=folder, checkpoint_steps=2, keep_checkpoints=9
        )
        loop.resume()
        loop.run()
        return weights(student)

    whole = run(tmp_path)
    for later in sorted(tmp_path.glob("step-*"))[1:]:
        shutil.rmtree(later)

    resumed = run(tmp_path)

    assert "distillation.0.weight" in whole
    assert all(torch.equal(resumed[name], each) for name, each in whole.items())


def test_a_pruned_student_comes_nearer_to_its_teacher():
    teacher, examples = encoder_with("text-classification"), classified(40)
    loop_over(teacher, examples, epochs=4).run()
    student = prune(teacher, layers=[0])
    distillation = taught(student, teacher, task=0, hidden=1)
    before = terms(distillation, examples).item()

    loop_over(student, examples, distillation=distillation, epochs=4).run()

    assert terms(distillation, examples).item() < before / 2


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"hidden": 1, "layers": [0]}, "a layer of the teacher"),
        ({"hidden": 1, "layers": [0, 2]}, "a layer of the teacher"),
        ({"relations": 1, "relation_heads": 5}, "does not divide 12"),
        ({"logits": 0}, "teaches nothing"),
    ],
)
def test_what_cannot_be_taught_is_refused(config: dict, words: str):
    with pytest.raises(ValueError, match=words):
        taught(encoder_with("text-classification"), encoder_with("text-classification"), **config)


def test_a_teacher_of_other_labels_or_of_another_vocabulary_is_refused():
    student, other = encoder_with("text-classification"), encoder_with("text-classification")
    other.attach(other.new_task("text-classification", labels=("yes", "no", "maybe")))
    with pytest.raises(TrainingError, match="in one order"):
        taught(student, other)
    wide = Encoder.from_spec(replace(SPEC, vocab_size=29), seed=0)
    with pytest.raises(TrainingError, match="23 tokens against 29"):
        taught(student, wide, logits=0, hidden=1)
    with pytest.raises(ValueError, match="no logits to learn from"):
        taught(encoder_with("embedding"), encoder_with("embedding"))


def test_a_run_is_configured_with_a_teacher_and_what_it_saves_is_the_student_alone(tmp_path: Path):
    rows = [
        {"text": f"a film number {number} {'good' if number % 2 else 'bad'}", "label": "np"[number % 2]}
        for number in range(32)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    spec = {"hidden_size": 12, "num_layers": 2, "num_heads": 2, "intermediate_size": 16, "dropout": 0.1}
    common = {
        "task": "text-classification",
        "data": {"train": str(tmp_path / "rows.jsonl"), "validation": 0.25},
        "training": {"epochs": 1, "batch_size": 8, "device": "cpu"},
        "logging": {"report": False},
    }
    teacher = vitrail.train({**common, "model": {"spec": spec, "tokenizer": {"vocab_size": 80}}}, tmp_path / "teacher")
    narrow = {**spec, "hidden_size": 8, "num_layers": 1}
    student = {
        **common,
        "model": {"spec": narrow, "tokenizer": {"folder": str(teacher.model)}},
        "distill": {"teacher": str(teacher.model), "hidden": 1, "relations": 1},
    }

    found = vitrail.train(student, tmp_path / "student")

    encoder = vitrail.load(found.model, task="text-classification")
    assert not [name for name, _ in encoder.named_parameters() if "distillation" in name]
    assert f"{sum(each.numel() for each in encoder.parameters()):,}" in (found.model / "README.md").read_text()
    assert RunConfig.model_validate(student).distill.hidden == 1


def test_a_model_built_from_nothing_has_no_teacher_in_itself():
    with pytest.raises(ValueError, match="no teacher in itself"):
        RunConfig(
            task="text-classification",
            data={"train": "rows.csv"},
            model={"spec": {}, "tokenizer": {}},
            distill={},
        )
