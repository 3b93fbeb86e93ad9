"""Everything that decides a run, validated before anything else happens.

    model:      what to start from: a name or folder, nothing (the default model), or a spec and a tokenizer to build
    task:       its name and options
    data:       files and the roles of their columns (training/datasets)
    training:   how long, how much at once, what is watched
    optimizer:  how the weights move
    averaging, lora, distill, logging: as they say

Unknown keys are refused. Every default stands here, and the resolved whole is saved with the run.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from vitrail.training.datasets import DataConfig
from vitrail.training.learned_tokenizers import KINDS
from vitrail.training.optimizers import OPTIMIZERS
from vitrail.training.schedule import SCHEDULES

Share = Annotated[float, Field(ge=0.0, lt=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Count = Annotated[int, Field(ge=1)]
Weight = Annotated[float, Field(ge=0.0)]
Amount = Annotated[float, Field(ge=0.0)]  # below 1 a fraction of the run, else a number of steps


class Section(BaseModel):
    """A part of the configuration: nothing unknown in it, and nothing changes once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class TokenizerConfig(Section):
    """A tokenizer to read (`folder`), or to learn from the texts of the training data (`kind`).

    wordpiece: pieces of words, as in BERT. characters: each character is a token, where every one of them counts. bpe:
    what is often written together is a token, which makes words of scripts without spaces.
    """

    folder: str | None = None
    kind: Literal[KINDS] = "wordpiece"  # type: ignore[valid-type]
    vocab_size: Count = 8000
    lowercase: bool = True


class ModelConfig(Section):
    """name: of the hub or a folder; None is the default model. Or spec: an encoder to build, untrained.

    spec with `model_type`: the config.json of a published family, where the vocabulary is filled in. Without: the
    arguments of `EncoderSpec.original`, and any field of `EncoderSpec` to be replaced.
    head: `keep` goes on with the head for this task in the checkpoint, its labels and options; `new` begins with a new
    one, whose parts that do not depend on the labels (BERT's pooler, all of a masked-language head) begin as they are.
    """

    name: str | None = None
    revision: str | None = None
    offline: bool = False
    spec: dict[str, Any] | None = None
    tokenizer: TokenizerConfig | None = None
    head: Literal["new", "keep"] = "new"

    @model_validator(mode="after")
    def _one_origin(self) -> "ModelConfig":
        if self.spec is not None and self.name is not None:
            raise ValueError("give model.name to start from a checkpoint, or model.spec to build one, not both")
        if (self.spec is None) != (self.tokenizer is None):
            raise ValueError("model.spec and model.tokenizer belong together: a model that is built needs a tokenizer")
        if self.spec is not None and self.head == "keep":
            raise ValueError("model.head: keep goes with a checkpoint; a model that is built has no head to keep")
        return self


class TaskConfig(Section):
    """options: those of the task's own `Options`, beside their defaults."""

    name: str
    options: dict[str, Any] = {}


class TrainingConfig(Section):
    """How long, how much at once, and what is watched.

    steps: end after so many, in place of `epochs`. batch_size: rows a step sees. batch_tokens: tokens in one pass; a
    step of more is run in pieces, with the same gradient. evaluate_steps, checkpoint_steps: None means every epoch.
    watch: a metric of the task or "loss"; None is the task's first. patience: stop after so many evaluations without a
    better one. keep: which weights become the model of the run. probe_rows: of the training data, scored as the
    validation data is. dropout: one probability for every place that drops, None as the model says. token_dropout: of
    each token to be hidden while training (word dropout), anew in every epoch.
    shard: divide weights, gradients and the optimiser's memory among the processes that torchrun starts.
    """

    epochs: Count = 3
    steps: Count | None = None
    batch_size: Count = 32
    batch_tokens: Count = 8192
    max_length: Count | None = None
    group_by_length: bool = False
    seed: Annotated[int, Field(ge=0)] = 0
    dropout: Share | None = None
    token_dropout: Share = 0.0
    evaluate_steps: Count | None = None
    checkpoint_steps: Count | None = None
    keep_checkpoints: Count = 1
    watch: str | None = None
    patience: Count | None = None
    keep: Literal["best", "last"] = "best"
    probe_rows: Annotated[int, Field(ge=0)] = 500
    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    threads: Count | None = None
    shard: bool = False


