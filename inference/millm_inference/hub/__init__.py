"""Repositories of models and SAEs: what they hold, what of it is needed, and getting it here and away again."""
