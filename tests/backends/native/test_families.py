"""Every family's tiny model runs natively, and as the reference library does."""

import pytest
import torch
from oracles.carrying import filled
from oracles.tiny import ORACLES, batches, reference_hidden

from vitrail.backends.inference import NATIVE, Inference
from vitrail.families import family_of, spec_of
from vitrail.models.padded import unpad
