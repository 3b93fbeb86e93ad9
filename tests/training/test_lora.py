"""LoRA is the equation, learns alone with the head, and is peft's in and out."""

import peft
import pytest
import torch
from transformers import AutoModelForSequenceClassification, BertConfig, BertForSequenceClassification

import vitrail
from training.toy import classified, encoder_with, loop_over, weights
from vitrail.tasks import Example
from vitrail.training.adapters import load_adapter, save_adapter
from vitrail.training.config import LoraConfig
from vitrail.training.lora import add_lora, lora_modules, merge_lora, merged

LABELS = ("no", "yes", "maybe")
TARGETS = ("attention.query", "attention.value", "layers.1.feed_forward.up")
CONFIG = LoraConfig(rank=3, alpha=6.0, targets=TARGETS)


@pytest.fixture
def published(tmp_path):
    """A tiny BERT as the reference library saves it."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=23,
        hidden_size=12,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=20,
        num_labels=3,
        id2label=dict(enumerate(LABELS)),
        initializer_range=0.3,
    )
    BertForSequenceClassification(config).save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def opened(folder):
    return vitrail.load(folder, task="text-classification", device="cpu")


def shaken(encoder):
    """The encoder with LoRA whose second matrices are no longer zero."""
    torch.manual_seed(1)
    with torch.no_grad():
        for module in lora_modules(encoder).values():
            module.lora_up.normal_(std=0.3)
    return encoder


def logits(encoder, examples=None):
    with torch.no_grad():
        return encoder.eval().task_outputs(examples or classified(6))


def test_a_new_lora_changes_nothing_and_a_trained_one_is_the_equation():
    encoder, plain = encoder_with("text-classification"), encoder_with("text-classification")
    add_lora(encoder, CONFIG)
    assert torch.equal(logits(encoder), logits(plain))

    shaken(encoder)
    for name, module in lora_modules(encoder).items():
        with torch.no_grad():
            plain.model.get_submodule(name).weight += 6.0 / 3 * module.lora_up @ module.lora_down

    torch.testing.assert_close(logits(encoder), logits(plain))


def test_training_moves_the_thin_matrices_and_the_head_and_nothing_else():
    encoder = encoder_with("text-classification")
    add_lora(encoder, CONFIG)
    before = weights(encoder)
    loop_over(encoder, classified(24)).run()

    for name, after in weights(encoder).items():
        assert torch.equal(after, before[name]) != ("lora_" in name or name.startswith("task.")), name
    assert len(lora_modules(encoder)) == 5


def test_merged_weights_give_the_logits_and_the_encoder_is_itself_again_after_saving(published, tmp_path):
    encoder = opened(published)
    add_lora(encoder, CONFIG)
    shaken(encoder)
    wanted, before = logits(encoder), weights(encoder)
    with merged(encoder):
        encoder.save(tmp_path / "merged")

    assert weights(encoder).keys() == before.keys()
    assert torch.equal(logits(encoder), wanted)
    torch.testing.assert_close(logits(opened(tmp_path / "merged")), wanted)
    merge_lora(encoder)
    assert not lora_modules(encoder)
    torch.testing.assert_close(logits(encoder), wanted)


def theirs(model, examples: list[Example]) -> torch.Tensor:
    with torch.no_grad():
        return torch.cat([model.eval()(torch.from_numpy(each.sequences[0])[None]).logits for each in examples])


def test_an_adapter_we_save_opens_in_peft_with_the_same_logits_head_included(published, tmp_path):
    encoder, examples = opened(published), classified(6)
    add_lora(encoder, CONFIG)
    shaken(encoder)
    with torch.no_grad():
        for parameter in encoder.task.parameters():
            parameter.add_(0.5)
    save_adapter(encoder, tmp_path / "adapter")

    base = AutoModelForSequenceClassification.from_pretrained(published)
    model = peft.PeftModel.from_pretrained(base, tmp_path / "adapter")

    torch.testing.assert_close(theirs(model, examples), logits(encoder, examples), rtol=1e-5, atol=1e-5)


def test_an_adapter_peft_saves_opens_here_with_the_same_logits_head_included(published, tmp_path):
    base = AutoModelForSequenceClassification.from_pretrained(published)
    model = peft.get_peft_model(
        base, peft.LoraConfig(r=2, lora_alpha=5, target_modules=["query", "intermediate.dense"], task_type="SEQ_CLS")
    )
    torch.manual_seed(2)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name or "classifier" in name:
                parameter.normal_(std=0.3)
    model.save_pretrained(tmp_path / "adapter")
    encoder, examples = opened(published), classified(6)

    load_adapter(encoder, tmp_path / "adapter")

    torch.testing.assert_close(logits(encoder, examples), theirs(model, examples), rtol=1e-5, atol=1e-5)


def test_a_target_that_names_nothing_is_refused_with_what_there_is():
    config = LoraConfig(targets=("attention.querry",))

    with pytest.raises(ValueError, match=r"'attention\.querry' names no product .* attention\.query"):
        add_lora(encoder_with("text-classification"), config)
