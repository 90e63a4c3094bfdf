"""Tuning: noise levels and step sizes that follow from the data, after the techniques of NCSNv2.

`techniques` and `widths` are formulas of numbers alone, `spread` measures data, `tuning` puts them together, and
`apply` fills in a plan.
"""

__all__: list[str] = []
