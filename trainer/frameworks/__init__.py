"""One file per framework; each is imported only through trainer.framework.get_framework."""
