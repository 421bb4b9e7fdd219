"""What theory says about self-consuming loops, one result per file.

Courses are indexed by generation: entry g belongs to generation g, and generation 0 is the model fitted to
real data only. Every function says whether it is exact, asymptotic, a bound or a conjecture, and whose result
it is. `predictors.predict` turns a `setting.Setting` into predictions for the metric table.
"""
