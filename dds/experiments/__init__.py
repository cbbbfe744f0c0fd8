"""Experiments that one command runs: what they simulate, and what they report.

Reading order: ``three_tier`` (models, links, markets: cells and their sums), ``report`` (cells as
JSON and as lines of a table), ``chart`` (cells as a picture); ``parallel`` (a device and its
helpers), ``parallel_report`` and ``parallel_chart``, likewise; ``helped`` (their market).
"""
