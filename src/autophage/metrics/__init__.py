"""What is measured on samples and models, one subject per file.

Every metric is a pure function on arrays plus a small part that a spec names. A sample metric answers with
`Compared`: value, 95 % interval, sample size. An interval speaks of the sampling error at the stated sizes;
each function says of which, and where none is honest it is NaN. Exact functions of a fitted model carry none.
"""
