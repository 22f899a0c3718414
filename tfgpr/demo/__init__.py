"""The web demo: what `scripts/demo_app.py` shows in a browser (extra `[demo]`: Gradio)."""

from tfgpr.demo.app import build, gradio, launch
from tfgpr.demo.backends import InProcess, Served

__all__ = ["InProcess", "Served", "build", "gradio", "launch"]
