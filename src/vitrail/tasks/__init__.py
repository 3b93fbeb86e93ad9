"""What an encoder is used for: one file per task with its head, its loss, its results and its metrics."""

from vitrail.tasks.embedding import TextEmbedding
from vitrail.tasks.labels import labels_of
from vitrail.tasks.task import Example, Role, Task
from vitrail.tasks.text_classification import TextClassification

TASKS: dict[str, type[Task]] = {task.name: task for task in (TextClassification, TextEmbedding)}

__all__ = ["TASKS", "Example", "Role", "Task", "labels_of"]
