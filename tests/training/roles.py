"""Roles as tasks declare them, for tests that need no task."""

from vitrail.tasks.task import Role

TEXT = Role(name="text", kind="text")
PAIR = Role(name="text_pair", kind="text", required=False)
LABEL = Role(name="label", kind="label", target=True)
CLASSIFICATION = (TEXT, PAIR, LABEL)
EMBEDDING = (
    TEXT,
    Role(name="text_pair", kind="text", target=True),
    Role(name="score", kind="number", required=False, target=True),
)
TAGGING = (Role(name="tokens", kind="tokens"), Role(name="tags", kind="tags", target=True))
QUESTIONS = (
    Role(name="question", kind="text"),
    Role(name="context", kind="text"),
    Role(name="answers", kind="answers", target=True),
    Role(name="id", kind="label", required=False),
)
