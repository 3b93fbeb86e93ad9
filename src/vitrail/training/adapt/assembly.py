"""An adaptation put together. Its folder:

config.yaml     the configuration, every key with its value
start/          the model with the new words, before anything was learned
pretraining/    the run of masked-language-model training (training/run_folder.py)
downstream/     the runs that compare: unadapted-SEED, adapted-SEED
model/          the adapted model, where it was kept
report.md, report.json
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from vitrail.api import Encoder, load
from vitrail.api.task_of_encoder import inner_parts
from vitrail.checkpoints.tensor_files import TensorFiles, write_tensors
from vitrail.errors import UnsupportedModel
from vitrail.tasks import TASKS
from vitrail.training.adapt.comparison import Comparison, compare
from vitrail.training.adapt.config import AdaptConfig
from vitrail.training.adapt.examination import examine_words
from vitrail.training.adapt.extension import extend
from vitrail.training.adapt.forgetting import measure_forgetting
from vitrail.training.adapt.report import markdown
from vitrail.training.adapt.run import AdaptationResult
from vitrail.training.adapt.vocabulary import choose_words
from vitrail.training.assembly import train_in
from vitrail.training.config import ModelConfig, RunConfig, TaskConfig
from vitrail.training.config_files import options_of, read_as, write_config
from vitrail.training.datasets import read_data
from vitrail.training.randomness import own_randomness

TASK = "fill-mask"


def adapt_in(
    folder: Path,
    config: AdaptConfig | Mapping[str, Any] | str | os.PathLike[str],
    *,
    overrides: Sequence[str],
    show_progress: bool | None,
) -> AdaptationResult:
    """See `vitrail.adapt`."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ValueError("vitrail adapt runs in one process: start it without torchrun")
    chosen = read_as(AdaptConfig, config, overrides)
    options_of(TASKS[TASK], chosen.masking)  # refused before anything is read
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty; choose another folder.")
    texts = training_texts(chosen)
    encoder = start_from(chosen.model, chosen.training.max_length)
    tokenizer = encoder.need_tokenizer()
    before = examine_words(texts, tokenizer)
    words = choose_words(before, chosen.vocabulary, tokenizer)
    head = attach_head(encoder, chosen)
    extend(encoder, words.words)
    after = examine_words(texts, encoder.need_tokenizer())
    folder.mkdir(parents=True, exist_ok=True)
    write_config(chosen, folder / "config.yaml")
    encoder.save(folder / "start")

    run = train_in(
        folder / "pretraining", pretraining(chosen, folder), overrides=(), resume=False, show_progress=show_progress
    )
    candidate = folder / ".model.candidate"
    shutil.copytree(run.model, candidate)
    carry(inner_parts(start_from(chosen.model, None)), candidate)
    facts: dict[str, Any] = {
        "model": encoder.name,
        "texts": len(texts),
        "words_before": before.facts(tokenizer),
        "words_after": after.facts(encoder.need_tokenizer()),
        "vocabulary": words.facts(),
        "pretraining": {"head": head, "steps": run.steps, "metric": run.metric, "best": run.best},
    }
    compared = None
    if chosen.downstream is not None:
        compared = compare(
            chosen.model, candidate, chosen.downstream, folder / "downstream", show_progress=show_progress
        )
        facts["comparison"] = compared.facts()
    if chosen.forgetting is not None:
        forgotten = measure_forgetting(
            start_from(chosen.model, None),
            load(candidate, device="cpu"),
            chosen.forgetting,
            offline=chosen.model.offline,
        )
        facts["forgetting"] = forgotten.facts()
    kept, reason = verdict(compared)
    facts |= {"kept": kept, "reason": reason}
    if kept:
        candidate.rename(folder / "model")
    else:
        shutil.rmtree(candidate)
    (folder / "report.json").write_text(json.dumps(facts, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    (folder / "report.md").write_text(markdown(facts), encoding="utf-8")
    return AdaptationResult(
        folder=folder,
        model=folder / "model" if kept else None,
        reason=reason,
        words=tuple(each.word for each in words.words),
        facts=facts,
    )


def examine(
    config: AdaptConfig | Mapping[str, Any] | str | os.PathLike[str], *, overrides: Sequence[str]
) -> dict[str, Any]:
    """How the words of the training text shatter, and which would be added; nothing is trained."""
    chosen = read_as(AdaptConfig, config, overrides)
    tokenizer = start_from(chosen.model, None).need_tokenizer()
    found = examine_words(training_texts(chosen), tokenizer)
    words = choose_words(found, chosen.vocabulary, tokenizer)
    return {"words_before": found.facts(tokenizer), "vocabulary": words.facts()}


def training_texts(config: AdaptConfig) -> list[str]:
    data = read_data(config.data, TASKS[TASK].roles, offline=config.model.offline)
    return [row["text"] for row in data.train]


def start_from(model: ModelConfig, max_length: int | None) -> Encoder:
    return load(model.name, revision=model.revision, offline=model.offline, device="cpu", max_length=max_length)


def attach_head(encoder: Encoder, config: AdaptConfig) -> str:
    """Attach fill-mask with the checkpoint's head, or with a new one where it has none; says which."""
    options = options_of(TASKS[TASK], config.masking)
    try:
        encoder.attach(encoder.saved_task(TASK, options=options))
        return "the checkpoint's"
    except UnsupportedModel:
        if config.model.head == "keep":
            raise
    with own_randomness():
        torch.manual_seed(config.training.seed)
        encoder.attach(encoder.new_task(TASK, options=options))
    return "new"


def pretraining(config: AdaptConfig, folder: Path) -> RunConfig:
    return RunConfig(
        model=ModelConfig(name=str((folder / "start").resolve()), head="keep"),
        task=TaskConfig(name=TASK, options=config.masking),
        data=config.data,
        training=config.training,
        optimizer=config.optimizer,
        averaging=config.averaging,
        logging=config.logging,
    )


def carry(tensors: Mapping[str, torch.Tensor], folder: Path) -> None:
    """Add to a saved model what the original had and masked-language models do not save, so that a classifier begins
    with it in both.
    """
    with TensorFiles.open(folder) as files:
        held = {name: files.read(name) for name in files.shapes}
    if tensors and any(name.startswith(next(iter(tensors)).partition(".")[0] + ".") for name in held):
        write_tensors(folder, held | dict(tensors))


def verdict(compared: Comparison | None) -> tuple[bool, str]:
    if compared is None:
        return True, "no downstream task was given, so nothing says whether it is better"
    if compared.wins:
        return True, f"on the downstream task it is better by {compared.difference} {compared.metric}"
    if compared.difference.high < 0:
        return False, f"on the downstream task it is worse: {compared.difference} {compared.metric}"
    return False, f"no significant difference on the downstream task: {compared.difference} {compared.metric}"
