"""Data preparation: a source, decoded, resized, split and written once as uint8 memory maps with a fingerprint."""

from trainer.preparation.pipeline import Prepared, prepare
from trainer.preparation.sources import SourceInspection, inspect

__all__ = ["Prepared", "SourceInspection", "inspect", "prepare"]
