"""A tiny encoder with a real tokenizer, for tasks that read text."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import vitrail
from tasks.references import tiny_bert

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


@pytest.fixture(scope="session")
def tokenizer(minilm_folder: Path) -> vitrail.Tokenizer:
    return vitrail.Tokenizer.from_folder(minilm_folder)


@pytest.fixture
def encoder(tokenizer: vitrail.Tokenizer) -> vitrail.Encoder:
    """Untrained, with dropout, in eval mode; texts of at most 64 tokens."""
    spec = vitrail.EncoderSpec.original(
        vocab_size=tokenizer.vocab_size, hidden_size=12, num_layers=2, num_heads=3, intermediate_size=17, padding_id=0
    )
    return vitrail.Encoder.from_spec(spec, tokenizer, seed=0).eval()


@pytest.fixture
def bert(tmp_path: Path, tokenizer: vitrail.Tokenizer) -> Callable[..., tuple[Any, Path]]:
    """(a tiny model of the reference library with a head, its folder with a tokenizer)."""

    def build(auto_class: Any, **options: Any) -> tuple[Any, Path]:
        torch.manual_seed(0)
        model = tiny_bert(auto_class, vocab_size=tokenizer.vocab_size, **options)
        model.save_pretrained(tmp_path / "theirs")
        tokenizer.save(tmp_path / "theirs")
        return model.eval(), tmp_path / "theirs"

    return build
