"""The library behind llm-dissect's rules: configuration, cells, measurements, tables and figures.

Imports point down only: ``config`` <- ``cells`` <- ``result`` <- runners and readers. Readers (``tables``,
``figures``) never import a runner or torch; docs/design.md has the boundary table.
"""
