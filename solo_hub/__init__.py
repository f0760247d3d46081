"""solo-hub: Solo Distillation for the Hugging Face Hub.

A language model teaches itself a body of knowledge without labels, and the whole result is published on the Hub.
Read `solo_hub.pipeline` first: it is the method on one page.
"""

__version__ = "0.1.0"
