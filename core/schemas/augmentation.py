"""How training images are varied. One meaning for every framework; who computes it is the recipe's `pipeline`."""

import pydantic

from core.schemas.base import Schema


class Augmentation(Schema):
    """Random changes of each training image, drawn anew every epoch; validation and test images stay as they are.

    They happen in this order: flip, rotate, zoom and shift around the image's centre, then crop, then brightness. What
    comes from outside the image is black. With `pipeline: shared` all frameworks get the same pixels; with `framework`
    each uses its own functions with these figures, not always around the centre, black or in this order.
    """

    flip: bool = False
    """Left and right change places in every second image."""
    flip_vertical: bool = False
    """Top and bottom likewise, independently."""
    rotate: float = pydantic.Field(0.0, ge=0, le=180)
    """Degrees to either side, uniform."""
    zoom: float = pydantic.Field(0.0, ge=0, lt=1)
    """The content is drawn 1 − zoom to 1 + zoom times as large, uniform."""
    shift: float = pydantic.Field(0.0, ge=0, le=1)
    """Share of width and of height to either side, each uniform."""
    crop: int = pydantic.Field(0, ge=0, le=1024)
    """Pixels of black padding on each side, of which a window of the image's own size is cut, at a whole pixel."""
    brightness: float = pydantic.Field(0.0, ge=0, le=1)
    """Pixels are multiplied by 1 − brightness to 1 + brightness, uniform, and clipped."""

    @property
    def active(self) -> bool:
        """False where nothing would change."""
        return self != Augmentation()

    @property
    def resamples(self) -> bool:
        """True where pixels fall between pixels."""
        return bool(self.rotate or self.zoom or self.shift)
