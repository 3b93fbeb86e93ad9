"""New words where a space belongs to the word behind it: a byte-level tokenizer, learned here."""

from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, pre_tokenizers, processors, trainers

from vitrail.tokenization import Tokenizer
from vitrail.tokenization.folder import TokenizerFiles
from vitrail.training.adapt.examination import examine_words

TEXTS = ["the level of the name is in the table", "a name and the level"] * 20


def byte_level() -> Tokenizer:
    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    special = ["<s>", "</s>", "<pad>", "<mask>"]
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(TEXTS, trainer)
    backend.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0), True, False)
    return Tokenizer(TokenizerFiles(backend=backend, special_tokens={"pad_token": "<pad>"}, max_length=None))


def test_a_new_word_takes_the_space_before_it_and_leaves_its_neighbours_alone(tmp_path):
    tokenizer = byte_level()
    extended = tokenizer.with_words(["troponin"])

    def ids(some, text):
        return some.encode([text], max_length=None).ids.tolist()

    new = extended.id_of("troponin")
    start, end = ids(tokenizer, "")
    assert ids(extended, "the troponin is") == [*ids(tokenizer, "the")[:-1], new, *ids(tokenizer, " is")[1:]]
    assert ids(extended, "troponin") == [start, new, end]
    for text in (*TEXTS[:2], "troponins xtroponin  is\n"):
        assert ids(extended, text) == ids(tokenizer, text)
    extended.save(tmp_path)
    assert ids(Tokenizer.from_folder(tmp_path), "a troponin is") == ids(extended, "a troponin is")


def test_pieces_are_counted_as_in_the_middle_of_a_text():
    words = {each.word: each for each in examine_words(TEXTS, byte_level()).words}

    assert len(words["level"].pieces) == 1
    assert words["level"].count == 40
