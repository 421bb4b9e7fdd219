import numpy as np
from sklearn.datasets import load_digits

from autophage.data.digits import DigitsSource


def test_digits_are_those_of_scikit_learn():
    source = DigitsSource()
    train, reference = source.train(), source.reference()
    assert (len(train), len(reference), source.shape, source.dim) == (1438, 359, (8, 8), 64)
    assert train.x.dtype == np.float64 and (train.x.min(), train.x.max()) == source.value_range == (0, 16)
    assert source.classes == tuple("0123456789") and train.label.dtype.kind == "i"
    theirs = load_digits()
    mine = np.column_stack([np.r_[train.label, reference.label], np.r_[train.x, reference.x]])
    given = np.column_stack([theirs.target, theirs.data])
    assert np.array_equal(mine[np.lexsort(mine.T)], given[np.lexsort(given.T)])
    # Labels are still right after the split: a nearest neighbour reads 97 % of unseen digits.
    distance = (reference.x**2).sum(1)[:, None] - 2 * reference.x @ train.x.T + (train.x**2).sum(1)
    assert (train.label[distance.argmin(1)] == reference.label).mean() > 0.95


def test_a_prefix_of_the_digits():
    source = DigitsSource(size=100)
    assert (len(source.train()), len(source.reference())) == (80, 20)
    assert source.citation and source.constant_columns == ()
