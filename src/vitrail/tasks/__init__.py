"""What an encoder is used for: one file per task with its head, its loss, its results and its metrics."""

from vitrail.tasks.embedding import TextEmbedding
from vitrail.tasks.fill_mask import FillMask
from vitrail.tasks.labels import labels_of
from vitrail.tasks.question_answering import QuestionAnswering
from vitrail.tasks.reranking import Reranking
from vitrail.tasks.task import Example, Role, Task
from vitrail.tasks.text_classification import TextClassification
from vitrail.tasks.token_classification import TokenClassification

TASKS: dict[str, type[Task]] = {
    task.name: task
    for task in (TextClassification, TokenClassification, QuestionAnswering, TextEmbedding, Reranking, FillMask)
}

__all__ = ["TASKS", "Example", "Role", "Task", "labels_of"]
