"""The loop beside the reference library's model in a plain loop of torch: the same steps, and as much dropout."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from recipes.beside import FEATURES

import vitrail
from vitrail.tasks import Example
from vitrail.training.config import OptimizerConfig, TrainingConfig
from vitrail.training.loop import Loop
from vitrail.training.order import epoch_windows
from vitrail.training.randomness import seed_dropout

TEXTS = [
    "the rooms were clean and quiet",
    "Ann met Bob in Oslo yesterday",
    "never again",
    "a film about two friends who move to Lima and stay",
    "good",
    "we waited for an hour and nobody came",
    "Eve flew home",
]
ROWS: dict[str, list[dict[str, Any]]] = {
    "text-classification": [{"text": text, "label": "yes" if len(text) % 2 else "no"} for text in TEXTS],
    "token-classification": [
        {"tokens": text.split(), "tags": ["B-NAME" if word[0].isupper() else "O" for word in text.split()]}
        for text in TEXTS
    ],
    "question-answering": [
        {"question": "who?", "context": text, "answers": [{"text": text.split()[0], "start": 0}]} for text in TEXTS
    ],
}
AUTO = {
    "text-classification": "AutoModelForSequenceClassification",
    "token-classification": "AutoModelForTokenClassification",
    "question-answering": "AutoModelForQuestionAnswering",
}
# The reference library's loss of answers also chooses among padding; only a row alone has none.
ROWS_OF_A_STEP = {"text-classification": 3, "token-classification": 3, "question-answering": 1}
LABELS = {"text-classification": ["no", "yes"], "token-classification": ["O", "B-NAME", "I-NAME"]}


def beginning(task: str, folder: Path, tokenizer_of: Path, *, dropout: float) -> tuple[Any, vitrail.Encoder]:
    """One random model, as the reference library opens it and as we do."""
    torch.manual_seed(0)
    config = transformers.BertConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        initializer_range=0.3,
        id2label=dict(enumerate(LABELS.get(task, ["a", "b"]))),
    )
    network = getattr(transformers, AUTO[task]).from_config(config)
    network.save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(tokenizer_of).save_pretrained(folder)
    return network, vitrail.load(folder, task=task, device="cpu", max_length=32)


def padded(task: str, examples: Sequence[Example]) -> dict[str, torch.Tensor]:
    """What the reference library's model takes: rows padded to the longest, labels that do not count as -100."""
    features = [feature for example in examples for feature in FEATURES[task](example)]
    longest = max(len(feature["input_ids"]) for feature in features)
    batch = {}
    for name, first in features[0].items():
        fill = -100 if name == "labels" else 0
        rows = [each[name] for each in features]
        batch[name] = torch.tensor(
            [row + [fill] * (longest - len(row)) for row in rows] if isinstance(first, list) else rows
        )
    return batch


@pytest.mark.parametrize("task", ROWS)
def test_its_steps_are_those_of_the_reference_librarys_model_under_torchs_optimiser(
    task: str, tmp_path: Path, minilm_folder: Path
):
    size = ROWS_OF_A_STEP[task]
    network, encoder = beginning(task, tmp_path, minilm_folder, dropout=0.0)
    examples = encoder.need_task().examples(ROWS[task], encoder.need_tokenizer(), max_length=32)
    heard: list[dict[str, Any]] = []

    class Listener:
        def hear(self, record: Any) -> None:
            heard.append(record)

        def close(self) -> None: ...

    Loop(
        encoder,
        train=examples,
        training=TrainingConfig(epochs=2, batch_size=size, seed=5),
        optimizer=OptimizerConfig(learning_rate=1e-3, warmup=0, weight_decay=0.1, clip=0.5),
        listeners=[Listener()],
    ).run()

    network.train()
    groups = [
        {"params": [each for each in network.parameters() if each.ndim >= 2], "weight_decay": 0.1},
        {"params": [each for each in network.parameters() if each.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-3)
    lengths = np.array([example.tokens for example in examples])
    windows = [rows for epoch in (0, 1) for rows in epoch_windows(lengths, batch_size=size, seed=5, epoch=epoch)]
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, 0, len(windows))
    losses = []
    for rows in windows:
        loss = network(**padded(task, [examples[row] for row in rows])).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 0.5)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.item())

    assert [each["loss"] for each in heard if each["event"] == "step"] == pytest.approx(losses, rel=2e-4)
    assert len(losses) == 2 * math.ceil(7 / size)


def test_dropout_in_training_moves_every_layer_as_much_as_the_reference_librarys(tmp_path: Path, minilm_folder: Path):
    network, encoder = beginning("token-classification", tmp_path, minilm_folder, dropout=0.3)
    examples = encoder.need_task().examples(ROWS["token-classification"], encoder.need_tokenizer(), max_length=32)
    batch = padded("token-classification", examples)
    kept = batch["attention_mask"].bool()
    theirs: list[list[torch.Tensor]] = [[] for _ in range(3)]
    ours: list[list[torch.Tensor]] = [[] for _ in range(3)]
    for place, module in enumerate([network.bert.embeddings, *network.bert.encoder.layer]):
        module.register_forward_hook(
            lambda module, arguments, output, place=place: theirs[place].append(
                (output[0] if isinstance(output, tuple) else output)[kept]
            )
        )
    for place, module in enumerate([encoder.model.embeddings, *encoder.model.layers]):
        module.register_forward_hook(lambda module, arguments, output, place=place: ours[place].append(output))
    network.train()
    encoder.train()
    with torch.no_grad():
        for draw in range(400):
            network(**batch)
            seed_dropout(0, draw, 0)
            encoder.task_outputs(examples)

    for one, other in zip(ours, theirs, strict=True):
        spread, expected = (torch.stack(each).std(0).mean().item() for each in (one, other))
        assert spread == pytest.approx(expected, rel=0.02)
