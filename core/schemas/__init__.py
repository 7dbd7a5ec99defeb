"""Schemas of what crosses a file or a wire: validated on the way in, every default explicit on the way out."""
