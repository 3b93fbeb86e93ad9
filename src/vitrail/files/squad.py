"""SQuAD JSON, versions 1.1 and 2.0: articles hold paragraphs, a paragraph its context and the questions on it.

One record per question: id, title, question, context, answers (a list of {"text", "start"}, empty where the question
has none), and is_impossible where the file says it. Offsets are code points of the context, as the file has them.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from vitrail.errors import FileFormatError
from vitrail.files.lines import open_bytes
from vitrail.files.records import Record


def read_squad(source: str) -> Iterator[Record]:
    for article in articles_of(source):
        for paragraph in children(article, "paragraphs"):
            for question in children(paragraph, "qas"):
                yield record_of(question, paragraph, article)


def articles_of(source: str) -> list[Any]:
    with open_bytes(source) as stream:
        try:
            document = json.loads(stream.read().decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            raise FileFormatError(f"{source} is not UTF-8 (position {error.start}); save it as UTF-8.") from error
        except (ValueError, RecursionError) as error:
            raise FileFormatError(f"{source} is not JSON: {error or 'nested too deeply'}") from error
    articles = document.get("data") if isinstance(document, Mapping) else None
    if not isinstance(articles, list):
        raise FileFormatError(
            f"{source} is not SQuAD JSON, an object with a list `data`. Is it JSON lines (end its name in .jsonl)?"
        )
    return articles


def children(parent: object, name: str) -> list[Any]:
    found = parent.get(name) if isinstance(parent, Mapping) else None
    return found if isinstance(found, list) else []


def record_of(question: Any, paragraph: Any, article: Any) -> Record:
    if not isinstance(question, Mapping):
        return Record(0, {}, f"a question is not an object but {type(question).__name__}", 0)
    columns: dict[str, object] = {
        "id": question.get("id"),
        "title": article.get("title"),
        "question": question.get("question"),
        "context": paragraph.get("context"),
    }
    if "is_impossible" in question:
        columns["is_impossible"] = question["is_impossible"]
    answers = question.get("answers", [])
    well_formed = isinstance(answers, list) and all(
        isinstance(answer, Mapping)
        and isinstance(answer.get("text"), str)
        and type(answer.get("answer_start")) is int  # a bool is no offset
        for answer in answers
    )
    if not well_formed:
        return Record(0, columns, f"question {question.get('id')!r}: an answer needs `text` and `answer_start`", 0)
    columns["answers"] = [{"text": answer["text"], "start": answer["answer_start"]} for answer in answers]
    return Record(0, columns, None, 0)
