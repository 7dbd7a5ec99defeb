"""Data preparation: a source, decoded, resized, split and written once as uint8 memory maps with a fingerprint."""

from trainer.preparation.pipeline import Prepared, gaps, prepare
from trainer.preparation.sources import SourceInspection, inspect

__all__ = ["Prepared", "SourceInspection", "gaps", "inspect", "prepare"]
