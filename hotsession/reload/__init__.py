"""Reading file changes, planning what they touch, loading it beside the old code."""
