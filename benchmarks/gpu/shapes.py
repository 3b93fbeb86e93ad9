"""What is measured: published shapes with drawn weights, skewed lengths, and texts that have them."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks import texts


@dataclass(frozen=True, kw_only=True)
class Shape:
    label: str
    hidden_size: int
    num_layers: int
    num_heads: int
    intermediate_size: int

    def config(self, vocab_size: int) -> dict[str, object]:
        """As BERT's config.json says it; dropouts are BERT's, 0.1."""
        return {
            "model_type": "bert",
            "vocab_size": vocab_size,
            "hidden_size": self.hidden_size,
            "num_hidden_layers": self.num_layers,
            "num_attention_heads": self.num_heads,
            "intermediate_size": self.intermediate_size,
            "max_position_embeddings": 512,
            "type_vocab_size": 2,
            "hidden_act": "gelu",
            "hidden_dropout_prob": 0.1,
            "attention_probs_dropout_prob": 0.1,
            "layer_norm_eps": 1e-12,
            "pad_token_id": 0,
        }


SHAPES = {
    "minilm": Shape(label="MiniLM-L6", hidden_size=384, num_layers=6, num_heads=12, intermediate_size=1536),
    "bert-base": Shape(label="BERT-base", hidden_size=768, num_layers=12, num_heads=12, intermediate_size=3072),
    "bert-large": Shape(label="BERT-large", hidden_size=1024, num_layers=24, num_heads=16, intermediate_size=4096),
}
TOY = {"toy": Shape(label="toy", hidden_size=16, num_layers=2, num_heads=2, intermediate_size=24)}


def skewed_lengths(count: int, *, longest: int = 512, seed: int = 0) -> np.ndarray:
    """Tokens of texts as they come: log-normal around 45, from 4 to `longest`."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.exp(torch.randn(count, generator=generator) * 0.9 + math.log(45))
    return drawn.round().long().clamp(4, longest).numpy()


def skewed_texts(count: int) -> list[str]:
    """So many distinct docstrings, or as many as there are."""
    return texts.skewed_texts(min(count, len(texts.docstrings())))


def make_folder(shape: Shape, folder: Path, *, vocab_size: int, corpus: list[str]) -> None:
    """A model that vitrail, transformers and sentence-transformers open: drawn weights, mean pooling, normalised."""
    from vitrail import Encoder
    from vitrail.families import BY_MODEL_TYPE, Config, spec_of
    from vitrail.layers.pooling import Pooling, PoolingSpec
    from vitrail.models import EncoderModel
    from vitrail.tokenization import Tokenizer

    if (folder / "config.json").is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(_vocabulary(corpus, vocab_size)), encoding="utf-8")
    family = BY_MODEL_TYPE["bert"]
    model = EncoderModel.without_storage(spec_of(family, Config(shape.config(vocab_size)))).to_empty(device="cpu")
    model.initialize(0)
    pooling = Pooling(PoolingSpec(modes=("mean",), include_prompt=True, projections=(), normalize=True))
    tokenizer = Tokenizer.from_folder(folder)
    Encoder(model, pooling=pooling, tokenizer=tokenizer, family=family, max_length=512).save(folder)


def operations(spec, lengths: np.ndarray) -> int:
    """Of the products in one pass over sequences of these lengths, a multiply-add being two."""
    from vitrail.models.arithmetic import count_work

    each, counts = np.unique(lengths, return_counts=True)
    return 2 * sum(count_work(spec, int(length)).total * int(count) for length, count in zip(each, counts, strict=True))


def _vocabulary(corpus: list[str], size: int) -> list[str]:
    """Pieces of words that are frequent in the corpus, by BERT's own method."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    maker = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    maker.normalizer, maker.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=special, show_progress=False)
    maker.train_from_iterator(corpus, trainer)
    return [token for token, _ in sorted(maker.get_vocab().items(), key=lambda item: item[1])]
