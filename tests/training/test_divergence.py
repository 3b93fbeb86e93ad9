"""Case 51: a loss that is not finite stops the run, and its rows and its origin are named."""

import pytest
import torch

from training.toy import classified, encoder_with, loop_over, weights
from vitrail.errors import TrainingDiverged


def test_the_row_that_made_the_loss_not_finite_is_named_with_the_module_it_was_first_seen_in():
    encoder, examples = encoder_with("text-classification"), classified(16)
    poison = 22
    examples[5].sequences[0][0] = poison
    for example in examples[:5] + examples[6:]:
        example.sequences[0][example.sequences[0] == poison] = 4
    with torch.no_grad():
        encoder.model.embeddings.tokens.weight[poison] = float("inf")

    with pytest.raises(TrainingDiverged, match=r"rows 5 of the training data") as error:
        loop_over(encoder, examples, clip=None).run()

    assert error.value.rows == [5]
    assert error.value.tensor == "the parameter model.embeddings.tokens.weight"


def test_an_overflow_inside_the_model_is_named_by_the_first_module_that_shows_it():
    encoder = encoder_with("text-classification")
    with torch.no_grad():
        encoder.model.layers[1].feed_forward.up.weight.normal_(std=1e38)
    before = weights(encoder)

    with pytest.raises(TrainingDiverged, match=r"not finite") as error:
        loop_over(encoder, classified(8)).run()

    assert "layers.1.feed_forward" in error.value.tensor
    assert error.value.step == 1
    assert all(torch.equal(each, before[name]) for name, each in weights(encoder).items())


def test_a_gradient_that_is_not_finite_is_named_by_its_parameter():
    encoder = encoder_with("text-classification")
    encoder.task.head.output.weight.register_hook(lambda gradient: gradient * float("nan"))

    with pytest.raises(TrainingDiverged, match=r"gradient of step 1 .* task\.head\.output\.weight"):
        loop_over(encoder, classified(8)).run()
