"""How far an explanation can be trusted: methods judged by what the model does when tokens are taken away.

To read: judge (changed inputs and what comes out), protocols (the presets), bounds, planted, measuring, scores.
"""

from vitrail.explanation.faithfulness.measuring import score
from vitrail.explanation.faithfulness.planted import plant
from vitrail.explanation.faithfulness.protocols import PROTOCOLS, Protocol
from vitrail.explanation.faithfulness.scores import Measured, MethodScore, Scores

__all__ = ["PROTOCOLS", "Measured", "MethodScore", "Protocol", "Scores", "plant", "score"]
