from .pipeline import reproduce as reproduce
from .pipeline import reproduction_text as reproduction_text
