"""What is wrong with data, before any model is loaded.

Read `finding.py` for what is said, `checks.py` for the table of all that is looked at.
"""

from vitrail.training.doctor.examine import examine
from vitrail.training.doctor.finding import Finding

__all__ = ["Finding", "examine"]
