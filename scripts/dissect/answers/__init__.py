"""Answers to the questions of targets and of ``llm-dissect``: a module per question, loaded only when it is asked."""
