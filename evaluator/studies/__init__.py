"""The published studies held against this project's results.

`tools/studies.py` writes `docs/studies.md` from them; nothing there is typed.
"""