class OptimizerConfig(Section):
    """learning_rate: of the encoder; head_learning_rate: of the head and the pooling's projections, None the same.

    layer_decay: each layer learns at so many times the rate of the one above it. warmup, cooldown: below 1 a fraction
    of the run, else steps; the cooldown is trapezoid's. clip: the largest norm of the gradient, None for any.
    freeze: names that do not learn, such as `embeddings` or `layers.[0-3]`. momentum: Muon's.
    """

    name: Literal[OPTIMIZERS] = "adamw"  # type: ignore[valid-type]
    learning_rate: Positive = 5e-5
    head_learning_rate: Positive | None = None
    layer_decay: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.01
    betas: tuple[Share, Share] = (0.9, 0.999)
    epsilon: Positive = 1e-8
    momentum: Share = 0.95
    schedule: Literal[SCHEDULES] = "linear"  # type: ignore[valid-type]
    warmup: Amount = 0.1
    cooldown: Amount = 0.2
    clip: Positive | None = 1.0
    freeze: tuple[str, ...] = ()


class AveragingConfig(Section):
    """ema: the decay of an average over steps. last_epochs: the mean over the ends of so many epochs. One or none."""

    ema: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    last_epochs: Count | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> "AveragingConfig":
        if self.ema is not None and self.last_epochs is not None:
            raise ValueError("give averaging.ema or averaging.last_epochs, not both")
        return self


class LoraConfig(Section):
    """Low-rank updates in place of the weights ([Hu 2021]); the head learns in full.

    targets: names of the products that get one, such as `attention.query` or `layers.*.feed_forward.up`.

    [Hu 2021]: https://arxiv.org/abs/2106.09685
    """

    rank: Count = 8
    alpha: Positive = 16.0
    dropout: Share = 0.0
    targets: tuple[str, ...] = ("attention.query", "attention.value")


class DistillConfig(Section):
    """What a teacher shows, beside the labels (training/distillation.py); each number is the weight of a term, 0 for
    none.

    teacher: the name or folder of a model with the same vocabulary; None: the one that the run begins with.
    task: of the task's own loss. logits: of the teacher's probabilities, made flat by `temperature`; the teacher needs
    a head for the task. hidden: of the outputs of layers; layers: a layer of the teacher for each of the student's,
    None for evenly spaced ones, the last for the last. relations: of queries, keys and values of the last layers, cut
    into `relation_heads`, None for as many as the teacher has heads.
    """

    teacher: str | None = None
    task: Weight = 1.0
    logits: Weight = 1.0
    temperature: Positive = 2.0
    hidden: Weight = 0.0
    layers: tuple[Annotated[int, Field(ge=0)], ...] | None = None
    relations: Weight = 0.0
    relation_heads: Count | None = None

    @model_validator(mode="after")
    def _teaches(self) -> "DistillConfig":
        if not (self.logits or self.hidden or self.relations):
            raise ValueError(
                "distill teaches nothing with logits, hidden and relations all 0; give one of them a weight"
            )
        return self


class LoggingConfig(Section):
    """report: write report.md, with pictures, at the end. tensorboard: write its events. graph, projector: also the
    model's graph, and vectors of the validation texts.
    """

    report: bool = True
    tensorboard: bool = False
    graph: bool = False
    projector: bool = False


def _named(value: Any) -> Any:
    """`task: text-classification` is short for `task: {name: text-classification}`, and so for `model`."""
    return {"name": value} if isinstance(value, str) else value


class RunConfig(Section):
    """The whole."""

    model: Annotated[ModelConfig, BeforeValidator(_named)] = ModelConfig()
    task: Annotated[TaskConfig, BeforeValidator(_named)]
    data: DataConfig
    training: TrainingConfig = TrainingConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    averaging: AveragingConfig = AveragingConfig()
    lora: LoraConfig | None = None
    distill: DistillConfig | None = None
    logging: LoggingConfig = LoggingConfig()

    @model_validator(mode="after")
    def _has_a_teacher(self) -> "RunConfig":
        if self.distill is not None and self.distill.teacher is None and self.model.spec is not None:
            raise ValueError("a model that is built from model.spec has no teacher in itself; give distill.teacher")
        return self

    @model_validator(mode="after")
    def _can_be_sharded(self) -> "RunConfig":
        asked = {
            "optimizer.name muon": self.optimizer.name == "muon",  # its update is of a whole matrix
            "logging.graph": self.logging.graph,  # the process that writes would run the model alone
            "logging.projector": self.logging.projector,
            "distill": self.distill is not None,  # a teacher is whole in every process
        }
        refused = [name for name, is_asked in asked.items() if self.training.shard and is_asked]
        if refused:
            raise ValueError(f"training.shard does not go with {', '.join(refused)}; leave one of them out")
        return self
